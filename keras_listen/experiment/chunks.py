"""Compute in chunks of a few blocks, each stored as one file.

A chunk depends only on the settings and its position: memory stays bounded, a killed command
resumes where it was, and the order of work does not change a byte.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import RunError
from ..output.files import make_folder, replacing
from ..output.progress import Track, quiet

#: Blocks of a chunk: few, because a kill loses that many; not one, to write fewer files.
BLOCKS = 4


class Chunk(Protocol):
    """Samples `first` up to `stop`, whose results are stored in the file `path` of a folder."""

    first: int
    stop: int

    @property
    def path(self) -> str: ...


#: Computes chunks, here or on a cluster: yields each with its file's contents, in any order.
Computing = Callable[[Sequence[Chunk]], Iterator[tuple[Chunk, bytes]]]


def run_chunks(
    chunks: Iterable[Chunk], root: Path, computing: Computing, *, label: str, track: Track = quiet
) -> int:
    """Compute the missing chunks of a folder; return the number of samples computed.

    Args:
        chunks: all chunks, finished ones included.
        root: the folder.
        computing: computes them, such as `here(compute)`.
        label: of the progress bar.
        track: progress, see `keras_listen.output.progress`.
    """
    left = [chunk for chunk in chunks if not (root / chunk.path).is_file()]
    for folder in {(root / chunk.path).parent for chunk in left}:
        make_folder(folder)
    total = sum(chunk.stop - chunk.first for chunk in left)
    with track(total=total, label=label, unit="sample") as advance:
        for chunk, contents in computing(left):
            with replacing(root / chunk.path) as beside:
                beside.write_bytes(contents)
            advance(chunk.stop - chunk.first)
    return total


def here(compute: Callable[[Chunk], Mapping[str, np.ndarray]]) -> Computing:
    """Return a function that computes chunks in this process, one after the other.

    Args:
        compute: returns the arrays of a chunk, by name.
    """
    return lambda chunks: ((chunk, packed(compute(chunk))) for chunk in chunks)


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the contents of an npz file of arrays."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read_chunk(
    root: Path, chunk: Chunk, names: Sequence[str] | None = None, *, later: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Read the arrays of a chunk.

    Args:
        root: the folder.
        chunk: which.
        names: of the arrays that are wanted; all by default.
        later: of further ones, which chunks from before lack.

    Raises:
        RunError: the file is damaged.
    """
    path = root / chunk.path
    try:
        with np.load(path, allow_pickle=False) as stored:
            wanted = stored if names is None else names
            there = [name for name in later if name in stored]
            return {name: stored[name] for name in (*wanted, *there)}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} is damaged ({error}); delete it and give --resume to compute it again"
        ) from error
