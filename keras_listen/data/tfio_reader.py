"""The reader `tfio`: decodes and resamples in a tf.data pipeline of tensorflow-io."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np

from ..errors import ReadError
from ..models.backend import start_quietly
from .sound_files import (
    EMPTY,
    Reader,
    Sounds,
    count_resampled,
    damaged,
    id3_length,
    plausible,
    reason,
    unreadable,
    wav_chunks,
    wav_data,
)


def tfio_reader(
    bundle: None, *, parallel: Annotated[int, "files at once; 0: one a core"] = 0
) -> Reader:
    """Decode and resample wav, flac, ogg and mp3 in a tf.data pipeline of tensorflow-io."""
    start_quietly()
    import tensorflow as tf

    step = _tfio_step()
    options = tf.data.Options()
    # Where tf.data chooses the number of files, its tuner delays the end by up to a minute.
    options.autotune.enabled = False

    def pipeline(paths: list[Path], sample_rate: int) -> tf.data.Dataset:
        names = tf.constant([os.fsencode(path) for path in paths], tf.string)
        rate = tf.constant(sample_rate, tf.int64)
        sounds = tf.data.Dataset.from_tensor_slices(names).map(
            lambda name: step(name, rate),
            num_parallel_calls=parallel or os.cpu_count(),
            deterministic=True,
        )
        return sounds.with_options(options)

    def read(paths: Iterable[Path], sample_rate: int) -> Sounds:
        paths = list(paths)
        sounds = iter(pipeline(paths, sample_rate))
        for path in paths:
            # An operation that fails on a file fails this step only; the next one continues.
            try:
                samples, problem = next(sounds)
            except tf.errors.OpError as error:
                yield path, unreadable(path, str(damaged(_operation_text(error))))
                continue
            samples = samples.numpy()
            problem = problem.numpy().decode() or ("" if samples.size else EMPTY)
            yield path, unreadable(path, problem) if problem else samples

    return read


def _operation_text(error: Exception) -> str:
    """Return an operation's message without its place in the graph."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|.* Iterator::\S*:", "", str(error).partition("\n")[0])
    return " ".join(text.split())


@lru_cache(maxsize=1)
def _tfio_step():
    """Return a traced function from (name of a file, rate in Hz) to (samples, problem).

    Samples are mono, float32, in [-1, 1]; `problem` is empty, or the reason why there are none.
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


#: Kinds of files; the graph gets the position in here.
_KINDS = ("nothing", "wav8", "wav16", "wav24", "wav32", "wav float")
_KINDS += ("flac8", "flac16", "flac24", "vorbis", "mp3")


def _scaled(samples):
    """Convert integers to float32 in [-1, 1]; those of 24 bits are in the upper bits of 32."""
    import tensorflow as tf

    zero, full = {tf.uint8: (128, 2**7), tf.int16: (0, 2**15), tf.int32: (0, 2**31)}[samples.dtype]
    return (tf.cast(samples, tf.float32) - zero) / full


def _tfio_resample(samples, source, target, margins, skip):
    """Resample, compensating the delay of tensorflow-io's filter; see `_margins`."""
    import tensorflow as tf
    import tensorflow_io as tfio

    padded = tf.pad(samples, [margins])
    length = count_resampled(tf.size(samples, tf.int64), source, target)
    return tfio.audio.resample(padded, source, target)[skip : skip + length]


@contextlib.contextmanager
def _hushed(logger: logging.Logger) -> Iterator[None]:
    """Suppress warnings of `logger`; tracing `tfio.audio.resample` always gives one."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _fetch(name: bytes, target: int) -> tuple[bytes, bytes, np.ndarray]:
    """Read the file called `name` and determine how to decode and resample it.

    Returns:
        the problem with it, or nothing; bytes that tensorflow-io decodes safely; and kind, source
        rate in Hz, zeros before, zeros after, samples to skip [shape=(5,), int64].
    """
    path = Path(os.fsdecode(name))
    try:
        kind, rate, data = _describe(path.read_bytes())
    except (ReadError, OSError) as error:
        return reason(error).encode(), b"", np.array([0, target, 0, 0, 0], np.int64)
    return b"", data, np.array([_KINDS.index(kind), rate, *_margins(rate, int(target))], np.int64)


@lru_cache(maxsize=64)
def _margins(source: int, target: int) -> tuple[int, int, int]:
    """Return zeros before and after a sound, and resampled samples to skip, that undo the delay.

    tensorflow-io resamples by Speex at quality 4 and does not compensate the delay of its filter:
    half of 64 taps, stretched when the rate goes down. Zeros that extend the delay to a whole
    number of periods of the two rates make it a whole number of resampled samples.
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
    return kind, plausible(rate), data


def _unsupported(what: str) -> ReadError:
    return ReadError(f"tensorflow-io cannot decode {what}; the soundfile reader may")


def _describe_wav(data: bytes) -> tuple[str, int, bytes]:
    """Describe a wav; its bytes get a plain header, as the operation misreads unusual ones."""
    file = io.BytesIO(data)
    chunks = wav_chunks(file)
    if data[8:12] != b"WAVE" or b"fmt " not in chunks or b"data" not in chunks:
        raise ReadError("the file has no wav header, or only a part of one")
    start, declared = chunks[b"data"]
    length = wav_data(file, start, declared)
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


#: A frame (of silence, mono) that no stream can hold: it claims to be the last of 2**36 samples.
_FLAC_STOP = bytes.fromhex("fff91008febfbfbfbfbfbf680000004cce")


def _describe_flac(data: bytes) -> tuple[str, int, bytes]:
    """Describe a flac; frames on which the operation fails are appended to its bytes.

    Without them it would never return from a file that is cut between two frames: it waits for the
    next one. A broken frame may consume what follows, but at most 8 bytes for each sample.
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

    The operation silently omits damaged frames.
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
    start = id3_length(data)
    header = int.from_bytes(data[start : start + 4096].lstrip(b"\0")[:4], "big")
    version, layer, place = header >> 19 & 3, header >> 17 & 3, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer != 1 or place == 3:
        raise ReadError("Format not recognised")
    return "mp3", (44100, 48000, 32000)[place] >> {3: 0, 2: 1, 0: 2}[version], data
