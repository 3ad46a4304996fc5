"""A study's recordings as an input file of Mechanical Turk."""

from __future__ import annotations

import re
from random import Random
from urllib.parse import urlsplit

from ...errors import ParameterError
from ...output.files import csv_text
from ..folder import StudyFolder
from ..items import Row
from .answers import SCALE
from .order import examples

#: The columns that the task and the published analysis read, and the recording's name.
COLUMNS = ("class_label", "experiment", "audio_url", "name")


def input_text(study: StudyFolder, audio_url: str, *, anchors: bool = True) -> str:
    """Return the input file, a row a task, in an order of the study's own.

    Args:
        audio_url: address of the folder where the recordings lie.
        anchors: whether clear and unclear recordings are among the tasks, to tell careless raters.

    Raises:
        ParameterError: `audio_url` is no address that a task's page could load from.
    """
    shown = {row["name"] for row in examples(study)}
    rows = [
        _row(row, audio_url)
        for row in study.rows
        if row["role"] == "item" or (anchors and row["name"] not in shown)
    ]
    # Of the order that the manifest has, one condition after the other, raters would notice.
    Random(f"{study.id}/mturk").shuffle(rows)
    return csv_text(rows, COLUMNS)


def example_rows(study: StudyFolder, audio_url: str) -> list[Row]:
    """Return the examples of the instructions: word, label of the scale, address."""
    return [
        {
            "word": row["class_label"],
            "label": SCALE[-1] if row["role"] == "clear" else SCALE[0],
            "url": _address(row, audio_url),
        }
        for row in examples(study)
    ]


def _row(row: Row, audio_url: str) -> Row:
    own = {name: row[name] for name in ("class_label", "experiment", "name")}
    return own | {"audio_url": _address(row, audio_url)}


def _address(row: Row, audio_url: str) -> str:
    parts = urlsplit(audio_url)
    if parts.scheme != "https" or not parts.netloc or re.search(r"[\s\"'<>${}]", audio_url):
        raise ParameterError(
            f"the address of recordings is {audio_url!r}, expected one that begins with https://, "
            "since pages of Mechanical Turk load from no other"
        )
    return f"{audio_url.rstrip('/')}/{row['name']}.wav"
