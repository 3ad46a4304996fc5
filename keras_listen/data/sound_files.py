"""What readers share: lengths, headers, and what is wrong with a file, in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import ReadError

Sounds = Iterator[tuple[Path, "np.ndarray | ReadError"]]

EMPTY = "the file holds no samples"
#: Some recorders count the 44 bytes of the header into the length of the data.
_WAV_SLACK = 44
#: Lengths from here on mean "until the file ends": the writer could not go back to fill them in.
_WAV_UNKNOWN = 0x7FFFF000
#: Beyond these rates, in Hz, a header is wrong; resampling by what it says could take for ever.
RATES = range(100, 1_000_001)


def count_resampled(samples: int, source: int, target: int) -> int:
    """Return how many samples a sound of `samples` has after resampling, rates in Hz."""
    return -(-samples * target // source)


def unreadable(path: Path, why: str) -> ReadError:
    """Return the error of a reader for `path`."""
    return ReadError(f"{path}: cannot be read as sound: {why}")


def damaged(why: str) -> ReadError:
    """Return the error for sound that a decoder gave up on."""
    return ReadError(f"the file is damaged or cut short ({why})")


def cut_short(there: int, declared: int, unit: str) -> ReadError:
    """Return the error for a file with less sound than its header declares."""
    return ReadError(
        f"the file is cut short, after {there} of {declared} {unit}" if there else EMPTY
    )


def reason(error: Exception) -> str:
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


def is_guessed(path: Path) -> bool:
    """Say whether libsndfile guesses the length of an MP3: its header does not give it."""
    data = path.read_bytes()
    start = id3_length(data)
    # Both names of the one header; it follows the first frame's own, of at most 40 bytes.
    return not any(mark in data[start : start + 64] for mark in (b"Xing", b"Info"))


def id3_length(data: bytes) -> int:
    """Return the length of the ID3 tag that `data` begins with; 0 where there is none."""
    if not data.startswith(b"ID3"):
        return 0
    return 10 + sum(byte << 7 * place for place, byte in enumerate(data[9:5:-1]))


def plausible(rate: int) -> int:
    """Return `rate` in Hz, or raise ReadError if no sound is recorded at it."""
    if rate not in RATES:
        raise ReadError(f"its header gives a sample rate of {rate} Hz")
    return rate


def wav_chunks(file: BinaryIO) -> dict[bytes, tuple[int, int]]:
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


def wav_data(file: BinaryIO, start: int, declared: int) -> int:
    """Return how many of the `declared` bytes of sound from `start` on are there.

    Raises:
        ReadError: it is cut short.
    """
    there = max(0, file.seek(0, os.SEEK_END) - start)
    if there + _WAV_SLACK < declared < _WAV_UNKNOWN:
        raise cut_short(there, declared, "bytes of sound")
    return min(there, declared)


def require_whole(path: Path) -> None:
    """Raise ReadError or OSError for files of which libsndfile says nothing, or nothing helpful."""
    with open(path, "rb") as file:
        head = file.read(12)
        if not head:
            raise ReadError("the file is empty")
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            chunks = wav_chunks(file)
            if b"data" in chunks:
                wav_data(file, *chunks[b"data"])
