"""Samples and their starting points: noise, or recordings (class to class)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.readers import SUFFIXES
from ..errors import ParameterError, ReadError
from ..features import FeatureSpec, extract_fitted, require_sound
from ..plugins import default_registry

log = logging.getLogger("keras_listen")


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
    start: str | Path, words: Sequence[str], known: Sequence[str], count: int | None
) -> list[Sample]:
    """Plan the class-to-class experiment on recordings.

    Args:
        start: one recording, maximized to each of `words`; or a folder with one folder a word,
            each recording maximized to its own word.
        words: target words; for a folder all of the classifier's where empty.
        known: the classifier's words.
        count: at most so many recordings of each word; all where None.

    Raises:
        ParameterError: the start does not exist, has no recording, or is one without a word.
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
    samples = []
    for word in folders:
        paths = sorted(p for p in (start / word).iterdir() if p.suffix.lower() in SUFFIXES)
        samples += [
            Sample(f"{slug(word)}-{slug(path.stem)}", word, f"{word}/{path.name}", k, path)
            for k, path in enumerate(paths[:count])
        ]
    if not samples:
        raise ParameterError(
            f"the start {start} has no recording in a folder called by one of the words "
            f"{', '.join(words or known)}"
        )
    return unique_samples(samples)


def unaimed_samples(start: str | Path, label: str, count: int | None) -> list[Sample]:
    """Plan samples from recordings for an objective that has no words.

    Args:
        start: one recording; or a folder with recordings, or with folders of them.
        label: of the objective.
        count: at most so many recordings of each folder; all where None.

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
    paths = []
    for folder in (start, *sorted(p for p in start.iterdir() if p.is_dir())):
        mine = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        paths += [path for path in mine if not path.name.startswith(".")][:count]
    if not paths:
        raise ParameterError(f"the start {start} has no recording, and no folder with one")
    names = [path.relative_to(start) for path in paths]
    return unique_samples(
        Sample(
            "-".join(slug(part) for part in (label, *name.parent.parts, name.stem)),
            "",
            name.as_posix(),
            k,
            path,
        )
        for k, (name, path) in enumerate(zip(names, paths, strict=True))
    )


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
    kept, features = [], []
    sounds = read([sample.path for sample in samples], spec.sample_rate)
    for sample, (path, sound) in zip(samples, sounds, strict=True):
        try:
            features.append(extract_fitted(require_sound(sound, path), spec))
            kept.append(sample)
        except ReadError as error:
            log.warning("left out %s", error)
    return kept, np.reshape(features, (len(kept), spec.frames, spec.n_mels))
