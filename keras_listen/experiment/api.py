"""What `import keras_listen` offers beyond its building blocks: `listen` and `load_features`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec, extract_fitted, require_sound
from ..models.backend import require_tensorflow
from ..models.blocks import BLOCK_SIZE
from ..output.progress import Track, quiet
from ..plugins import default_registry

log = logging.getLogger("keras_listen")


def load_features(
    path: str | Path, spec: FeatureSpec | None = None, reader: str | None = None
) -> np.ndarray:
    """Read a sound file and return its feature.

    Args:
        path: any file the reader opens, at any rate, mono or not (channels are averaged).
        spec: what to extract; the published features by default.
        reader: name of a reader, "soundfile" by default; see `keras-listen plugins`.

    Returns:
        float32 [shape=(frames, mels), in [0, 1]]: (90, 80) by default.

    Raises:
        ReadError: the file is missing, unreadable, empty, silent or not sound.
    """
    spec = spec or FeatureSpec()
    read = default_registry().create("reader", reader or "soundfile")
    _, samples = next(iter(read([Path(path)], spec.sample_rate)))
    return extract_fitted(require_sound(samples, path), spec)


def listen(
    prior: str = "ae",
    objective: str = "softmax",
    vocoder: str = "wavenet",
    *,
    words: Sequence[str] = (),
    samples: int | None = None,
    start: str = "noise",
    steps: int = 20,
    step_size: float | None = None,
    optimizer: str = "normalized",
    shift: int | None = None,
    gain: float | None = None,
    stop_at: float | None = None,
    keep_best: bool = False,
    seed: int = 0,
    bundle: str | Path | None = None,
    classifier: str | Path | None = None,
    words_file: str | Path | None = None,
    spec: str | Path | None = None,
    trust_model: bool = False,
    options: Iterable[str] | Mapping[str, Any] = (),
    reader: str = "soundfile",
    block_size: int = BLOCK_SIZE,
    out: str | Path | None = None,
    resume: bool = False,
    track: Track = quiet,
):
    """Maximize a classifier's words and write features, sounds, pictures and a page.

    Does what `keras-listen run` does.

    Args:
        prior, objective, vocoder: names, see `keras-listen plugins`; vocoder "none" makes no sound.
        words: target words; all of the classifier's by default.
        samples: starts for each word; by default one of noise, or all recordings of a folder.
        start: "noise", one recording, or a folder with one folder a word (class-to-class).
        steps, step_size: of the ascent; the prior's step size by default.
        optimizer: "normalized" as published, "momentum" or "adam".
        shift, gain: while climbing, features are moved by up to so many frames and made louder or
            softer by up to so many dB, by other amounts at each step.
        stop_at: a sample whose target has this probability is left where it is.
        keep_best: keep the step with the highest objective instead of the last.
        seed: of the noise and everything else that is drawn.
        bundle: folder of a bundle; the embedded one by default.
        classifier: a `.keras` file in place of the bundle's classifier, with its `words_file`
            (one word a line) and, if its features are not the default ones, a `spec` TOML file.
        trust_model: open `classifier` even if it holds Python code.
        options: of the components, as "KIND.NAME.KEY=VALUE" texts or {"KIND.NAME.KEY": value}.
        reader: name of the reader of recordings.
        block_size: samples computed together; results depend on it in their last bits.
        out: folder, new or empty; the next `listen-NNN` by default.
        resume: continue the interrupted run in `out` (by default the newest `listen-NNN`).
        track: progress, see `keras_listen.progress`.

    Returns:
        keras_listen.runs.Run, with `root`, `rows`, and the rates `summary` and `by_word`.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    require_tensorflow()
    from .experiment import resolve
    from .folder import Run, carry_out
    from .manifest import manifest_of
    from .options import ModelChoice, parse_options
    from .pictures import draw_sample
    from .samples import utterance_samples

    if samples is not None and samples < 1:
        raise ParameterError(f"samples is {samples}; expected at least 1")
    if block_size < 1:
        raise ParameterError(f"the block size is {block_size}; expected at least 1")
    default_registry().find("reader", reader)
    texts = option_texts(options)
    models = ModelChoice(*map(as_text, (bundle, classifier, words_file, spec)), trust_model)
    climbing = {
        "steps": steps,
        "step_size": step_size,
        "optimizer": optimizer,
        "shift": shift or 0,
        "gain": gain or 0.0,
        "stop_at": stop_at,
        "keep_best": keep_best,
    }
    command = {
        "prior": prior,
        "objective": objective,
        "vocoder": vocoder,
        "words": list(words),
        "samples": samples,
        "start": str(start),
        **climbing,
        "seed": seed,
        **models.settings(),
        "options": texts,
        "reader": reader,
        "block_size": block_size,
    }
    experiment = resolve(
        models,
        prior=prior,
        objective=objective,
        vocoder=vocoder,
        ascent=climbing,
        options=parse_options(texts),
        seed=seed,
        block_size=block_size,
    )
    for word in words:
        experiment.classifier.label(word)
    words = list(dict.fromkeys(words)) or experiment.classifier.words
    if str(start) == "noise":
        plan = experiment.noise_samples(words, samples or 1)
    else:
        known = experiment.classifier.words
        plan = utterance_samples(start, command["words"], known, samples)
        if Path(start).is_file():
            # Found out before anything is written; in a folder, bad recordings are left out.
            load_features(start, experiment.classifier.spec, reader)
    run = (Run.resume if resume else Run.create)(out, manifest_of(experiment, command))
    for note in experiment.notes:
        log.warning("%s", note)
    try:
        carry_out(experiment, plan, run, reader=reader, draw=draw_sample, track=track)
    except BaseException:
        # What is finished can be looked at, even where an interruption cut the rest off.
        with contextlib.suppress(Exception):
            _conclude(run, experiment)
        raise
    _conclude(run, experiment)
    return run


def vocode(
    inputs: Iterable[str | Path],
    out: str | Path,
    *,
    vocoder: str = "wavenet",
    bundle: str | Path | None = None,
    options: Iterable[str] | Mapping[str, Any] = (),
    reader: str = "soundfile",
    seed: int = 0,
    track: Track = quiet,
):
    """Turn recordings (copy-synthesis) or features into sound files.

    Does what `keras-listen vocode` does.

    Args:
        inputs: sound files, `.npy` files of features [shape=(frames, mels)], or folders of them.
        out: folder, new or empty.
        vocoder: name, see `keras-listen plugins`.
        bundle: folder of a bundle; the embedded one by default.
        options: of the vocoder, as for `listen`.
        reader: name of the reader of recordings.
        seed: of everything that is drawn.
        track: progress, see `keras_listen.progress`.

    Returns:
        list of keras_listen.vocoding.Spoken.

    Raises:
        ListenError: anything given cannot be used; nothing has been written then.
    """
    from ..models.bundle import load_bundle
    from ..output.files import csv_text, make_folder, require_empty, write_json, write_text
    from ..vocoders.synthesis import vocode as vocode_each
    from .experiment import make_vocoder
    from .manifest import vocoding_manifest
    from .options import parse_options

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
    spoken = []
    sounds = vocode_each(inputs, root, speaker, seed=seed, reader=reader, track=track)
    try:
        for one in sounds:
            spoken.append(one)
    finally:
        # What is finished is in the table, even where an interruption cut the rest off.
        if spoken:
            rows = [
                {
                    "name": one.name,
                    "frames": one.frames,
                    "mel_distance_db": f"{one.mel_distance:.6g}",
                    "clipped_share": f"{one.clipped_share:.6g}",
                    "gain": f"{one.gain:.6g}",
                }
                for one in spoken
            ]
            write_text(make_folder(root) / "vocoded.csv", csv_text(rows))
            write_json(root / "manifest.json", manifest)
    return spoken


def _conclude(run, experiment) -> None:
    from .page import write_page
    from .table import summarize

    judged = experiment.referee.words if experiment.referee else ()
    run.summary = summarize(run.rows, judged)
    run.by_word = {
        word: summarize([row for row in run.rows if row["word"] == word], judged)
        for word in dict.fromkeys(row["word"] for row in run.rows if row["word"])
    }
    with run.timed("page"):
        write_page(run, run.summary)
    run.write_timing()


def option_texts(options: Iterable[str] | Mapping[str, Any]) -> list[str]:
    if isinstance(options, Mapping):
        return [f"{path}={value}" for path, value in options.items()]
    return list(options)


def as_text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def require_least(command: Mapping[str, Any], least: Mapping[str, int]) -> None:
    """Refuse settings below what each of them must be at least; None is no setting.

    Raises:
        ParameterError: one is.
    """
    for name, smallest in least.items():
        if command[name] is not None and command[name] < smallest:
            what = name.replace("_", " ")
            raise ParameterError(f"{what} is {command[name]}; expected at least {smallest}")
