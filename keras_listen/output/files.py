"""Atomic writing of files, and what output folders have in common."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` when the block succeeds.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # After the rename there is nothing to remove.
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json_text(value))


def read_timing(root: str | Path) -> dict[str, Any]:
    """Return the content of `timing.json` in the folder `root`, or {} if there is none.

    Raises:
        RunError: the file is damaged.
    """
    path = Path(root) / "timing.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}); delete it") from error


class Clock:
    """Seconds by stage, added to those that earlier calls left in timing.json.

    Args:
        root: folder of the file.
        write_each: write the file after each stage, not only when `write` is called.

    Attributes:
        seconds: time spent by stage.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(self, root: Path, *, write_each: bool = True):
        self._path, self._write_each = root / "timing.json", write_each
        self.seconds: Counter[str] = Counter(read_timing(root))

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent in the block to that of a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begin
            if self._write_each:
                self.write()

    def write(self) -> None:
        """Write timing.json."""
        seconds = {stage: round(value, 3) for stage, value in sorted(self.seconds.items())}
        write_json(self._path, seconds)


def number_text(value: float) -> str:
    """Return a number as tables have it: six significant digits."""
    return format(float(value), ".6g")


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows as CSV with a header.

    Args:
        rows: values by column.
        columns: in their order; by default those of the first row.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def make_folder(path: str | Path) -> Path:
    """Create a folder and its parents, if they do not exist, and return its path.

    Raises:
        RunError: it cannot be created.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


def require_empty(
    root: str | Path, otherwise: str = "", *, how: str = "name another folder with --out"
) -> Path:
    """Return the output folder `root`, which must not exist or be empty.

    Args:
        root: the folder.
        otherwise: alternative to naming another folder, put before `how` in the message.
        how: how to name another folder.

    Raises:
        RunError: it is a file, or not empty.
    """
    root = Path(root)
    if root.is_file():
        raise RunError(f"the output folder {root} is a file; {how}")
    if root.is_dir() and any(root.iterdir()):
        raise RunError(f"the output folder {root} is not empty; {otherwise}{how}")
    return root


def replace_folder(fresh: Path, target: Path) -> None:
    """Rename the folder `fresh` to `target`, in place of a folder that exists.

    A process killed in between loses nothing: the old folder then still exists as `.NAME.old`.

    Raises:
        OSError: `target` is a file, or cannot be renamed.
    """
    if target.is_file():
        raise FileExistsError(errno.EEXIST, "a file is in the way")
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    That of a folder is of a list of its files, with their paths in it and their SHA-256.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(inner for inner in path.rglob("*") if inner.is_file())
        listed = [f"{sha256(inner)}  {inner.relative_to(path).as_posix()}\n" for inner in files]
        return hashlib.sha256("".join(listed).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
