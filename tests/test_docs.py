"""The pages for contributors: every path and name on them is there, and they stay short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_listen"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
#: Words that `docs/architecture.md` may have, as `wc -w` counts them.
MOST = 2000
#: A file of Python or a folder in backticks, and whether the page calls it planned.
PATH = re.compile(r"`([\w./-]+(?:\.py|/))`( \(planned\))?")
NAME = re.compile(r"`(\w+)`")


def table() -> dict[str, str]:
    """Return the cells of the table by what one may want to change."""
    heading, *rows = re.findall(r"^\| (.+?) \| (.+) \|$", ARCHITECTURE, re.MULTILINE)
    assert heading == ("to change", "open")
    return dict(rows)


def existing(path: str) -> list[Path]:
    """Return what a path names: in the package, in the checkout, or a file's name in any room."""
    found = [root / path for root in (PACKAGE, ROOT) if (root / path).exists()]
    return found or ([] if "/" in path else sorted(PACKAGE.rglob(path)))


def source_of(cell: str) -> str:
    """Return the source of all files that a cell of the table names."""
    paths = [found for path, _ in PATH.findall(cell) for found in existing(path)]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())


def test_the_table_stands_first():
    assert ARCHITECTURE.index("\n## ") == ARCHITECTURE.index("\n## To change X, open Y")
    assert len(table()) > 25


@pytest.mark.parametrize("change", table())
def test_a_row_of_the_table_names_what_is_there(change):
    cell = table()[change]
    assert PATH.search(cell), "say which file to open"
    for path, planned in PATH.findall(cell):
        assert bool(existing(path)) != bool(planned), path
    for name in NAME.findall(cell):
        assert re.search(rf"^(class |def )?{name}\b", source_of(cell), re.MULTILINE), name


@pytest.mark.parametrize("page", [ARCHITECTURE, DECISIONS], ids=["architecture", "decisions"])
def test_paths_on_a_page_exist(page):
    missing = [path for path, planned in PATH.findall(page) if not existing(path) and not planned]
    assert missing == []


def test_architecture_is_short():
    assert len(ARCHITECTURE.split()) <= MOST


def test_the_line_of_rooms_is_the_one_that_is_checked():
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (rule,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RULE"
    )
    assert rule in " ".join(ARCHITECTURE.split())


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md"]
)
def test_a_page_has_one_word_for_one_thing(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"\b(judges?|inquir\w+|diagnos\w+)\b", text, re.IGNORECASE) == []
