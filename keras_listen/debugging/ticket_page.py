"""Read a ticket for the page: a misclassified utterance, its versions and its neighbours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import RunError

#: Versions in the order in which they are shown, and what each is.
VERSIONS = {
    "original": "the utterance",
    "reconstruction": "its reconstruction by the prior",
    "smallest": "the first step that is right",
    "maximized": "fully maximized",
    "difference": "what maximization changed",
}
#: Sounds of an utterance: as it was recorded, decoded from its encoding, and maximized.
SOUNDS = ("recording", "before", "after")
#: Shares of the change, by their key, and what each is.
SHARES = {
    "share_speech": "in the speech bands",
    "share_low": "below them",
    "share_high": "above them",
    "share_padding": "in the padding",
}
#: Size of the picture of a probability path, without its labels.
_WIDTH, _HEIGHT = 300, 80

Source = Callable[[str], str]


@dataclass(frozen=True)
class Version:
    """One version of an utterance: addresses of its picture and its sound, empty without."""

    name: str
    about: str
    picture: str
    sound: str


@dataclass(frozen=True)
class Neighbour:
    """A real utterance beside a ticket's; `sound` is the name of its file in `sounds`, or empty."""

    id: str
    file: str
    distance: float
    sound: str


@dataclass(frozen=True)
class TicketView:
    """Contents of `ticket.json`, and the drawings made of them.

    Attributes:
        about: the file's content.
        confidence: probability of the word that the utterance was taken for.
        path: points of the word's probability on the way, as an SVG polyline takes them.
        mistaken: those of the word that it was taken for.
        first: place of the first step that is right, along the path; None where none is.
        heard: predicted words by span of steps: first step, last step, word.
        shares: of the change: name and share.
        neighbours: correctly classified ones of the true and of the predicted word.
    """

    about: Mapping[str, Any]
    confidence: float
    versions: Sequence[Version]
    path: str
    mistaken: str
    first: float | None
    heard: Sequence[tuple[int, int, str]]
    shares: Sequence[tuple[str, float]]
    neighbours: Mapping[str, Sequence[Neighbour]]
    width: int = _WIDTH
    height: int = _HEIGHT


def read_ticket(folder: Path, address: Source, sounds: set[str]) -> TicketView:
    """Read a ticket's folder.

    Args:
        folder: `tickets/<id>`.
        address: from the name of one of the folder's files to its address, empty without a file.
        sounds: names of the files of the report's folder `sounds`.

    Raises:
        RunError: there is no `ticket.json`, or it is damaged.
    """
    about = read_json(folder / "ticket.json")
    try:
        return _ticket(about, address, sounds)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"the ticket {folder} is damaged: {error!r}") from error


def read_json(path: Path) -> Any:
    """Read a JSON file of a report's folder.

    Raises:
        RunError: it is not there or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from error


def _ticket(about: Mapping[str, Any], address: Source, sounds: set[str]) -> TicketView:
    steps = about["steps"]
    first = about["first_step"]
    near = about["neighbours"]
    return TicketView(
        about=about,
        confidence=float(about["confidence"]),
        versions=[v for name in VERSIONS if (v := _version(name, about, address))],
        path=_curve(steps, about["probability_path"]),
        mistaken=_curve(steps, about["mistaken_path"]),
        first=_across(first, steps) if first >= 0 else None,
        heard=_spans(steps, about["predicted_path"]),
        shares=[(SHARES[key], about["change"][key]) for key in SHARES if key in about["change"]],
        neighbours={key: [_neighbour(n, sounds) for n in near.get(key, ())] for key in _NEAR},
    )


_NEAR = ("true", "predicted")


def _version(name: str, about: Mapping[str, Any], address: Source) -> Version | None:
    if name not in about["versions"] and name != "difference":
        return None
    version = Version(name, VERSIONS[name], address(f"{name}.png"), address(f"{name}.wav"))
    return version if version.picture or version.sound else None


def _curve(steps: Sequence[int], path: Sequence[float]) -> str:
    pairs = zip(steps, path, strict=True)
    places = ((_across(step, steps), _HEIGHT * (1 - value)) for step, value in pairs)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _across(step: int, steps: Sequence[int]) -> float:
    return _WIDTH * (step - steps[0]) / max(steps[-1] - steps[0], 1)


def _spans(steps: Sequence[int], words: Sequence[str]) -> list[tuple[int, int, str]]:
    spans = []
    for word, group in groupby(zip(steps, words, strict=True), key=lambda pair: pair[1]):
        within = [step for step, _ in group]
        spans.append((within[0], within[-1], word))
    return spans


def _neighbour(about: Mapping[str, Any], sounds: set[str]) -> Neighbour:
    when = next(iter(sounds_of(about["id"], sounds)), "")
    sound = f"{about['id']}-{when}.wav" if when else ""
    return Neighbour(about["id"], about["file"], float(about["distance"]), sound)


def sounds_of(id_: str, sounds: set[str]) -> list[str]:
    """Return which sounds of an utterance exist, the most natural one first."""
    return [when for when in SOUNDS if f"{id_}-{when}.wav" in sounds]
