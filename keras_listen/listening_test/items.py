"""Recordings of a listening test: read and write the rows of its manifest.csv.

Files in the folder of a listening test:

manifest.json    everything needed to repeat the listening test; `study` is its id
manifest.csv     a row per recording, in the columns below; an empty cell means "not applicable"
audio/NAME.wav   16-bit, mono, all at the same level
unreached.csv    words with fewer recordings than wanted, and the reason
conditions.csv   measurements without raters, a row per condition and stage
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..output.files import csv_text, write_text

#: The published columns come first; published tooling named recordings by their time stamps.
PUBLISHED = (
    "experiment",
    "timestamp",
    "class_label",
    "audio_url",
    "pred_1_class",
    "pred_2_class",
)
COLUMNS = (
    *PUBLISHED,
    "name",
    "role",
    "condition",
    "stage",
    "prior",
    "objective",
    "vocoder",
    "source",
    "speaker",
    "gain",
    "cycle_class",
    "cycle_probability",
    "cycle_success",
    "referee_class",
    "referee_probability",
    "referee_success",
    "spectral_flatness",
    "speech_band_share",
    "feature_distance",
    "referees_agreeing",
    "voiced_share",
    "pitch",
    "pitched_share",
)
#: Columns that came later, and that listening tests from before lack: empty in these.
_LATER = ("voiced_share", "pitch", "pitched_share")
#: Recordings under test, and anchors: clear real speech, and noise without a word.
ROLES = ("item", "clear", "unclear")
#: Maximized from noise; an utterance before and after maximization; empty for real speech.
STAGES = ("generated", "before", "after", "")

Row = dict[str, str]


def name_of(*parts: Any) -> str:
    """Return a reproducible name from `parts` that reveals nothing to a rater."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:12]


def audio_url(name: str) -> str:
    """Return the path of the recording `name` relative to the folder."""
    return f"audio/{name}.wav"


def write_items(root: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write manifest.csv."""
    write_text(root / "manifest.csv", csv_text(rows, COLUMNS))


def read_manifest(root: str | Path) -> dict[str, Any]:
    """Return manifest.json of the listening test in `root`.

    Raises:
        RunError: there is no listening test, or the file is damaged.
    """
    path = Path(root) / "manifest.json"
    if not path.is_file():
        raise RunError(
            f"there is no listening test in {root} (it has no manifest.json); make one with: "
            "keras-listen study make STORE OUT"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or not isinstance(manifest.get("study"), str):
            raise ValueError("it has no id of a listening test")
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is no manifest of a listening test ({error})") from error
    return manifest


def read_items(root: str | Path) -> list[Row]:
    """Return the rows of the listening test in `root`, as text by column.

    Every name is unique and consists of `[a-z0-9-]`, and every `audio_url` follows from it, so that
    neither can lead out of the folder. Whether the recordings exist is checked by
    `keras_listen.listening_test.folder.open_study`.

    Raises:
        RunError: there is no finished listening test, or its table is damaged.
    """
    path = Path(root) / "manifest.csv"
    if not path.is_file():
        raise RunError(
            f"there is no finished listening test in {root} (it has no manifest.csv); finish it "
            "with: keras-listen study make STORE OUT --resume"
        )
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path} cannot be read ({error})") from error
    known = (*(reader.fieldnames or ()), *_LATER)
    if missing := [name for name in COLUMNS if name not in known]:
        raise RunError(f"{path} is no table of a listening test: it has no column {missing[0]!r}")
    for number, row in enumerate(rows, 2):
        if problem := _problem(row):
            raise RunError(f"{path}, line {number}: {problem}; make the listening test again")
    rows = [row | {name: row.get(name, "") for name in _LATER} for row in rows]
    doubled = [name for name, count in Counter(r["name"] for r in rows).items() if count > 1]
    if doubled:
        raise RunError(f"{path} has the name {doubled[0]!r} twice; make the listening test again")
    if not rows:
        raise RunError(f"{path} has no recording; make the listening test again")
    return rows


def _problem(row: Mapping[str | None, Any]) -> str | None:
    """Describe what is wrong with a row; None if it is valid."""
    if None in row or None in row.values():
        return "the line is cut short or has too many cells"
    if not re.fullmatch(r"[a-z0-9-]+", row["name"]):
        return f"the name {row['name']!r} has other characters than a-z, 0-9 and -"
    if row["audio_url"] != audio_url(row["name"]):
        return f"the audio_url is {row['audio_url']!r}, expected {audio_url(row['name'])!r}"
    if row["role"] not in ROLES:
        return f"the role is {row['role']!r}, expected one of {', '.join(ROLES)}"
    if row["stage"] not in STAGES:
        return f"the stage is {row['stage']!r}, expected one of {', '.join(filter(None, STAGES))}"
    if row["role"] == "item" and not row["experiment"].isdecimal():
        return f"the experiment is {row['experiment']!r}, expected a number"
    return None
