"""Lengths, headers and one-line errors of sound files, for the readers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import ReadError

#: Paths with their samples, or the reason why there are none.
Sounds = Iterator[tuple[Path, "np.ndarray | ReadError"]]
#: Takes paths and a rate in Hz, see `hookspecs.register_readers`.
Reader = Callable[[Iterable[Path], int], Sounds]

EMPTY = "the file holds no samples"
#: Some recorders include the 44 bytes of the header in the length of the data.
_WAV_SLACK = 44
#: Lengths from this on mean "until the end of the file": the writer could not fill them in later.
_WAV_UNKNOWN = 0x7FFFF000
#: Outside these rates, in Hz, a header is wrong, and resampling could take for ever.
RATES = range(100, 1_000_001)


def count_resampled(samples: int, source: int, target: int) -> int:
    """Return the number of samples of a sound of `samples` after resampling; rates in Hz."""
    return -(-samples * target // source)


def unreadable(path: Path, why: str) -> ReadError:
    """Return the error that a reader gives for `path`."""
    return ReadError(f"{path}: cannot be read as sound: {why}")


def damaged(why: str) -> ReadError:
    """Return the error for sound that a decoder failed on."""
    return ReadError(f"the file is damaged or cut short ({why})")


def cut_short(there: int, declared: int, unit: str) -> ReadError:
    """Return the error for a file with less sound than its header declares."""
    return ReadError(
        f"the file is cut short, after {there} of {declared} {unit}" if there else EMPTY
    )


def reason(error: Exception) -> str:
    """Return in one line what is wrong with a file, from the error of opening or reading it."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    # libsndfile's message for any file called .mp3 that holds no MP3.
    if "possibly a pipe" in text:
        text = "Format not recognised"
    return " ".join(text.split()).strip(" .") or type(error).__name__


def is_guessed(path: Path) -> bool:
    """Return whether libsndfile guesses the length of an MP3, because its header has none."""
    data = path.read_bytes()
    start = id3_length(data)
    # Both names of the same header, which follows the first frame's own, of at most 40 bytes.
    return not any(mark in data[start : start + 64] for mark in (b"Xing", b"Info"))


def id3_length(data: bytes) -> int:
    """Return the length of the ID3 tag that `data` begins with; 0 where there is none."""
    if not data.startswith(b"ID3"):
        return 0
    return 10 + sum(byte << 7 * place for place, byte in enumerate(data[9:5:-1]))


def plausible(rate: int) -> int:
    """Return `rate` in Hz, or raise ReadError if it is outside of `RATES`."""
    if rate not in RATES:
        raise ReadError(f"its header gives a sample rate of {rate} Hz")
    return rate


def wav_chunks(file: BinaryIO) -> dict[bytes, tuple[int, int]]:
    """Return offset and declared length, in bytes, of the chunks of a RIFF file up to "data"."""
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


def wav_data(file: BinaryIO, start: int, declared: int) -> int:
    """Return the number of bytes of sound from `start` on, at most `declared`.

    Raises:
        ReadError: the file is cut short.
    """
    there = max(0, file.seek(0, os.SEEK_END) - start)
    if there + _WAV_SLACK < declared < _WAV_UNKNOWN:
        raise cut_short(there, declared, "bytes of sound")
    return min(there, declared)


def require_whole(path: Path) -> None:
    """Raise ReadError or OSError for damaged files that libsndfile accepts or does not explain."""
    with open(path, "rb") as file:
        head = file.read(12)
        if not head:
            raise ReadError("the file is empty")
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            chunks = wav_chunks(file)
            if b"data" in chunks:
                wav_data(file, *chunks[b"data"])
