"""Collect ratings without a server: a static page, and a task for Mechanical Turk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ...errors import RunError
from ...output.files import make_folder, require_empty, write_text
from ..folder import StudyFolder, open_study
from .mturk import example_rows, input_text
from .order import Design, cell
from .page import mturk_page, static_page

TITLE = "Listening test"
#: Greatest default number of orders of the recordings in a page.
MOST_ORDERS = 24


def write_page(
    root: str | Path,
    out: str | Path | None = None,
    *,
    title: str = TITLE,
    single_file: bool = False,
    orders: int | None = None,
    return_to: str = "",
    **design: Any,
) -> Path:
    """Write a page that works without a server, and return its path.

    Args:
        root: folder of the listening test.
        out: new folder; by default `page` in `root`.
        title: title of the page.
        single_file: embed the sounds in the page.
        orders: number of orders of the recordings; by default as many as balance conditions, at
            most 24.
        return_to: whom raters are asked to send their ratings to.
        design: fields of `Design`.

    Raises:
        RunError: `root` holds no listening test, a recording is missing, or `out` is not empty.
    """
    study = open_study(root)
    out = make_folder(require_empty(study.root / "page" if out is None else out))
    text = static_page(
        study,
        Design(**design),
        title=title,
        orders=orders or min(MOST_ORDERS, _balancing(study)),
        return_to=return_to,
        single_file=single_file,
    )
    if not single_file:
        _copy_sounds(study, out / "sounds")
    write_text(out / "index.html", text)
    return out / "index.html"


def _balancing(study: StudyFolder) -> int:
    """Return the number of orders that have each recording equally often in each round."""
    items = study.of_role("item")
    cells = {cell(item) for item in items}
    places = [(item["class_label"], cell(item)) for item in items]
    return len(cells) * max(map(places.count, set(places)))


def _copy_sounds(study: StudyFolder, folder: Path) -> None:
    make_folder(folder)
    for name, row in study.by_name.items():
        try:
            shutil.copyfile(study.root / row["audio_url"], folder / f"{name}.wav")
        except OSError as error:
            raise RunError(f"cannot write into {folder}: {error.strerror or error}") from error


def write_mturk_task(
    root: str | Path, audio_url: str, out: str | Path | None = None, *, anchors: bool = True
) -> Path:
    """Write the task and the input file for Mechanical Turk, and return their folder.

    Args:
        root: folder of the listening test.
        audio_url: address of the folder to which its recordings are uploaded.
        out: new folder; by default `mturk` in `root`.
        anchors: include clear and unclear recordings as tasks.

    Raises:
        ParameterError: `audio_url` is not an https address.
        RunError: `root` holds no listening test, a recording is missing, or `out` is not empty.
    """
    study = open_study(root)
    table, shown = input_text(study, audio_url, anchors=anchors), example_rows(study, audio_url)
    out = make_folder(require_empty(study.root / "mturk" if out is None else out))
    write_text(out / "task.html", mturk_page(shown))
    write_text(out / "input.csv", table)
    return out
