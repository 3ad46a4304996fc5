"""What ratings are about: recordings, with what is known of them without people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RunError
from .items import Row, read_items, read_manifest

#: Numbers that may tell how people will rate a recording, and what each is.
PROXIES = {
    "cycle_probability": "probability of the word, by the classifier on the sound",
    "cycle_success": "whether the classifier hears the word in the sound",
    "referee_probability": "probability of the word, by the referee on the sound",
    "referee_success": "whether the referee hears the word in the sound",
    "referees_agreeing": "share of the referees that hear the word in the sound",
    "feature_distance": "distance from real ones of the word, in a referee's last hidden layer",
    "spectral_flatness": "spectral flatness: 1 for white noise, 0 for a tone",
    "speech_band_share": "share of the energy that lies where speech has its own",
}


@dataclass(frozen=True)
class RatedRecording:
    """A recording that people judge.

    Attributes:
        name: unique.
        word: that is to be heard.
        role: "item", or "clear" or "unclear" for an anchor.
        experiment: 1 to 4 as in the paper, 5 and up for others; None for anchors.
        condition: what it was made by, for people.
        stage: "generated", "before" or "after"; empty where that means nothing.
        prior: name of the prior; empty where none had a part in it.
        others: names of the objective and the vocoder; empty where they are not known.
        settings: of what made it, by name, as far as they had a part in it; see
            `keras_listen.study.conditions.Condition`.
        proxies: numbers of `PROXIES`; those that are not known are left out.
    """

    name: str
    word: str
    role: str = "item"
    experiment: int | None = None
    condition: str = ""
    stage: str = ""
    prior: str = ""
    others: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    proxies: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalogue:
    """The recordings of a study by name, and the id that its ratings carry."""

    study: str
    recordings: Mapping[str, RatedRecording]


def read_catalogue(folder: str | Path) -> Catalogue:
    """Read the folder of a study; its sounds are not needed.

    Raises:
        RunError: it is none, or is damaged.
    """
    rows, path = read_items(folder), Path(folder) / "manifest.csv"
    manifest = read_manifest(folder)
    settings = manifest.get("settings", {})
    found = [_recording(row, path, settings.get(row["experiment"], {})) for row in rows]
    return Catalogue(manifest["study"], {item.name: item for item in found})


def _recording(row: Row, path: Path, settings: Mapping[str, Any]) -> RatedRecording:
    if row["stage"] in ("before", ""):
        # Nothing was maximized, and real speech was not even encoded.
        parts = ("prior.", "vocoder.") if row["stage"] else ("vocoder.",)
        settings = {name: value for name, value in settings.items() if name.startswith(parts)}
    return RatedRecording(
        row["name"],
        row["class_label"],
        row["role"],
        int(row["experiment"]) if row["role"] == "item" else None,
        row["condition"],
        row["stage"],
        row["prior"],
        (row["objective"], row["vocoder"]),
        settings,
        {name: _number(path, row, name) for name in PROXIES if row.get(name)},
    )


def _number(path: Path, row: Row, name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RunError(
            f"in {path}, {name} of {row['name']} is {row[name]!r}; expected a finite number"
        )
    return value
