"""Pages on which recordings are rated, and the page of administrators."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ...output.pages import data_block, fill, policy, render, template_text
from ..folder import StudyFolder
from ..items import name_of
from ..ratings import COLUMNS, MODES
from .answers import HEADPHONES, SCALE
from .order import Design, examples, plan

_TEST = ("study.js", "study_headphones.js", "study_storage.js")
_SERVED = {"connect-src": "'self'", "media-src": "blob:"}
#: Browsers ignore this rule inside a page; it belongs in the header.
_NO_FRAMES = "frame-ancestors 'none'"


def served_page(title: str) -> tuple[str, str]:
    """Return the page for raters of a server, and its Content-Security-Policy."""
    return _page("study_served.html", (*_TEST, "study_served.js"), title, scale=SCALE)


def admin_page(title: str) -> tuple[str, str]:
    """Return the page for administrators of a server, and its Content-Security-Policy."""
    return _page("study_admin.html", ("study_storage.js", "study_admin.js"), title)


def _page(template: str, names: Sequence[str], title: str, **values: Any) -> tuple[str, str]:
    scripts = [template_text(name) for name in names]
    text = render(template, scripts=scripts, rules=_SERVED, title=title, **values)
    return text, f"{policy(scripts, _SERVED)}; {_NO_FRAMES}"


def static_page(
    study: StudyFolder,
    design: Design,
    *,
    title: str,
    orders: int,
    return_to: str = "",
    single_file: bool = False,
) -> str:
    """Return a page that works without a server.

    Args:
        study: the listening test.
        design: how recordings are presented.
        title: title of the page.
        orders: number of orders of the recordings in the page; a rater gets one of them.
        return_to: whom raters are asked to send their ratings to.
        single_file: embed the sounds; otherwise they are `sounds/NAME.wav`.
    """
    return render(
        "study_page.html",
        scripts=[template_text(name) for name in (*_TEST, "study_page.js")],
        title=title,
        scale=SCALE,
        return_to=return_to,
        data=data_block(_data(study, design, orders)),
        sounds=data_block(_sounds(study)) if single_file else None,
    )


def _data(study: StudyFolder, design: Design, orders: int) -> Mapping[str, Any]:
    """Return the data of the page's script, without the conditions."""
    # Sorted by name, which reveals nothing: manifest.csv groups recordings by condition.
    names = sorted(study.by_name)
    index = {name: i for i, name in enumerate(names)}
    anchors = [
        {"sound": row["name"], "word": row["class_label"], "clear": row["role"] == "clear"}
        for row in examples(study)
    ]
    shown = [
        [(MODES.index(p.mode), index[p.name], p.repeat) for p in plan(study, number, design)]
        for number in range(orders)
    ]
    return {
        "study": study.id,
        "plan": name_of(shown),
        "words": study.words,
        "examples": anchors,
        "columns": [*COLUMNS, HEADPHONES],
        "modes": MODES,
        "items": [{"name": n, "word": study.by_name[n]["class_label"]} for n in names],
        "orders": shown,
    }


def _sounds(study: StudyFolder) -> Mapping[str, str]:
    return {name: base64.b64encode(study.sound(name)).decode() for name in sorted(study.by_name)}


def mturk_page(anchors: Sequence[Mapping[str, str]]) -> str:
    """Return the page of a task for Mechanical Turk.

    Args:
        anchors: examples for the instructions, each with `word`, `label` and `url`.
    """
    return fill("study_mturk.html", scale=SCALE, anchors=anchors)
