"""Readers: sound files to mono float32 samples at the rate asked for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np

from .backend import start_quietly
from .errors import ReadError
from .hookspecs import hookimpl

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

Sounds = Iterator[tuple[Path, "np.ndarray | ReadError"]]

_EMPTY = "the file holds no samples"
#: Some recorders count the 44 bytes of the header into the length of the data.
_WAV_SLACK = 44
#: Lengths from here on mean "until the file ends": the writer could not go back to fill them in.
_WAV_UNKNOWN = 0x7FFFF000
#: Beyond these rates, in Hz, a header is wrong; resampling by what it says could take for ever.
_RATES = range(100, 1_000_001)


def count_resampled(samples: int, source: int, target: int) -> int:
    """Return how many samples a sound of `samples` has after resampling, rates in Hz."""
    return -(-samples * target // source)


def soundfile_reader(bundle: None):
    """Read whatever libsndfile reads, resampled by soxr at high quality."""
    import soundfile
    import soxr

    def decode(path: Path) -> tuple[np.ndarray, int]:
        with soundfile.SoundFile(path) as file:
            try:
                samples = file.read(dtype="float32", always_2d=True)
            except (RuntimeError, ValueError, MemoryError) as error:
                raise _damaged(_reason(error)) from error
            if len(samples) < file.frames and not (file.format == "MP3" and _is_guessed(path)):
                raise _cut_short(len(samples), file.frames, "samples")
            return samples.mean(axis=1), _plausible(file.samplerate)

    def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
        length = count_resampled(samples.size, source, target)
        # soxr rounds the length; what is missing is the fraction of a sample after the last.
        samples = soxr.resample(samples, source, target, quality="HQ")[:length]
        return np.pad(samples, (0, length - samples.size))

    def read_one(path: Path, sample_rate: int) -> np.ndarray | ReadError:
        try:
            _require_whole(path)
            samples, rate = decode(path)
        except (ReadError, OSError, RuntimeError) as error:
            return _unreadable(path, _reason(error))
        if not samples.size:
            return _unreadable(path, _EMPTY)
        return samples if rate == sample_rate else resample(samples, rate, sample_rate)

    def read(paths: Iterable[Path], sample_rate: int) -> Sounds:
        return ((path, read_one(path, sample_rate)) for path in paths)

    return read


def _unreadable(path: Path, why: str) -> ReadError:
    return ReadError(f"{path}: cannot be read as sound: {why}")


def _damaged(why: str) -> ReadError:
    return ReadError(f"the file is damaged or cut short ({why})")


def _cut_short(there: int, declared: int, unit: str) -> ReadError:
    return ReadError(
        f"the file is cut short, after {there} of {declared} {unit}" if there else _EMPTY
    )


def _reason(error: Exception) -> str:
    """Say in one line what is wrong with a file that exists or not."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    # What libsndfile says of any file called .mp3 that holds no MP3.
    if "possibly a pipe" in text:
        text = "Format not recognised"
    return " ".join(text.split()).strip(" .") or type(error).__name__


def _is_guessed(path: Path) -> bool:
    """Say whether libsndfile guesses the length of an MP3: its header does not give it."""
    data = path.read_bytes()
    start = _id3_length(data)
    # Both names of the one header; it follows the first frame's own, of at most 40 bytes.
    return not any(mark in data[start : start + 64] for mark in (b"Xing", b"Info"))


def _id3_length(data: bytes) -> int:
    """Return the length of the ID3 tag that `data` begins with; 0 where there is none."""
    if not data.startswith(b"ID3"):
        return 0
    return 10 + sum(byte << 7 * place for place, byte in enumerate(data[9:5:-1]))


def _plausible(rate: int) -> int:
    """Return `rate` in Hz, or raise ReadError if no sound is recorded at it."""
    if rate not in _RATES:
        raise ReadError(f"its header gives a sample rate of {rate} Hz")
    return rate


def _wav_chunks(file: BinaryIO) -> dict[bytes, tuple[int, int]]:
    """Return offset and declared length of the chunks of a RIFF file, up to its sound, in bytes."""
    chunks: dict[bytes, tuple[int, int]] = {}
    at = 12
    while b"data" not in chunks:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or not head[0]:
            break
        length = int.from_bytes(head[4:], "little")
        chunks.setdefault(head[:4], (at + 8, length))
        at += 8 + length + length % 2
    return chunks


def _wav_data(file: BinaryIO, start: int, declared: int) -> int:
    """Return how many of the `declared` bytes of sound from `start` on are there.

    Raises:
        ReadError: it is cut short.
    """
    there = max(0, file.seek(0, os.SEEK_END) - start)
    if there + _WAV_SLACK < declared < _WAV_UNKNOWN:
        raise _cut_short(there, declared, "bytes of sound")
    return min(there, declared)


def _require_whole(path: Path) -> None:
    """Raise ReadError or OSError for files of which libsndfile says nothing, or nothing helpful."""
    with open(path, "rb") as file:
        head = file.read(12)
        if not head:
            raise ReadError("the file is empty")
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            chunks = _wav_chunks(file)
            if b"data" in chunks:
                _wav_data(file, *chunks[b"data"])


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


def tfio_reader(
    bundle: None, *, parallel: Annotated[int, "files at once; 0 leaves it to tf.data"] = 0
):
    """Decode and resample wav, flac, ogg and mp3 in a tf.data pipeline of tensorflow-io."""
    start_quietly()
    import tensorflow as tf

    step = _tfio_step()

    def read(paths: Iterable[Path], sample_rate: int) -> Sounds:
        paths = list(paths)
        names = tf.constant([os.fsencode(path) for path in paths], tf.string)
        dataset = tf.data.Dataset.from_tensor_slices(names).map(
            lambda name: step(name, tf.constant(sample_rate, tf.int64)),
            num_parallel_calls=parallel or tf.data.AUTOTUNE,
            deterministic=True,
        )
        sounds = iter(dataset)
        for path in paths:
            # A file that an operation fails on is an error of this step; the next goes on after it.
            try:
                samples, problem = next(sounds)
            except tf.errors.OpError as error:
                yield path, _unreadable(path, str(_damaged(_operation_text(error))))
                continue
            samples = samples.numpy()
            problem = problem.numpy().decode() or ("" if samples.size else _EMPTY)
            yield path, _unreadable(path, problem) if problem else samples

    return read


def _operation_text(error: Exception) -> str:
    """Return what an operation said, without where in the graph it stands."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|.* Iterator::\S*:", "", str(error).partition("\n")[0])
    return " ".join(text.split())


@lru_cache(maxsize=1)
def _tfio_step():
    """Return a traced function from (name of a file, rate in Hz) to (samples, problem).

    Samples are mono, float32, in [-1, 1]; `problem` is empty, or says why there are none.
    """
    import tensorflow as tf

    decoders = _tfio_decoders()

    @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)])
    def step(name, target):
        outputs = (tf.string, tf.string, tf.int64)
        problem, data, numbers = tf.numpy_function(_fetch, [name, target], outputs)
        kind, source, before, after, skip = tf.unstack(numbers, num=5)
        branches = [lambda kind=kind: decoders[kind](data) for kind in _KINDS]
        samples, damage = tf.switch_case(tf.cast(kind, tf.int32), branches)
        samples = tf.reduce_mean(tf.ensure_shape(samples, [None, None]), axis=1)
        samples = tf.cond(
            tf.logical_or(source == target, tf.size(samples) == 0),
            lambda: samples,
            lambda: _tfio_resample(samples, source, target, tf.stack([before, after]), skip),
        )
        return samples, tf.strings.join([problem, damage])

    with _hushed(tf.get_logger()):
        return step.get_concrete_function()


def _tfio_decoders():
    """Return, by kind, functions from bytes to samples [shape=(samples, channels)] and damage."""
    import tensorflow as tf
    import tensorflow_io as tfio

    def wav(dtype):
        return lambda data: (_scaled(tfio.audio.decode_wav(data, dtype=dtype)), "")

    def wav32(data):
        # The operation takes 32 bits for a float whatever the header says, and copies them.
        return _scaled(tf.bitcast(tfio.audio.decode_wav(data, dtype=tf.float32), tf.int32)), ""

    def flac(dtype):
        def decode(data):
            samples = tfio.audio.decode_flac(data, dtype=dtype)
            digest = tf.strings.substr(data, 26, 16)
            return _scaled(samples), tf.numpy_function(_flac_damage, [samples, digest], tf.string)

        return decode

    return {
        "nothing": lambda data: (tf.zeros([0, 1]), ""),
        "wav8": wav(tf.uint8),
        "wav16": wav(tf.int16),
        "wav24": wav(tf.int32),
        "wav32": wav32,
        "wav float": lambda data: (tfio.audio.decode_wav(data, dtype=tf.float32), ""),
        "flac8": flac(tf.uint8),
        "flac16": flac(tf.int16),
        "flac24": flac(tf.int32),
        "vorbis": lambda data: (tfio.audio.decode_vorbis(data), ""),
        "mp3": lambda data: (tfio.audio.decode_mp3(data), ""),
    }


#: What a file may hold; the graph gets the place in here.
_KINDS = ("nothing", "wav8", "wav16", "wav24", "wav32", "wav float")
_KINDS += ("flac8", "flac16", "flac24", "vorbis", "mp3")


def _scaled(samples):
    """Turn whole numbers into float32 in [-1, 1]; those of 24 bits come as the top of 32."""
    import tensorflow as tf

    zero, full = {tf.uint8: (128, 2**7), tf.int16: (0, 2**15), tf.int32: (0, 2**31)}[samples.dtype]
    return (tf.cast(samples, tf.float32) - zero) / full


def _tfio_resample(samples, source, target, margins, skip):
    """Resample, without the delay that tensorflow-io leaves in; see `_margins`."""
    import tensorflow as tf
    import tensorflow_io as tfio

    padded = tf.pad(samples, [margins])
    length = count_resampled(tf.size(samples, tf.int64), source, target)
    return tfio.audio.resample(padded, source, target)[skip : skip + length]


@contextlib.contextmanager
def _hushed(logger: logging.Logger) -> Iterator[None]:
    """Keep `logger` from warning; tracing `tfio.audio.resample` always does."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _fetch(name: bytes, target: int) -> tuple[bytes, bytes, np.ndarray]:
    """Read the file called `name` and find out what it takes to decode and resample it.

    Returns:
        What is wrong with it, or nothing; bytes that tensorflow-io can be trusted with; and kind,
        source rate in Hz, zeros before, zeros after, samples to skip [shape=(5,), int64].
    """
    path = Path(os.fsdecode(name))
    try:
        kind, rate, data = _describe(path.read_bytes())
    except (ReadError, OSError) as error:
        return _reason(error).encode(), b"", np.array([0, target, 0, 0, 0], np.int64)
    return b"", data, np.array([_KINDS.index(kind), rate, *_margins(rate, int(target))], np.int64)


@lru_cache(maxsize=64)
def _margins(source: int, target: int) -> tuple[int, int, int]:
    """Return zeros before and after a sound, and resampled samples to skip, that undo the delay.

    tensorflow-io resamples by Speex at quality 4 and leaves the delay of its filter in: half of 64
    taps, stretched when the rate goes down. Zeros that fill up the delay to a whole number of
    periods of the two rates make it a whole number of resampled samples.
    """
    divisor = math.gcd(source, target)
    period, resampled_period = source // divisor, target // divisor
    taps = 64
    if source > target:
        taps = (taps * period // resampled_period - 1) // 8 * 8 + 8
    delay = taps // 2
    periods = -(-delay // period)
    after = delay + 2 * -(-source // target)
    return periods * period - delay, after, periods * resampled_period


def _describe(data: bytes) -> tuple[str, int, bytes]:
    """Return kind, rate in Hz and bytes to decode of a file that holds `data`.

    Raises:
        ReadError: it is empty, cut short, or nothing that tensorflow-io decodes.
    """
    if not data:
        raise ReadError("the file is empty")
    formats = ((b"RIFF", _describe_wav), (b"fLaC", _describe_flac), (b"OggS", _describe_vorbis))
    describe = next((f for mark, f in formats if data.startswith(mark)), _describe_mp3)
    try:
        kind, rate, data = describe(data)
    except (struct.error, IndexError) as error:
        raise ReadError("the file is cut short within its header") from error
    return kind, _plausible(rate), data


def _unsupported(what: str) -> ReadError:
    return ReadError(f"tensorflow-io cannot decode {what}; the soundfile reader may")


def _describe_wav(data: bytes) -> tuple[str, int, bytes]:
    """Describe a wav; its bytes get a plain header, for odd ones lead the operation astray."""
    file = io.BytesIO(data)
    chunks = _wav_chunks(file)
    if data[8:12] != b"WAVE" or b"fmt " not in chunks or b"data" not in chunks:
        raise ReadError("the file has no wav header, or only a part of one")
    start, declared = chunks[b"data"]
    length = _wav_data(file, start, declared)
    form = chunks[b"fmt "][0]
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", data, form)
    if tag == 0xFFFE:
        (tag,) = struct.unpack_from("<H", data, form + 24)
    kinds = {(1, 8): "wav8", (1, 16): "wav16", (1, 24): "wav24", (1, 32): "wav32"}
    kind = {**kinds, (3, 32): "wav float"}.get((tag, bits))
    if kind is None or block != channels * bits // 8 or block == 0:
        raise _unsupported(f"a wav of format {tag} with {bits} bits")
    length -= length % block
    if length >= 2**31 - 64:
        raise _unsupported("a wav of 2 GiB or more")
    layout = (16, 1, channels, rate, rate * block % 2**32, block, bits)
    header = struct.pack("<4sI8sIHHIIHH", b"RIFF", length + 36, b"WAVEfmt ", *layout)
    header += struct.pack("<4sI", b"data", length)
    return kind, rate, header + data[start : start + length]


#: A frame (of silence, mono) that no stream can hold: it says it is the last of 2**36 samples.
_FLAC_STOP = bytes.fromhex("fff91008febfbfbfbfbfbf680000004cce")


def _describe_flac(data: bytes) -> tuple[str, int, bytes]:
    """Describe a flac; frames on which the operation fails follow it.

    Without them it would never return from a file that is cut between two frames: it waits for the
    next one. A broken frame may swallow what follows, but not more than 8 bytes a sample.
    """
    block, numbers = struct.unpack_from(">H6xQ", data, 10)
    rate, channels, bits = numbers >> 44, (numbers >> 41 & 7) + 1, (numbers >> 36 & 31) + 1
    if data[4] & 0x7F:
        raise ReadError("the file has no flac header")
    if bits not in (8, 16, 24):
        raise _unsupported(f"a flac with {bits} bits")
    if not numbers & (2**36 - 1):
        raise ReadError("its header does not say how many samples follow")
    return f"flac{bits}", rate, data + _FLAC_STOP * (1 + block * channels // 2)


def _flac_damage(samples: np.ndarray, digest: bytes) -> bytes:
    """Compare decoded `samples` with the MD5 `digest` in the header; all zeros mean there is none.

    The operation leaves out frames that are damaged, and says nothing.
    """
    if samples.dtype == np.uint8:
        signed = samples ^ np.uint8(128)
    elif samples.dtype == np.int32:
        # 24 bits come in the upper three bytes of four.
        signed = samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 1:]
    else:
        signed = samples.astype("<i2")
    if any(digest) and digest != hashlib.md5(signed.tobytes(), usedforsecurity=False).digest():
        return b"the file is damaged: its samples do not match its checksum"
    return b""


def _describe_vorbis(data: bytes) -> tuple[str, int, bytes]:
    start = 27 + data[26]
    mark, _, _, rate = struct.unpack_from("<7sIBI", data, start)
    if mark != b"\x01vorbis":
        raise _unsupported("an ogg that holds no Vorbis")
    if data.count(b"OggS\0\2") > 1:
        raise _unsupported("an ogg of several streams")
    return "vorbis", rate, data


def _describe_mp3(data: bytes) -> tuple[str, int, bytes]:
    """Describe what begins with the header of an MPEG frame, after a tag if there is one."""
    start = _id3_length(data)
    header = int.from_bytes(data[start : start + 4096].lstrip(b"\0")[:4], "big")
    version, layer, place = header >> 19 & 3, header >> 17 & 3, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or place == 3:
        raise ReadError("Format not recognised")
    return "mp3", (44100, 48000, 32000)[place] >> {3: 0, 2: 1, 0: 2}[version], data


@hookimpl
def register_readers(register) -> None:
    register("soundfile", soundfile_reader)
    register("tfio", tfio_reader, unavailable=tfio_unavailable)
