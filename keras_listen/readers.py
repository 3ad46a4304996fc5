"""Readers: sound files to mono float32 samples at the rate asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from .errors import ReadError
from .hookspecs import hookimpl

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

Sounds = Iterator[tuple[Path, "np.ndarray | ReadError"]]


def soundfile_reader(bundle: None):
    """Read whatever libsndfile reads, resampled by soxr at high quality."""
    import soundfile
    import soxr

    def read_one(path: Path, sample_rate: int) -> np.ndarray | ReadError:
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:
            return ReadError(f"{path}: cannot be read as sound: {reason(path, error)}")
        samples = samples.mean(axis=1)
        if rate != sample_rate and samples.size:
            samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
        return samples

    def read(paths: Iterable[Path], sample_rate: int) -> Sounds:
        return ((path, read_one(path, sample_rate)) for path in paths)

    return read


def reason(path: Path, error: Exception) -> str:
    """Say why `path` was not read, without the path and without line breaks."""
    if not path.exists():
        return "there is no such file"
    if path.is_dir():
        return "it is a folder"
    if path.stat().st_size == 0:
        return "the file is empty"
    text = str(getattr(error, "error_string", None) or error)
    return " ".join(text.replace(str(path), "").split()).strip(" :'.") or type(error).__name__


def tfio_unavailable() -> str | None:
    """Say why tensorflow-io cannot decode here, from version metadata alone."""
    if sys.version_info >= (3, 13):
        return "tensorflow-io has no release for Python 3.13 or newer"
    try:
        installed = metadata.version("tensorflow-io")
    except metadata.PackageNotFoundError:
        return "tensorflow-io is not installed; pip install 'keras-listen[tfio]'"
    tensorflow = next(
        (v for n in ("tensorflow", "tensorflow-cpu") if (v := _version(n))), "not installed"
    )
    if not tensorflow.startswith(("2.16.", "2.17.")):
        return (
            f"tensorflow-io {installed} works with TensorFlow 2.16 and 2.17, here is {tensorflow}; "
            "pip install 'keras-listen[tfio]'"
        )
    return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def tfio_reader(bundle: None, *, parallel: int = 0):
    """Decode and resample wav, flac, ogg and mp3 inside a tf.data pipeline by tensorflow-io.

    `parallel` is the number of files in work at once; 0 leaves it to tf.data.
    """
    import tensorflow as tf
    import tensorflow_io as tfio

    decoders = {
        ".flac": lambda data: tfio.audio.decode_flac(data, dtype=tf.int16),
        ".ogg": tfio.audio.decode_vorbis,
        ".mp3": tfio.audio.decode_mp3,
    }

    def decode_wav(data):
        samples, rate = tf.audio.decode_wav(data)
        return samples, tf.cast(rate, tf.int64)

    def read(paths: Iterable[Path], sample_rate: int) -> Sounds:
        paths = list(paths)
        for suffix in sorted({path.suffix.lower() for path in paths}):
            pass
        return iter(())

    return read


@hookimpl
def register_readers(register) -> None:
    register("soundfile", soundfile_reader)
    register("tfio", tfio_reader, unavailable=tfio_unavailable)
