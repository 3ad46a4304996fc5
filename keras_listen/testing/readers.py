"""Check the contract of readers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReadError
from ..plugins import Component
from .factory import refuses_politely, subject_of
from .sounds import voice, write_wav
from .subject import Subject

Write = Callable[[Path, np.ndarray, int], Any]

_RATE, _OTHER_RATE = 16000, 22050
_LENGTHS = (4000, 1600, 3001)
#: Largest error by coding and resampling: root mean square, relative to that of the sound.
_CLOSE = 0.1


def check_reader(
    reader: str | Component | Callable,
    *,
    suffix: str = ".wav",
    write: Write = write_wav,
    garbage: bytes | None = b"this is no sound\n" * 100,
    **options: Any,
) -> Any:
    """Check that a reader keeps its contract, see `hookspecs.register_readers`.

    Args:
        reader: name of an installed reader, a component of a registry, or a factory.
        suffix: of the files it reads.
        write: writes such a file, called as `write(path, samples, sample_rate)` with samples
            [shape=(samples,), in [-1, 1]]; by default 16-bit wav.
        garbage: content that is no sound; None for formats in which any bytes are a sound.
        options: of the factory.

    Returns:
        What the factory made.

    Raises:
        ContractBroken: the contract is broken; the message says how, and how to mend it.
        ListenError: there is no such reader, or an option is unknown or refused.
    """
    subject = subject_of("reader", reader, None, options)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sounds = {}
        for number, length in enumerate(_LENGTHS):
            sounds[root / f"{number}{suffix}"] = 0.6 * voice(number, length, _RATE)
        for path, y in sounds.items():
            write(path, y, _RATE)
        _check_samples(subject, sounds)
        _check_channels(subject, root / f"stereo{suffix}", write)
        _check_bad_files(subject, root, suffix, next(iter(sounds)), garbage)
        refuses_politely(subject, lambda made: list(made(list(sounds), _RATE)))
    return subject.made


def _read(subject: Subject, paths: list[Path], rate: int) -> list[tuple[Path, Any]]:
    """Read files, and check that there is a pair for each path, in order."""
    contract = "reader(paths, sample_rate)"
    pairs = subject.call(
        contract,
        lambda: list(subject.made(paths, rate)),
        mend="yield (path, ReadError) for what cannot be read, instead of raising",
    )
    shaped = all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
    subject.require(
        shaped,
        contract,
        seen=f"{type(next(iter(pairs), None)).__name__} for each file",
        expected="pairs (path, samples) or (path, ReadError)",
        mend="yield (path, samples) for each path",
    )
    found = [path for path, _ in pairs]
    subject.require(
        found == paths,
        f"{contract}: every path, in order",
        seen=f"{[Path(path).name for path in found]}",
        expected=f"{[path.name for path in paths]}",
        mend="yield the path that was given, once for each, in the order of paths",
    )
    return pairs


def _samples(subject: Subject, pair: tuple[Path, Any], contract: str) -> np.ndarray:
    path, found = pair
    subject.require(
        not isinstance(found, ReadError),
        contract,
        seen=f"for a good file: {found}",
        expected="its samples",
        mend=f"read the {path.suffix} files that `write` makes, or give check_reader another write",
    )
    mend = "average channels and return [shape=(samples,)]: y.mean(axis=1)"
    return subject.array(found, contract, (None,), mend)


def _check_samples(subject: Subject, sounds: dict[Path, np.ndarray]) -> None:
    subject.require(
        list(subject.made([], _RATE)) == [],
        "reader(paths, sample_rate): no paths",
        seen="something",
        expected="nothing",
        mend="yield one pair for each path",
    )
    paths = list(sounds)
    for rate in (_RATE, _OTHER_RATE):
        contract = f"samples at {rate} Hz"
        pairs = _read(subject, paths, rate)
        for pair, y in zip(pairs, sounds.values(), strict=True):
            _compare(subject, _samples(subject, pair, contract), y, rate)
        alone = [found for path in paths for _, found in _read(subject, [path], rate)]
        for (_, among), single in zip(pairs, alone, strict=True):
            subject.same(
                among,
                single,
                "reader(paths, sample_rate): a file does not depend on the others",
                expected="the same samples alone and among others",
                mend="keep no state from one file to the next",
            )


def _compare(subject: Subject, found: np.ndarray, y: np.ndarray, rate: int) -> None:
    """Compare samples that were read with those written, resampled by soxr."""
    contract = f"samples at {rate} Hz"
    length = y.size * rate / _RATE
    resample = "resample to sample_rate, for instance with soxr.resample(y, rate, sample_rate)"
    subject.require(
        abs(found.size - length) <= 2,
        f"{contract}: as many as the sound lasts",
        seen=f"{found.size} samples of a sound of {y.size} at {_RATE} Hz",
        expected=f"{length:.0f}",
        mend=resample,
    )
    import soxr

    wanted = soxr.resample(y, _RATE, rate)
    size = min(found.size, wanted.size)
    inner = slice(size // 10, -(size // 10))
    off = np.sqrt(np.mean((found[:size] - wanted[:size])[inner] ** 2))
    level = np.sqrt(np.mean(wanted[:size][inner] ** 2))
    subject.require(
        off <= _CLOSE * level,
        f"{contract}: the sound that was written",
        seen=f"a difference of {off / level:.0%} of its level",
        expected=f"at most {_CLOSE:.0%}",
        mend=f"full scale is 1; keep level and place, and {resample}",
    )


def _check_channels(subject: Subject, path: Path, write: Write) -> None:
    if write is not write_wav:
        return  # the format may have no channels
    left, right = (0.5 * voice(number, 2000, _RATE) for number in (7, 8))
    write(path, np.stack([left, right], axis=1), _RATE)
    [pair] = _read(subject, [path], _RATE)
    found = _samples(subject, pair, "channels: averaged")
    off = float(np.abs(found - (left + right) / 2).max()) if found.size == 2000 else np.inf
    subject.require(
        off < 1e-3,
        "channels: averaged",
        seen=f"{found.size} samples, off by up to {off:.3g}",
        expected="the mean of both channels",
        mend="y.mean(axis=1)",
    )


def _check_bad_files(
    subject: Subject, root: Path, suffix: str, good: Path, garbage: bytes | None
) -> None:
    bad = {
        "a missing file": root / f"missing{suffix}",
        "an empty file": root / f"empty{suffix}",
        "a folder": root / f"folder{suffix}",
    }
    bad["an empty file"].touch()
    bad["a folder"].mkdir()
    if garbage is not None:
        bad["a file of no sound"] = root / f"garbage{suffix}"
        bad["a file of no sound"].write_bytes(garbage)
    cut = root / f"cut{suffix}"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    # Some formats cannot tell that a file was cut short, but no reader may fail on it.
    pairs = _read(subject, [good, *bad.values(), cut, good], _RATE)
    for (what, path), (_, found) in zip(bad.items(), pairs[1:], strict=False):
        _check_error(subject, what, path, found)
    for pair in (pairs[0], pairs[-1]):
        _samples(subject, pair, "a bad file harms no other")


def _check_error(subject: Subject, what: str, path: Path, found: Any) -> None:
    contract = f"bad files: {what}"
    subject.require(
        isinstance(found, ReadError),
        contract,
        seen=f"a value of type {type(found).__name__}",
        expected="keras_listen.errors.ReadError as a value, not raised",
        mend='yield (path, ReadError(f"{path}: cannot be read as sound: {why}"))',
    )
    text = str(found)
    subject.require(
        str(path) in text and "\n" not in text,
        contract,
        seen=repr(text),
        expected="one line that names the file",
        mend='ReadError(f"{path}: cannot be read as sound: {why}")',
    )
