"""Synthesize recordings or features: `keras_listen.vocode`, which is `keras-listen vocode`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..models.bundle import load_bundle
from ..output.files import csv_text, make_folder, number_text, require_empty, write_json, write_text
from ..output.progress import Track, in_notebooks
from ..vocoders.pitch import control_of
from ..vocoders.synthesis import Spoken
from ..vocoders.synthesis import vocode as vocode_each
from .component_options import parse_options
from .experiment import make_vocoder
from .manifest import vocoding_manifest
from .settings import as_text, option_texts

log = logging.getLogger("keras_listen")

#: Each column of vocoded.csv: its name, and the function to its value.
COLUMNS: tuple[tuple[str, Callable[[Spoken], Any]], ...] = (
    ("name", lambda spoken: spoken.name),
    ("frames", lambda spoken: spoken.frames),
    ("mel_distance_db", lambda spoken: number_text(spoken.mel_distance)),
    ("clipped_share", lambda spoken: number_text(spoken.clipped_share)),
    ("gain", lambda spoken: number_text(spoken.gain)),
    ("voiced_share", lambda spoken: number_text(spoken.voiced_share)),
)
#: Further ones where the vocoder does something about the pitch, as in samples.csv.
PITCH_COLUMNS: tuple[tuple[str, Callable[[Spoken], Any]], ...] = (
    ("pitch", lambda spoken: spoken.pitch.origin),
    ("pitched_share", lambda spoken: number_text(spoken.pitch.share)),
)


def vocode(
    inputs: Iterable[str | Path],
    out: str | Path,
    *,
    vocoder: str = "wavenet",
    bundle: str | Path | None = None,
    options: Iterable[str] | Mapping[str, Any] = (),
    reader: str = "soundfile",
    seed: int = 0,
    track: Track = in_notebooks,
) -> list[Spoken]:
    """Turn recordings (copy-synthesis) or features into sound files.

    Does what `keras-listen vocode` does.

    Args:
        inputs: sound files, `.npy` files of features [shape=(frames, mels)], or folders of them.
        out: folder, new or empty.
        vocoder: name, see `keras-listen plugins`.
        bundle: folder of a bundle; the embedded one by default.
        options: of the vocoder, as for `listen`.
        reader: name of the reader of recordings.
        seed: of everything random.
        track: progress, see `keras_listen.output.progress`.

    Returns:
        list of Spoken, one for each sound.

    Raises:
        ListenError: an argument cannot be used, and nothing has been written.
    """
    root, inputs = require_empty(out), list(inputs)
    command = {
        "inputs": list(map(str, inputs)),
        "vocoder": vocoder,
        "bundle": as_text(bundle),
        "options": option_texts(options),
        "reader": reader,
        "seed": seed,
    }
    speaker, notes = make_vocoder(load_bundle(bundle), vocoder, parse_options(command["options"]))
    for note in notes:
        log.warning("%s", note)
    manifest = vocoding_manifest(speaker, notes, command)
    spoken: list[Spoken] = []
    sounds = vocode_each(inputs, root, speaker, seed=seed, reader=reader, track=track)
    try:
        for one in sounds:
            spoken.append(one)
    finally:
        # Finished sounds are in the table even if the rest is interrupted.
        if spoken:
            columns = COLUMNS + PITCH_COLUMNS * (control_of(speaker) is not None)
            rows = [{name: value(one) for name, value in columns} for one in spoken]
            write_text(make_folder(root) / "vocoded.csv", csv_text(rows))
            write_json(root / "manifest.json", manifest)
    return spoken
