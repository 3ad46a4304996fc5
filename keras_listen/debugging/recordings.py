"""Copy the recordings of utterances beside the page of a debugging run.

sounds/<id>-recording.wav   16 bits, at the rate and level that the features are made from
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CorpusError, ReadError
from ..experiment.samples import Sample
from ..features import FeatureSpec, require_sound
from ..output.files import make_folder
from ..output.progress import Track, quiet
from ..plugins import default_registry
from ..vocoders.synthesis import write_wav
from .debug_set import DebugSet


def find_recordings(debug_set: DebugSet, corpus: str | Path) -> tuple[list[Sample], list[str]]:
    """Return the samples whose recordings are in a corpus, and a note of those that are not.

    Args:
        debug_set: holds the samples.
        corpus: the folder that the debugging run's store was prepared from.

    Raises:
        CorpusError: there is no such folder, or none of the recordings is in it.
    """
    corpus = Path(corpus)
    if not corpus.is_dir():
        raise CorpusError(f"the folder of recordings {corpus} does not exist")
    there, notes = present_recordings(debug_set.samples, corpus)
    if not there:
        raise CorpusError(
            f"none of {len(debug_set.samples)} recordings is under {corpus}, for instance "
            f"{debug_set.samples[0].start}; expected the corpus that the store "
            f"{debug_set.store.root} was prepared from"
        )
    return there, notes


def present_recordings(samples: Sequence[Sample], corpus: Path) -> tuple[list[Sample], list[str]]:
    """Return the samples whose recordings are in a corpus, and a note of those that are not."""
    there = [sample for sample in samples if (corpus / sample.start).is_file()]
    missing, all_ = len(samples) - len(there), len(samples)
    if not missing:
        return there, []
    text = f"{missing} of {all_} recordings are not under {corpus}; they are spoken from features"
    return there, [text]


def copy_recordings(
    samples: Sequence[Sample],
    corpus: str | Path,
    root: Path,
    spec: FeatureSpec,
    *,
    reader: str = "soundfile",
    track: Track = quiet,
) -> list[str]:
    """Write the samples' recordings that are not yet in the folder `root`.

    Returns:
        a note on each recording that could not be read.
    """
    folder = make_folder(root / "sounds")
    left = [s for s in samples if not (folder / f"{s.id}-recording.wav").is_file()]
    notes: list[str] = []
    with track(total=len(left), label="recordings", unit="file") as advance:
        read = default_registry().create("reader", reader)
        sounds = read([Path(corpus) / sample.start for sample in left], spec.sample_rate)
        for sample, (path, sound) in zip(left, sounds, strict=True):
            try:
                whole = _level(require_sound(sound, path), spec)
                write_wav(folder / f"{sample.id}-recording.wav", whole, spec.sample_rate)
            except ReadError as error:
                notes.append(f"spoken from features: {error}")
            advance()
    return notes


def _level(sound: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return a sound at the level from which its features were extracted."""
    scaled = sound * (spec.peak / np.abs(sound).max()) if spec.peak else sound
    return np.clip(scaled, -1, 1)
