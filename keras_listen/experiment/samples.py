"""Samples and their starting points: noise, or recordings (class to class)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.readers import is_recording
from ..errors import ParameterError, ReadError
from ..features import FeatureSpec, describe_longer, extract, fit_frames, require_sound
from ..plugins import default_registry

log = logging.getLogger("keras_listen")

_CUT = "cut recordings to the word to choose another part"
#: Tries recordings, lazily: the error of each, or None.
ErrorsOf = Callable[[Sequence[Path]], Iterator[ReadError | None]]


@dataclass(frozen=True)
class Sample:
    """One sample to maximize.

    Attributes:
        id: unique name, of its files, too.
        word: target; empty without one.
        start: "noise", or the recording's name.
        k: number, from which its seed is derived.
        path: of the recording; None without one.
    """

    id: str
    word: str
    start: str
    k: int
    path: Path | None = None


def slug(name: str) -> str:
    """Return a name with only those characters that file names have on any system."""
    return re.sub(r"[^\w.-]+", "_", name) or "_"


def unique_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Add numbers to ids that two samples share, because files are named after them."""
    seen: Counter[str] = Counter()
    different = []
    for sample in samples:
        # Some file systems do not tell capitals from small letters.
        seen[key := sample.id.casefold()] += 1
        again = f"{sample.id}_{seen[key]}" if seen[key] > 1 else sample.id
        different.append(replace(sample, id=again))
    return different


def utterance_samples(
    start: str | Path,
    words: Sequence[str],
    known: Sequence[str],
    count: int | None,
    errors_of: ErrorsOf | None = None,
) -> list[Sample]:
    """Plan the class-to-class experiment on recordings.

    Args:
        start: one recording, maximized to each of `words`; or a folder with one folder a word,
            each recording maximized to its own word.
        words: target words; for a folder all of the classifier's where empty.
        known: the classifier's words.
        count: at most so many recordings of each word; all where None.
        errors_of: tries the recordings of a folder, see `start_errors`; by default all are used.

    Raises:
        ParameterError: the start does not exist, has no usable recording, or is one without a word.
    """
    start = Path(start)
    if start.is_file():
        if not words:
            raise ParameterError(f"the start {start} is one recording; name its target with --word")
        return unique_samples(
            Sample(f"{slug(word)}-{slug(start.stem)}", word, str(start), 0, start) for word in words
        )
    if not start.is_dir():
        raise ParameterError(
            f"the start {start} does not exist; expected noise, a recording, or a folder with one "
            "folder a word"
        )
    folders = [word for word in (words or known) if (start / word).is_dir()]
    samples, there = [], 0
    for word in folders:
        paths = sorted(filter(is_recording, (start / word).iterdir()))
        samples += [
            Sample(f"{slug(word)}-{slug(path.stem)}", word, f"{word}/{path.name}", k, path)
            for k, path in _first(paths, count, errors_of)
        ]
        there += len(paths)
    _require_readable(start, samples, there, count, errors_of)
    if not samples:
        raise ParameterError(
            f"the start {start} has no recording in a folder called by one of the words "
            f"{', '.join(words or known)}"
        )
    return unique_samples(samples)


def unaimed_samples(
    start: str | Path, label: str, count: int | None, errors_of: ErrorsOf | None = None
) -> list[Sample]:
    """Plan samples from recordings for an objective that has no words.

    Args:
        start: one recording; or a folder with recordings, or with folders of them.
        label: of the objective.
        count: at most so many recordings of each folder; all where None.
        errors_of: see `utterance_samples`.

    Raises:
        ParameterError: the start does not exist, or has no recording.
    """
    start = Path(start)
    if start.is_file():
        return [Sample(f"{slug(label)}-{slug(start.stem)}", "", str(start), 0, start)]
    if not start.is_dir():
        raise ParameterError(
            f"the start {start} does not exist; expected noise, a recording, or a folder with "
            "recordings"
        )
    paths, there = [], 0
    for folder in (start, *sorted(p for p in start.iterdir() if p.is_dir())):
        mine = sorted(filter(is_recording, folder.iterdir()))
        paths += [path for _, path in _first(mine, count, errors_of)]
        there += len(mine)
    if not there:
        raise ParameterError(f"the start {start} has no recording, and no folder with one")
    names = [path.relative_to(start) for path in paths]
    samples = [
        Sample(
            "-".join(slug(part) for part in (label, *name.parent.parts, name.stem)),
            "",
            name.as_posix(),
            k,
            path,
        )
        for k, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    _require_readable(start, samples, there, count, errors_of)
    return unique_samples(samples)


def _require_readable(
    start: Path,
    samples: Sequence[Sample],
    there: int,
    count: int | None,
    errors_of: ErrorsOf | None,
) -> None:
    """Raise ParameterError where there are recordings and none can be used.

    Those of a `count` were tried when they were chosen; others are, up to the first that can.
    """
    if not there or errors_of is None or (samples and count is not None):
        return
    if all(errors_of([sample.path for sample in samples if sample.path])):
        raise ParameterError(
            f"none of the {there} recordings in {start} can be read as sound; convert them to .wav"
        )


def _first(
    paths: Sequence[Path], count: int | None, errors_of: ErrorsOf | None
) -> list[tuple[int, Path]]:
    """Return the first recordings that can be used, with their places; all where no count is given.

    Of all, those that cannot be used are left out when they are read.
    """
    numbered = list(enumerate(paths))
    if errors_of is None or count is None:
        return numbered[:count]
    chosen: list[tuple[int, Path]] = []
    for pair, error in zip(numbered, errors_of(paths), strict=True):
        if error is None:
            chosen.append(pair)
        else:
            log.warning("left out %s", error)
        if len(chosen) == count:
            break
    return chosen


def start_errors(spec: FeatureSpec, reader: str) -> ErrorsOf:
    """Return a function that tries recordings one by one: what is wrong with each, None if nothing.

    Args:
        spec: of the features to start from.
        reader: name of the reader.
    """

    def errors_of(paths: Sequence[Path]) -> Iterator[ReadError | None]:
        for path, sound in default_registry().create("reader", reader)(paths, spec.sample_rate):
            try:
                extract(require_sound(sound, path), spec)
            except ReadError as error:
                yield error
            else:
                yield None

    return errors_of


def read_starts(
    samples: Sequence[Sample], spec: FeatureSpec, reader: str
) -> tuple[list[Sample], np.ndarray]:
    """Read the features that samples start from; recordings that cannot be used are left out.

    Args:
        samples: with paths.
        spec: of the features.
        reader: name of the reader.

    Returns:
        the samples that remain, and their features [shape=(samples, frames, mels)]. Others are
        logged with the reason.
    """
    read = default_registry().create("reader", reader)
    kept, features, longer = [], [], 0
    sounds = read([sample.path for sample in samples], spec.sample_rate)
    for sample, (path, sound) in zip(samples, sounds, strict=True):
        try:
            whole = extract(require_sound(sound, path), spec)
            features.append(fit_frames(whole, spec))
            longer += len(whole) > spec.frames
            kept.append(sample)
        except ReadError as error:
            log.warning("left out %s", error)
    if cut := describe_longer(longer, len(kept), spec, _CUT):
        log.warning("%s", cut)
    return kept, np.reshape(features, (len(kept), spec.frames, spec.n_mels))
