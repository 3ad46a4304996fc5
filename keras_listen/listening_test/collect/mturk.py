"""Input file of Mechanical Turk with the recordings of a listening test."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from urllib.parse import urlsplit

from ...errors import ParameterError
from ...output.files import csv_text
from ..folder import StudyFolder
from ..items import Row
from .answers import SCALE
from .order import examples

#: Columns read by the task and the published analysis, and the name: functions of the row of
#: manifest.csv and the address of the folder.
_COLUMNS: tuple[tuple[str, Callable[[Row, str], str]], ...] = (
    ("class_label", lambda row, url: row["class_label"]),
    ("experiment", lambda row, url: row["experiment"]),
    ("audio_url", lambda row, url: _address(row, url)),
    ("name", lambda row, url: row["name"]),
)


def input_text(study: StudyFolder, audio_url: str, *, anchors: bool = True) -> str:
    """Return the input file, a row per task, in a random but reproducible order.

    Args:
        audio_url: address of the folder with the recordings.
        anchors: include clear and unclear recordings as tasks, to detect careless raters.

    Raises:
        ParameterError: a task's page could not load from `audio_url`.
    """
    shown = {row["name"] for row in examples(study)}
    rows = [
        {name: value(row, audio_url) for name, value in _COLUMNS}
        for row in study.rows
        if row["role"] == "item" or (anchors and row["name"] not in shown)
    ]
    # The manifest has one condition after the other, which raters would notice.
    Random(f"{study.id}/mturk").shuffle(rows)
    return csv_text(rows, [name for name, _ in _COLUMNS])


def example_rows(study: StudyFolder, audio_url: str) -> list[Row]:
    """Return the examples for the instructions: word, label of the scale, address."""
    return [
        {
            "word": row["class_label"],
            "label": SCALE[-1] if row["role"] == "clear" else SCALE[0],
            "url": _address(row, audio_url),
        }
        for row in examples(study)
    ]


def _address(row: Row, audio_url: str) -> str:
    parts = urlsplit(audio_url)
    if parts.scheme != "https" or not parts.netloc or re.search(r"[\s\"'<>${}]", audio_url):
        raise ParameterError(
            f"the address of recordings is {audio_url!r}, expected one that begins with https://, "
            "since pages of Mechanical Turk load from no other"
        )
    return f"{audio_url.rstrip('/')}/{row['name']}.wav"
