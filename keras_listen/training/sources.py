"""Sources for the training of a WaveNet of frames: a first sound of each recording's features.

A share of the recordings is given blurred features, with the pitch that the sharp ones have, as an
invented one: maximized features are blurred, and have none of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..features import FeatureSpec
from ..output.files import make_folder, write_json
from ..output.progress import Track, quiet
from ..vocoders.pitch import Pitch, estimate_pitch
from ..vocoders.wavenet.source import source_of
from .recordings import Recordings

#: Share of recordings with blurred features, and largest standard deviations in frames and bands.
_BLURRED, _BLUR = 0.25, (1.5, 2.5)
#: Beginning of the seeds that choose them.
_CHOICE = 7
#: Recordings between two states on disk.
_CHUNK = 64
#: Range of stored samples; louder ones would be faults of the source.
_LOUDEST = 8.0


@dataclass(frozen=True)
class Sources:
    """Sources of recordings, aligned with their samples and memory-mapped.

    Attributes:
        recordings: what they belong to.
        samples: [shape=(frames, hop_length), float16].
        hertz: pitch of each frame, 0 for none [shape=(frames,), float32].
    """

    recordings: Recordings
    samples: np.ndarray
    hertz: np.ndarray

    def crop(self, recording: int, first: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the source's samples and the pitch in a piece of a recording; 0 beyond its ends.

        Args:
            recording: number of the recording.
            first: first frame, counted from the beginning of the recording.
            frames: length of the piece.
        """
        begin, end = self.recordings.starts[recording : recording + 2]
        low, high = begin + first, min(begin + first + frames, end)
        missing = frames - (high - low)
        samples = np.pad(self.samples[low:high], ((0, missing), (0, 0)))
        hertz = np.pad(self.hertz[low:high], (0, missing))
        return samples.reshape(-1).astype(np.float32), hertz.astype(np.float64)

    def given(self, recording: int) -> np.ndarray:
        """Return the features that a recording's source was made from [shape=(frames, mels)]."""
        return _given(self.recordings, recording)[0]


def make_sources(
    recordings: Recordings, folder: Path, spec: FeatureSpec, track: Track = quiet
) -> Sources:
    """Make the sources of all recordings, or go on where an earlier call was interrupted.

    Args:
        recordings: from `gather`.
        folder: for the files of the result.
        spec: of the features.
        track: progress.
    """
    make_folder(folder)
    starts = recordings.starts
    text = json.dumps([spec.to_dict(), recordings.names, starts.tolist()])
    plan = hashlib.sha256(text.encode()).hexdigest()
    done = _done(folder, plan)
    shape = (int(starts[-1]), spec.hop_length)
    if not done:
        for name, size in (("sources.bin", 2 * spec.hop_length), ("hertz.bin", 4)):
            with open(folder / name, "wb") as file:
                file.truncate(size * shape[0])
    samples = np.memmap(folder / "sources.bin", "<f2", "r+", shape=shape)
    hertz = np.memmap(folder / "hertz.bin", "<f4", "r+", shape=shape[:1])
    count = len(recordings.names)
    with track(total=count - done, label="sources", unit="file") as advance:
        for recording, (source, pitch) in enumerate(_all(recordings, done, spec), done):
            place = slice(starts[recording], starts[recording + 1])
            samples[place], hertz[place] = source, pitch
            advance()
            if (recording + 1) % _CHUNK == 0 or recording + 1 == count:
                samples.flush()
                hertz.flush()
                write_json(folder / "sources.json", {"plan": plan, "done": recording + 1})
    return Sources(recordings, samples, hertz)


def _done(folder: Path, plan: str) -> int:
    """Return the number of sources that an earlier call has made."""
    try:
        state = json.loads((folder / "sources.json").read_text(encoding="utf-8"))
        return int(state["done"]) if state["plan"] == plan else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _all(
    recordings: Recordings, begin: int, spec: FeatureSpec
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield source and pitch of each recording from number `begin` on, made on all cores."""
    import joblib

    # A few at a time: each task carries its features. Processes start slowly, so few do without.
    jobs = min(os.cpu_count() or 1, -(-(len(recordings.names) - begin) // _CHUNK)) or 1
    run = joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=4)
    yield from run(
        joblib.delayed(_make)(_sharp(recordings, number), *_given(recordings, number), number, spec)
        for number in range(begin, len(recordings.names))
    )


def _make(
    sharp: np.ndarray, given: np.ndarray, origin: str, number: int, spec: FeatureSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Return the source [shape=(frames, hop_length)] and the pitch of one recording."""
    from threadpoolctl import threadpool_limits

    hertz = estimate_pitch(sharp, spec)
    pitch = Pitch(hertz, origin if hertz.any() else "none")
    # Threads of BLAS would only wait for each other: the products are small.
    with threadpool_limits(1, "blas"):
        padded = source_of(given, pitch, spec, np.array([0, number], np.uint32))
    whole = padded[: len(sharp) * spec.hop_length].reshape(-1, spec.hop_length)
    return np.clip(whole, -_LOUDEST, _LOUDEST).astype("<f2"), hertz


def _sharp(recordings: Recordings, number: int) -> np.ndarray:
    return np.array(recordings.features[recordings.starts[number] : recordings.starts[number + 1]])


def _given(recordings: Recordings, number: int) -> tuple[np.ndarray, str]:
    """Return the features that a source is made from, and the origin that its pitch is given."""
    from scipy.ndimage import gaussian_filter

    features, draws = _sharp(recordings, number), np.random.default_rng((_CHOICE, number))
    if draws.random() >= _BLURRED:
        return features, "estimated"
    return gaussian_filter(features, draws.random(2) * _BLUR, mode="nearest"), "invented"
