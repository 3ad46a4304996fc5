"""Open the folder of a listening test: its id and its recordings, validated."""

from __future__ import annotations

import re
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import RunError
from .items import Row, read_items, read_manifest

_MEND = "bring it back, or make it again with: keras-listen study make STORE OUT --resume"


@dataclass(frozen=True, repr=False)
class StudyFolder:
    """Folder of a listening test, written by `keras-listen study make`.

    Attributes:
        root: path of the folder.
        id: hexadecimal id, part of every rating.
        rows: rows of manifest.csv.
    """

    root: Path
    id: str
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        return f"<StudyFolder {self.id} in {self.root}: {len(self.rows)} recordings>"

    @cached_property
    def by_name(self) -> Mapping[str, Row]:
        """Rows by the name of the recording."""
        return {row["name"]: row for row in self.rows}

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words, in alphabetical order."""
        return tuple(sorted({row["class_label"] for row in self.rows}))

    def of_role(self, role: str) -> list[Row]:
        """Return the rows with a role, in the order of manifest.csv."""
        return [row for row in self.rows if row["role"] == role]

    def sound(self, name: str) -> bytes:
        """Return the bytes of a recording's WAV file.

        Raises:
            RunError: the file is missing or damaged.
        """
        return read_sound(self.root / self.by_name[name]["audio_url"])


def open_study(root: str | Path) -> StudyFolder:
    """Open the folder of a listening test and check every recording by reading it completely.

    Raises:
        RunError: it is not such a folder, or a recording is missing or damaged.
    """
    root = Path(root)
    id_ = read_manifest(root)["study"]
    if not re.fullmatch(r"[0-9a-f]{4,64}", id_):
        raise RunError(
            f"{root / 'manifest.json'}: the id of the listening test is {id_!r}, expected hex "
            "digits"
        )
    study = StudyFolder(root, id_, tuple(read_items(root)))
    if not study.of_role("item"):
        raise RunError(
            f"{root / 'manifest.csv'} has no recording to rate; make the listening test again"
        )
    _require_sounds(study)
    return study


def read_sound(path: Path) -> bytes:
    """Return the bytes of a 16-bit mono WAV file after checking that it is complete.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with wave.open(str(path)) as file:
            declared, width = file.getnframes(), file.getsampwidth() * file.getnchannels()
            there = len(file.readframes(declared)) // width
        if there < declared or not there:
            raise RunError(
                f"the recording {path} is cut short, after {there} of {declared} samples"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"the recording {path} is missing") from None
    except (OSError, EOFError, wave.Error) as error:
        why = getattr(error, "strerror", None) or str(error) or "it ends too early"
        raise RunError(f"the recording {path} cannot be played: {why}") from error


def _require_sounds(study: StudyFolder) -> None:
    wrong = []
    for row in study.rows:
        try:
            study.sound(row["name"])
        except RunError as error:
            wrong.append(str(error))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise RunError(f"{wrong[0]}{more}; {_MEND}")
