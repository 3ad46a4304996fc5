"""Read ratings from files of all kinds and join them with the recordings they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from ...errors import ParameterError, RunError
from ..catalogue import Catalogue, RatedRecording
from ..collect.stored import Stored
from ..ratings import COLUMNS, OTHER, Rating, read_ratings, read_table
from .mturk_results import COLUMNS as BATCH_COLUMNS
from .mturk_results import is_batch, read_batch

_STAGES = ("generated", "before", "after")


class RatedCondition(NamedTuple):
    """Condition and stage of recordings whose ratings are counted together.

    Attributes:
        experiment: number of the experiment; None for anchors, which are sorted last.
        stage: "generated", "before", "after" or empty.
        label: name of the condition, for people.
        prior: name of the prior, or empty.
    """

    experiment: int | None
    stage: str
    label: str
    prior: str

    @property
    def title(self) -> str:
        """Label for people, with the stage where there are two."""
        return f"{self.label}, {self.stage}" if self.stage in ("before", "after") else self.label

    @property
    def order(self) -> tuple:
        """Sort key: by experiment, then before and after, anchors last."""
        stage = _STAGES.index(self.stage) if self.stage in _STAGES else len(_STAGES)
        return self.experiment is None, self.experiment or 0, stage, self.label


@dataclass(frozen=True)
class Judgement:
    """A rating and its recording."""

    rating: Rating
    item: RatedRecording

    @property
    def condition(self) -> RatedCondition:
        """Condition the rating is counted in."""
        item = self.item
        if item.role != "item":
            return RatedCondition(None, "", f"anchor, {item.role}", "")
        return RatedCondition(item.experiment, item.stage, item.condition, item.prior)

    @property
    def right(self) -> bool:
        """Whether the rater heard the right word; typed words count like chosen ones."""
        heard = self.rating.heard.removeprefix(OTHER)
        return heard.strip().casefold() == self.item.word.strip().casefold()


@dataclass(frozen=True)
class Gathered:
    """Judgements from all sources.

    Attributes:
        judgements: in the order of the sources.
        items: recordings that could be judged, by name.
        notes: sentences on what was left out, and why.
    """

    judgements: list[Judgement]
    items: dict[str, RatedRecording]
    notes: list[str]


def gather_judgements(
    sources: Sequence[str | Path | Stored],
    study: Catalogue | None = None,
    *,
    coding: str = "auto",
    rejected: bool = False,
) -> Gathered:
    """Read ratings of all kinds and join them with their recordings.

    Duplicate ratings count once. If a rater contradicts themselves about the same presentation of a
    recording, the earlier rating counts, by time or, where no time was recorded, by position in the
    files: it was given with the fresher ear.

    Args:
        sources: ratings files, batch results of Mechanical Turk, and ratings read from databases.
        study: recordings of the listening test; needed for all but batch results.
        coding, rejected: see `keras_listen.listening_test.analyse.mturk_results.read_batch`.

    Raises:
        ListenError: a file cannot be used, or rates other recordings.
    """
    ratings: list[Rating] = []
    items: dict[str, RatedRecording] = dict(study.recordings) if study else {}
    notes: list[str] = []
    for source in sources:
        if isinstance(source, Stored):
            read = source.ratings
        elif is_batch(heading := read_table(source)[0]):
            read, described, more = read_batch(source, study, coding=coding, rejected=rejected)
            notes += more
            _add(items, described, source)
        else:
            read = _read_own(source, heading, study)
        if not read:
            notes.append(f"{source}: there is no rating in it.")
        ratings += read
    return Gathered(_join(_unique(ratings, notes), items), items, notes)


def _read_own(path: str | Path, heading: Sequence[str], study: Catalogue | None) -> list[Rating]:
    if "rater" not in heading or "name" not in heading:
        raise RunError(
            f"{path} is no ratings file; expected the columns {', '.join(COLUMNS)}, or those of "
            f"batch results of Mechanical Turk: {', '.join(BATCH_COLUMNS)}"
        )
    read = read_ratings(path)
    if study is None:
        raise ParameterError(
            f"{path} names recordings of a listening test, but not what they are; name its folder "
            "with --study"
        )
    for rating in read:
        if rating.study != study.study:
            raise RunError(
                f"{rating.where} is of the listening test {rating.study!r}, the folder of --study "
                f"is {study.study!r}; analyse each with its own"
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


def _unique(ratings: Iterable[Rating], notes: list[str]) -> list[Rating]:
    """Keep one rating for each presentation of a recording to a rater; append notes."""
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
    """Return the message for an unknown name; there are too many recordings to list them."""
    near = get_close_matches(name, items, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "was it rated in another listening test?"
    return f"no recording is called {name!r}; {hint}"
