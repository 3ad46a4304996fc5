"""Readers: decode sound files to mono float32 samples at a given rate."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy as np

from ..errors import ReadError, install_command
from ..hookspecs import Register, hookimpl
from .sound_files import (
    EMPTY,
    Reader,
    Sounds,
    count_resampled,
    cut_short,
    damaged,
    is_guessed,
    plausible,
    reason,
    require_whole,
    unreadable,
)
from .tfio_reader import tfio_reader

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


def is_recording(path: Path, *more: str) -> bool:
    """Return whether a file's name is that of a recording: no dot first, and a suffix of sound.

    Macs put a file `._x.wav` without sound beside each `x.wav`.

    Args:
        path: of the file.
        more: further suffixes.
    """
    return path.suffix.lower() in (*SUFFIXES, *more) and not path.name.startswith(".")


def soundfile_reader(bundle: None) -> Reader:
    """Read whatever libsndfile reads, resampled by soxr at high quality."""
    # Slow to import: listing the readers must not need them.
    import soundfile
    import soxr

    def decode(path: Path) -> tuple[np.ndarray, int]:
        with soundfile.SoundFile(path) as file:
            try:
                samples = file.read(dtype="float32", always_2d=True)
            except (RuntimeError, ValueError, MemoryError) as error:
                raise damaged(reason(error)) from error
            if len(samples) < file.frames and not (file.format == "MP3" and is_guessed(path)):
                raise cut_short(len(samples), file.frames, "samples")
            return samples.mean(axis=1), plausible(file.samplerate)

    def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
        length = count_resampled(samples.size, source, target)
        # soxr rounds the length; the missing part is a fraction of a sample at the end.
        samples = soxr.resample(samples, source, target, quality="HQ")[:length]
        return np.pad(samples, (0, length - samples.size))

    def read_one(path: Path, sample_rate: int) -> np.ndarray | ReadError:
        try:
            require_whole(path)
            samples, rate = decode(path)
        except (ReadError, OSError, RuntimeError) as error:
            return unreadable(path, reason(error))
        if not samples.size:
            return unreadable(path, EMPTY)
        return samples if rate == sample_rate else resample(samples, rate, sample_rate)

    def read(paths: Iterable[Path], sample_rate: int) -> Sounds:
        return ((path, read_one(path, sample_rate)) for path in paths)

    return read


def tfio_unavailable() -> str | None:
    """Return why tensorflow-io cannot decode here, from version metadata alone, or None."""
    if sys.version_info >= (3, 13):
        return "tensorflow-io has no release for Python 3.13 or newer"
    try:
        installed = metadata.version("tensorflow-io")
    except metadata.PackageNotFoundError:
        return f"tensorflow-io is not installed; {install_command('tfio')}"
    tensorflow = next(
        (v for n in ("tensorflow", "tensorflow-cpu") if (v := _version(n))), "not installed"
    )
    if not tensorflow.startswith(("2.16.", "2.17.")):
        return (
            f"tensorflow-io {installed} works with TensorFlow 2.16 and 2.17, here is {tensorflow}; "
            f"{install_command('tfio')}"
        )
    return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@hookimpl
def register_readers(register: Register) -> None:
    register("soundfile", soundfile_reader)
    register("tfio", tfio_reader, unavailable=tfio_unavailable)
