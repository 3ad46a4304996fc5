"""Ratings joined with what they are about, from files of all kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from ...errors import ParameterError, RunError
from ..catalogue import Catalogue, RatedRecording
from ..collect.stored import Stored
from ..ratings import COLUMNS, OTHER, Rating, read_ratings
from ..tables import read_table
from .mturk_results import COLUMNS as BATCH_COLUMNS
from .mturk_results import is_batch, read_batch

_STAGES = ("generated", "before", "after")


class RatedCondition(NamedTuple):
    """Recordings that were made in one way, and whose ratings are counted together.

    Attributes:
        experiment: of the recordings; None for anchors, which stand last.
        stage: "generated", "before", "after" or empty.
        label: for people.
        prior: name of the prior, or empty.
    """

    experiment: int | None
    stage: str
    label: str
    prior: str

    @property
    def title(self) -> str:
        """What people read: the label, and the stage where there are two."""
        return f"{self.label}, {self.stage}" if self.stage in ("before", "after") else self.label

    @property
    def order(self) -> tuple:
        """What conditions are sorted by: experiments, before and after, anchors last."""
        stage = _STAGES.index(self.stage) if self.stage in _STAGES else len(_STAGES)
        return self.experiment is None, self.experiment or 0, stage, self.label


@dataclass(frozen=True)
class Judgement:
    """One rating and the recording that it is about."""

    rating: Rating
    item: RatedRecording

    @property
    def condition(self) -> RatedCondition:
        """What it is counted with."""
        item = self.item
        if item.role != "item":
            return RatedCondition(None, "", f"anchor, {item.role}", "")
        return RatedCondition(item.experiment, item.stage, item.condition, item.prior)

    @property
    def right(self) -> bool:
        """Whether the word was heard; one that was typed counts as one that was chosen."""
        heard = self.rating.heard.removeprefix(OTHER)
        return heard.strip().casefold() == self.item.word.strip().casefold()


@dataclass(frozen=True)
class Gathered:
    """All judgements of some files.

    Attributes:
        judgements: in the files' order.
        items: the recordings that could be judged, by name.
        notes: what was left out, and why.
    """

    judgements: list[Judgement]
    items: dict[str, RatedRecording]
    notes: list[str]


def gather(
    sources: Sequence[str | Path | Stored],
    study: Catalogue | None = None,
    *,
    coding: str = "auto",
    rejected: bool = False,
) -> Gathered:
    """Read ratings of all kinds and join them with their recordings.

    A rating that is there twice counts once. Where a rater contradicts themselves about the same
    recording, the earlier one counts, by time, or by place where no time was recorded: it was given
    with the fresher ear.

    Args:
        sources: ratings files, batch results of Mechanical Turk, and what databases hold.
        study: whose recordings they are; needed for all but batch results.
        coding, rejected: see `keras_listen.study.batches.read_batch`.

    Raises:
        ListenError: a file cannot be used, or is about other recordings.
    """
    ratings: list[Rating] = []
    items: dict[str, RatedRecording] = dict(study.recordings) if study else {}
    notes: list[str] = []
    for source in sources:
        if isinstance(source, Stored):
            read = source.ratings
        elif is_batch(heading := read_table(source)[0]):
            read, described, told = read_batch(source, study, coding=coding, rejected=rejected)
            notes += told
            _add(items, described, source)
        else:
            read = _own(source, heading, study)
        if not read:
            notes.append(f"{source}: there is no rating in it.")
        ratings += read
    return Gathered(_join(_once(ratings, notes), items), items, notes)


def _own(path: str | Path, heading: Sequence[str], study: Catalogue | None) -> list[Rating]:
    if "rater" not in heading or "name" not in heading:
        raise RunError(
            f"{path} is no ratings file; expected the columns {', '.join(COLUMNS)}, or those of "
            f"batch results of Mechanical Turk: {', '.join(BATCH_COLUMNS)}"
        )
    read = read_ratings(path)
    if study is None:
        raise ParameterError(
            f"{path} names recordings of a study, but not what they are; name its folder with "
            "--study"
        )
    for rating in read:
        if rating.study != study.study:
            raise RunError(
                f"{rating.where} is of the study {rating.study!r}, the folder of --study is "
                f"{study.study!r}; analyse each with its own"
            )
    return read


def _add(
    items: dict[str, RatedRecording], described: dict[str, RatedRecording], path: str | Path
) -> None:
    for name, item in described.items():
        if items.setdefault(name, item) != item:
            raise RunError(
                f"in {path}, {name} is of another experiment or word than in a file before it; "
                "expected one of each for a recording"
            )


def _once(ratings: Iterable[Rating], notes: list[str]) -> list[Rating]:
    """Keep one of each rater's ratings of the same presentation of a recording."""
    kept: dict[tuple, Rating] = {}
    same = 0
    for rating in ratings:
        key = (rating.rater, rating.mode, rating.name, rating.repeat)
        first = kept.setdefault(key, rating)
        if first is rating:
            continue
        if (first.rating, first.heard) == (rating.rating, rating.heard):
            same += 1
            continue
        earlier, later = sorted((first, rating), key=lambda r: r.rated_at)
        if not (first.rated_at and rating.rated_at):
            earlier, later = first, rating
        kept[key] = earlier
        notes.append(
            f"{later.where} contradicts {earlier.where} about {rating.name!r}: the earlier counts."
        )
    if same:
        notes.append(f"{same} ratings were there twice and count once.")
    return list(kept.values())


def _join(ratings: Iterable[Rating], items: dict[str, RatedRecording]) -> list[Judgement]:
    found = []
    for rating in ratings:
        if rating.name not in items:
            raise RunError(f"{rating.where}: {_unknown(rating.name, items)}")
        found.append(Judgement(rating, items[rating.name]))
    return found


def _unknown(name: str, items: Iterable[str]) -> str:
    """Say that there is no such recording; a study has too many to list them."""
    near = get_close_matches(name, items, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "was it rated in another study?"
    return f"no recording is called {name!r}; {hint}"
