"""Recordings to train a vocoder on: samples and features, aligned frame by frame.

As in the published preprocessing, a recording is padded as for its features and cut to whole hops,
so that the samples of frame `j` are those from `j * hop_length` on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..data.readers import SUFFIXES, is_recording
from ..data.splits import key_of, list_splits, speaker_of, split_by_hash
from ..errors import CorpusError, ReadError
from ..features import FeatureSpec, extract, frame_padded, require_sound
from ..output.files import make_folder, write_json
from ..output.progress import Track, quiet
from ..plugins import Component, default_registry

log = logging.getLogger("keras_listen")

#: Share of the recordings used for validation where there are no list files, in percent.
_VALIDATION = 5.0
_CHUNK = 32
_FULL_SCALE = 32767


@dataclass(frozen=True)
class Recordings:
    """Samples and features of many recordings, concatenated and memory-mapped.

    Attributes:
        samples: [shape=(frames, hop_length), int16].
        features: [shape=(frames, mels), float32, in [0, 1]].
        names: of each recording: its path in its folder, with hyphens.
        starts: first frame of each, then the total [shape=(recordings + 1,)].
        validation: whether a recording is for validation only [shape=(recordings,), bool].
        skipped: file and reason of each recording that could not be used.
    """

    samples: np.ndarray
    features: np.ndarray
    names: tuple[str, ...]
    starts: np.ndarray
    validation: np.ndarray
    skipped: tuple[tuple[str, str], ...]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of frames of each recording [shape=(recordings,)]."""
        return np.diff(self.starts)

    def crop(
        self, recording: int, first: int, frames: int, margin: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a piece of a recording; beyond its ends is silence.

        Args:
            recording: number of the recording.
            first: first frame, counted from the beginning of the recording.
            frames: length of the piece.
            margin: further frames of features on either side.

        Returns:
            samples [shape=(frames * hop_length,), in [-1, 1]] and features
            [shape=(frames + 2 * margin, mels)].
        """
        begin, end = self.starts[recording], self.starts[recording + 1]

        def cut(array: np.ndarray, start: int, stop: int) -> np.ndarray:
            low, high = max(start, begin), min(stop, end)
            return np.pad(array[low:high], ((low - start, stop - high), (0, 0)))

        at = begin + first
        samples = cut(self.samples, at, at + frames).reshape(-1) / np.float32(_FULL_SCALE)
        return samples, cut(self.features, at - margin, at + frames + margin)


def gather(
    folders: Sequence[str | Path],
    target: str | Path,
    spec: FeatureSpec,
    *,
    reader: str = "soundfile",
    track: Track = quiet,
) -> Recordings:
    """Read every sound under `folders` into `target`, or reuse what an earlier call has read.

    Where a folder has a validation or testing list, files of the former are for validation and
    those of the latter are left out; elsewhere a hash of the speaker chooses 5 % for validation.

    Raises:
        CorpusError: a folder does not exist, or no recording could be used.
    """
    target = Path(target)
    files = [pair for folder in folders for pair in _walk(Path(folder))]
    if not files:
        named = ", ".join(map(str, folders))
        raise CorpusError(
            f"no recording was found under {named}; expected files with one of "
            f"{', '.join(SUFFIXES)}"
        )
    stamps = [(str(path), split, path.stat().st_size) for path, _, split in files]
    parts = [stamps, spec.to_dict(), reader]
    plan = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    if not (target / "index.json").is_file() or _index(target)["plan"] != plan:
        _read_all(files, target, spec, default_registry().find("reader", reader), plan, track)
    index = _index(target)
    if not index["names"]:
        raise CorpusError(
            f"none of {len(files)} files could be used; the first: {index['skipped'][0][1]}"
        )
    frames = index["starts"][-1]
    return Recordings(
        np.memmap(target / "samples.bin", "<i2", "r", shape=(frames, spec.hop_length)),
        np.memmap(target / "features.bin", "<f4", "r", shape=(frames, spec.n_mels)),
        tuple(index["names"]),
        np.array(index["starts"], np.int64),
        np.array(index["validation"], bool),
        tuple(map(tuple, index["skipped"])),
    )


def _index(target: Path) -> dict:
    return json.loads((target / "index.json").read_text(encoding="utf-8"))


def _walk(folder: Path) -> list[tuple[Path, str, str]]:
    """Return the sounds under a folder with names and splits, except those in `_` folders."""
    if not folder.is_dir():
        raise CorpusError(f"the folder of recordings {folder} does not exist")
    paths = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if is_recording(path) and not hidden and not inside.parts[0].startswith("_"):
            paths.append((path, inside))
    listed, notes = list_splits(folder, {key_of(inside.as_posix()) for _, inside in paths})
    for note in notes:
        log.warning("%s", note)
    found = []
    for path, inside in paths:
        if listed is not None:
            split = listed.get(key_of(inside.as_posix()), "training")
        else:
            split = split_by_hash(speaker_of(path.name), validation=_VALIDATION, testing=0.0)
        if split != "testing":
            found.append((path, "-".join(inside.with_suffix("").parts), split))
    return found


def _read_all(
    files: Sequence[tuple[Path, str, str]],
    target: Path,
    spec: FeatureSpec,
    reader: Component,
    plan: str,
    track: Track,
) -> None:
    import joblib

    shutil.rmtree(target, ignore_errors=True)
    make_folder(target)
    names, starts, validation, skipped = [], [0], [], []
    chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
    tasks = (joblib.delayed(_read_some)([path for path, *_ in c], spec, reader) for c in chunks)
    run = joblib.Parallel(n_jobs=min(os.cpu_count() or 1, len(chunks)), return_as="generator")
    results = (result for chunk in run(tasks) for result in chunk)
    with (
        open(target / "samples.bin", "wb") as wave,
        open(target / "features.bin", "wb") as mel,
        track(total=len(files), label="recordings", unit="file") as advance,
    ):
        for (path, name, split), result in zip(files, results, strict=True):
            advance()
            if isinstance(result, str):
                skipped.append((str(path), result))
                continue
            samples, features = result
            wave.write(samples.tobytes())
            mel.write(features.tobytes())
            names.append(name)
            starts.append(starts[-1] + len(features))
            validation.append(split == "validation")
    index = {"plan": plan, "names": names, "starts": starts, "validation": validation}
    write_json(target / "index.json", {**index, "skipped": skipped})


def _read_some(paths: list[Path], spec: FeatureSpec, reader: Component) -> list:
    """Return samples and features of each file, or the reason why it was skipped."""
    results = []
    for path, sound in reader.create()(paths, spec.sample_rate):
        try:
            sound = require_sound(sound, path)
            features = extract(sound, spec)
            scale = spec.peak / np.abs(sound).max() if spec.peak else 1.0
            whole = frame_padded(sound * scale, spec)[: len(features) * spec.hop_length]
            samples = np.round(np.clip(whole, -1, 1) * _FULL_SCALE).astype("<i2")
            results.append((samples, features))
        except ReadError as error:
            results.append(str(error))
    return results
