"""Synthesize sound from features with any vocoder, and vocode files.

Shows progress, keeps sounds in range, and measures the distance of the sound's mel bands.
"""

from __future__ import annotations

import io
import logging
import queue
import threading
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import SUFFIXES, is_recording
from ..errors import ParameterError, ReadError
from ..features import FeatureSpec, count_frames, count_samples, extract, require_sound
from ..output.files import make_folder, replacing
from ..output.progress import Track, quiet
from ..plugins import default_registry
from ..plugins.proxy import fault
from ..seeds import derive
from .pitch import Pitch, control_of
from .voicing import voiced_share

log = logging.getLogger("keras_listen")

#: Number of sounds vocoded together; they are written before the next batch begins.
_BATCH = 64


def tells_progress(vocoder: Any) -> bool:
    """Return whether a vocoder estimates its time and reports progress, as slow ones do."""
    return hasattr(vocoder, "report") and hasattr(vocoder, "seconds_for")


def synthesize(
    vocoder: Any,
    features: np.ndarray,
    seeds: np.ndarray,
    track: Track = quiet,
    *,
    lengths: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn features into sounds and scale down those that are too loud.

    If the vocoder has `seconds_for` and `report` (see hookspecs), its estimate of the time is
    logged and its progress shown.

    Args:
        vocoder: see hookspecs.
        features: [shape=(batch, frames, mels), in [0, 1]].
        seeds: [shape=(batch, 2), uint32].
        track: progress, see `keras_listen.output.progress`.
        lengths: frames of each, where features are padded; the sound after them is set to 0.

    Returns:
        sounds [shape=(batch, samples), in [-1, 1]] and the gain of each [shape=(batch,)].
    """
    if tells_progress(vocoder):
        sounds = _tracked(vocoder, features, seeds, track)
    else:
        sounds = vocoder.synthesize(features, seeds)
    sounds = np.array(sounds, np.float32)
    _require_length(vocoder, sounds.shape[-1], features.shape[1])
    for sound, frames in zip(sounds, lengths or (), strict=False):
        sound[count_samples(frames, vocoder.spec) :] = 0
    peaks = np.abs(sounds).max(axis=1)
    gains = np.where(peaks > 1, 1 / np.maximum(peaks, 1e-12), 1.0).astype(np.float32)
    return sounds * gains[:, None], gains


def _require_length(vocoder: Any, samples: int, frames: int) -> None:
    """Raise the vocoder's fault unless sounds have as many frames as their features."""
    found = count_frames(samples, vocoder.spec)
    if found != frames:
        raise fault(
            vocoder,
            "the vocoder",
            f"made sounds of {samples} samples, which are {found} frames, of {frames} frames; "
            f"expected {count_samples(frames, vocoder.spec)} samples",
        )


class _Stopped(Exception):
    """Ends the vocoder's threads after an interruption."""


def _tracked(vocoder: Any, features: np.ndarray, seeds: np.ndarray, track: Track) -> np.ndarray:
    """Run the vocoder in a thread of its own and show the progress that it reports."""
    count, frames = features.shape[:2]
    total = count * count_samples(frames, vocoder.spec)
    seconds = vocoder.seconds_for(count, frames)
    log.info("vocoding %d sounds takes about %.0f s", count, max(1.0, seconds))
    reports: queue.SimpleQueue = queue.SimpleQueue()
    stop = threading.Event()
    result: list[Any] = []

    def report(done: int) -> None:
        if stop.is_set():
            raise _Stopped
        reports.put(done)

    def work() -> None:
        try:
            result.append(vocoder.synthesize(features, seeds))
        except BaseException as error:
            result.append(error)
        reports.put(None)

    before, vocoder.report = vocoder.report, report
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        with track(total=total, label="vocode", unit="audio sample") as advance:
            left = total
            while (done := reports.get()) is not None:
                # The vocoder may count what it cuts off in the end.
                advance(min(done, left))
                left -= min(done, left)
            advance(left if isinstance(result[0], np.ndarray) else 0)
    finally:
        stop.set()
        thread.join()
        vocoder.report = before
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def wav_bytes(sound: np.ndarray, sample_rate: int) -> bytes:
    """Encode a sound [shape=(samples,), in [-1, 1]] as a 16-bit wav file."""
    import soundfile

    wav = io.BytesIO()
    soundfile.write(wav, sound, sample_rate, format="WAV", subtype="PCM_16")
    return wav.getvalue()


def write_wav(path: str | Path, sound: np.ndarray, sample_rate: int) -> None:
    """Write a sound as a 16-bit wav file, which appears only when it is complete.

    Args:
        path: of the file.
        sound: [shape=(samples,), in [-1, 1]].
        sample_rate: Hz.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    # libsndfile writes to memory only, because it does not say what is wrong with a disk.
    with replacing(path) as beside:
        beside.write_bytes(wav_bytes(sound, sample_rate))


@dataclass(frozen=True)
class Spoken:
    """One vocoded file.

    Attributes:
        name: of the file, without suffix.
        path: of the wav file.
        frames: number of frames of the features.
        mel_distance: mean absolute difference between the features and those of the sound, in dB.
        clipped_share: share of the features that were outside [0, 1].
        gain: below 1 where the sound was scaled down.
        voiced_share: share of the sound's frames that are voiced.
        pitch: that the vocoder gave it; None where it does nothing about the pitch.
    """

    name: str
    path: Path
    frames: int
    mel_distance: float
    clipped_share: float
    gain: float
    voiced_share: float
    pitch: Pitch | None = None


def mel_distance(features: np.ndarray, sound: np.ndarray, spec: FeatureSpec) -> float:
    """Return the mean absolute difference between features and those of a sound, in dB.

    Args:
        features: [shape=(frames, mels), in [0, 1]].
        sound: [shape=(count_samples(frames),)].
        spec: of the features.
    """
    again = extract(sound, spec)
    frames = min(len(again), len(features))
    return float(-spec.floor_db * np.abs(again[:frames] - features[:frames]).mean())


def vocode(
    inputs: Iterable[str | Path],
    target: str | Path,
    vocoder: Any,
    *,
    seed: int = 0,
    reader: str = "soundfile",
    track: Track = quiet,
) -> Iterator[Spoken]:
    """Vocode recordings (copy-synthesis) and feature files, and write `<name>.wav` for each.

    Args:
        inputs: sound files, `.npy` files of features [shape=(frames, mels)], or folders of them.
        target: folder for the sounds, created with the first of them.
        vocoder: see hookspecs.
        seed: of all random draws; those for a file depend on it and on the file's name.
        reader: name of the reader of recordings.
        track: progress, see `keras_listen.output.progress`.

    Yields:
        one Spoken for each file, as soon as its sound is written.

    Raises:
        ReadError: a recording cannot be used; then nothing has been written.
        ParameterError: a file of features cannot be used; then nothing has been written.
    """
    spec, control = vocoder.spec, control_of(vocoder)
    items = _load(list(_files(inputs)), spec, reader)
    for batch in _batches(items, getattr(vocoder, "causal", False)):
        lengths = [len(features) for _, features, _ in batch]
        padded = np.stack([np.pad(f, ((0, max(lengths) - len(f)), (0, 0))) for _, f, _ in batch])
        seeds = np.stack([derive(seed, name, 0) for name, _, _ in batch])
        sounds, gains = synthesize(vocoder, padded, seeds, track, lengths=lengths)
        for (name, features, outside), sound, gain in zip(batch, sounds, gains, strict=True):
            sound = sound[: count_samples(len(features), spec)]
            path = make_folder(target) / f"{name}.wav"
            write_wav(path, sound, spec.sample_rate)
            distance = mel_distance(features, sound, spec)
            voiced = voiced_share(sound, spec.sample_rate)
            pitch = control.find(features) if control else None
            yield Spoken(name, path, len(features), distance, outside, float(gain), voiced, pitch)


def _files(inputs: Iterable[str | Path]) -> Iterator[Path]:
    suffixes = (*SUFFIXES, ".npy")
    for path in map(Path, inputs):
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.iterdir() if is_recording(p, ".npy"))
        if not found:
            raise ParameterError(
                f"the folder {path} has nothing to vocode; expected files with one of "
                f"{', '.join(suffixes)}"
            )
        yield from found


Item = tuple[str, np.ndarray, float]


def _load(paths: Sequence[Path], spec: FeatureSpec, reader: str) -> list[Item]:
    """Return name, clipped features and the share of clipped values of every file."""
    read = default_registry().create("reader", reader)
    items, seen = [], Counter()
    for path in paths:
        if path.suffix.lower() == ".npy":
            features = load_feature_file(path, spec)
        else:
            _, sound = next(iter(read([path], spec.sample_rate)))
            features = extract(require_sound(sound, path), spec)
        try:
            count_samples(len(features), spec)
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from error
        outside = float(((features < 0) | (features > 1)).mean())
        if outside:
            log.warning("%s: %.1f %% lie outside [0, 1] and are clipped", path, 100 * outside)
        seen[path.stem.casefold()] += 1
        again = seen[path.stem.casefold()]
        name = path.stem if again == 1 else f"{path.stem}_{again}"
        items.append((name, np.clip(features, 0, 1), outside))
    return items


def load_feature_file(path: str | Path, spec: FeatureSpec) -> np.ndarray:
    """Read features from a `.npy` file [shape=(frames, mels)].

    Raises:
        ReadError: it cannot be read.
        ParameterError: it has another shape, no frame, or values that are not finite floats.
    """
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ReadError(f"cannot read the features {path}: {error}") from error
    if not isinstance(features, np.ndarray):
        raise ReadError(f"cannot read the features {path}: it is an .npz file; expected .npy")
    if features.ndim != 2 or features.shape[1] != spec.n_mels or not len(features):
        raise ParameterError(
            f"{path} has the shape {features.shape}; expected (frames, {spec.n_mels}) with at "
            "least one frame, time first"
        )
    if not np.issubdtype(features.dtype, np.floating) or not np.isfinite(features).all():
        raise ParameterError(f"{path} has values that are not finite floating-point numbers")
    return features.astype(np.float32)


def _batches(items: Sequence[Item], causal: bool) -> Iterator[list[Item]]:
    """Group files into batches; files of different lengths share one if the vocoder is causal."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(0 if causal else len(item[1]), []).append(item)
    for group in groups.values():
        group.sort(key=lambda item: len(item[1]))
        for start in range(0, len(group), _BATCH):
            yield group[start : start + _BATCH]
