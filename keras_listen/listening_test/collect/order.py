"""Presentation order: which recordings a rater hears, and when.

A rater hears every word once before any word twice: a *round* has each word once. Which condition
a word has in a round is a Latin square over words, rounds and raters, so that among as many raters
in a row as there are conditions, each word has each condition once in each round; among as many as
there are conditions times takes, each recording occurs in as many rounds as a rater hears. Within a
round words are shuffled. Anchors and repeats are inserted at random.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from ...errors import ParameterError
from ..folder import StudyFolder
from ..items import Row
from ..ratings import MODES

#: Least number of other recordings between two presentations of one, if there are that many.
GAP = 10
#: Examples of each end of the scale before the first rating.
EXAMPLES = 2
Item = TypeVar("Item")


@dataclass(frozen=True)
class Design:
    """Design of the presentation to raters.

    Attributes:
        mode: `rating` (how clear is this word?), `word` (which word is it?), or `both`: first all
            words are guessed, then rated.
        per_rater: recordings per rater and mode, not counting anchors and repeats; None for all.
        anchors: hidden clear and unclear recordings per mode; None for 5 %, at least four.
        repeats: recordings presented twice per mode; None for 5 %, at least two.
    """

    mode: str = "rating"
    per_rater: int | None = None
    anchors: int | None = None
    repeats: int | None = None

    def __post_init__(self):
        if self.mode not in (*MODES, "both"):
            raise ParameterError(f"mode is {self.mode!r}, expected rating, word or both")
        for name, least in (("per_rater", 1), ("anchors", 0), ("repeats", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ParameterError(f"{name} is {value}, expected at least {least}")

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes in the order a rater goes through them: guessing comes first."""
        return ("word", "rating") if self.mode == "both" else (self.mode,)


@dataclass(frozen=True)
class Presentation:
    """A recording in a rater's order.

    Attributes:
        position: counted from 1 over all modes.
        mode: "rating" or "word".
        name: name of the recording.
        repeat: 0 for its first presentation, 1 for the second.
    """

    position: int
    mode: str
    name: str
    repeat: int


def plan(study: StudyFolder, number: int, design: Design) -> list[Presentation]:
    """Return the presentations to rater `number`, from 0; always the same."""
    order = []
    for mode in design.modes:
        random = Random(f"{study.id}/{number}/{mode}")
        names = balanced(study, number, random)[: design.per_rater]
        order += [(mode, *shown) for shown in _with_checks(study, number, names, design, random)]
    return [Presentation(i, *shown) for i, shown in enumerate(order, start=1)]


def balanced(study: StudyFolder, number: int, random: Random) -> list[str]:
    """Return the names of all items in the order of rater `number`, without anchors and repeats."""
    cells, words = _shuffled_design(study)
    takes = defaultdict(list)
    for recording in study.of_role("item"):
        takes[recording["class_label"], cell(recording)].append(recording["name"])
    columns = [
        _column([takes[word, cell] for cell in cells], number, place)
        for place, word in enumerate(words)
    ]
    names: list[str] = []
    for round_ in range(max(map(len, columns))):
        names += _shuffled([column[round_] for column in columns if round_ < len(column)], random)
    return names


def _shuffled_design(study: StudyFolder) -> tuple[list[tuple[str, str]], list[str]]:
    """Return conditions and words in a random order that depends on the id of the test alone."""
    items = study.of_role("item")
    random = Random(study.id)
    cells = _shuffled(sorted({cell(item) for item in items}), random)
    return cells, _shuffled(sorted({item["class_label"] for item in items}), random)


def cell(row: Row) -> tuple[str, str]:
    """Return experiment and stage of a recording; recordings of one cell and word are its takes."""
    return row["experiment"], row["stage"]


def _column(cells: Sequence[Sequence[str]], number: int, place: int) -> list[str]:
    """Return the names of one word, round by round: all cells, then again with other takes."""
    count, most = len(cells), max(map(len, cells))
    column = []
    for round_ in range(count * most):
        takes = cells[(place + number + round_) % count]
        take = (number // count + round_ // count) % most
        if take < len(takes):
            column.append(takes[take])
    return column


def examples(study: StudyFolder) -> list[Row]:
    """Return the anchors played before the first rating, clear ones first."""
    return [a for role in ("clear", "unclear") for a in _anchors(study, role)[0]]


def _anchors(study: StudyFolder, role: str) -> tuple[list[Row], list[Row]]:
    """Return examples and hidden anchors of a role; few anchors serve as both."""
    all_ = _shuffled(study.of_role(role), Random(f"{study.id}/{role}"))
    shown = min(EXAMPLES, -(-len(all_) // 2))
    return all_[:shown], all_[shown:] if len(all_) > shown else all_


def _with_checks(
    study: StudyFolder, number: int, names: list[str], design: Design, random: Random
) -> list[tuple[str, int]]:
    """Return (name, repeat) with anchors and repeats inserted."""
    share = round(0.05 * len(names))
    repeats = max(2, share) if design.repeats is None else design.repeats
    shown = _with_repeats(names, repeats, random)
    anchors = _chosen_anchors(study, number, max(4, share), design.anchors)
    for i, name in enumerate(_shuffled(anchors, random)):
        # One in each part of equal length, after those inserted before.
        start, stop = (i * len(names) // len(anchors), (i + 1) * len(names) // len(anchors))
        shown.insert(random.randint(start, max(start, stop - 1)) + i, (name, 0))
    return shown


def _chosen_anchors(study: StudyFolder, number: int, default: int, asked: int | None) -> list[str]:
    """Return the names of a rater's hidden anchors: half clear, half unclear, in turns."""
    wanted = default if asked is None else asked
    names = []
    for role, count in (("clear", wanted - wanted // 2), ("unclear", wanted // 2)):
        hidden = _anchors(study, role)[1]
        count = min(count, len(hidden))
        names += [hidden[(number * count + i) % len(hidden)]["name"] for i in range(count)]
    return names


def _with_repeats(names: Sequence[str], count: int, random: Random) -> list[tuple[str, int]]:
    """Return (name, 0) for all, and later (name, 1) for `count` of those in the first half."""
    shown = [(name, 0) for name in names]
    half = len(names) // 2
    for name in random.sample(list(names[:half]), min(count, half)):
        first = shown.index((name, 0))
        earliest = min(len(shown), max(half, first + GAP) + 1)
        shown.insert(random.randint(earliest, len(shown)), (name, 1))
    return shown


def _shuffled(items: Sequence[Item], random: Random) -> list[Item]:
    shuffled = list(items)
    random.shuffle(shuffled)
    return shuffled
