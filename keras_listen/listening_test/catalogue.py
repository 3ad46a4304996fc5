"""Recordings that are rated, with their conditions and the measurements made without raters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RunError
from .items import Row, read_items, read_manifest

#: Measurements that may predict how people rate a recording, with a description of each.
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
    """A recording that raters judge.

    Attributes:
        name: unique name.
        word: the word it is meant to say.
        role: "item", or "clear" or "unclear" for an anchor.
        experiment: 1 to 4 as in the paper, 5 and up for further conditions; None for anchors.
        condition: label of the condition, for people.
        stage: "generated", "before" or "after"; empty if not applicable.
        prior: name of the prior; empty if none was used.
        others: names of the objective and the vocoder; empty if unknown.
        settings: those settings of the condition by name that affected this recording; see
            `keras_listen.listening_test.make.conditions.Condition`.
        proxies: values of `PROXIES`; unknown ones are left out.
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
    """Recordings of a listening test by name, and its id, which every rating carries as `study`."""

    study: str
    recordings: Mapping[str, RatedRecording]


def read_catalogue(folder: str | Path) -> Catalogue:
    """Read the recordings of a listening test from its folder; WAV files are not needed.

    Raises:
        RunError: the folder holds no listening test, or its files are damaged.
    """
    rows, path = read_items(folder), Path(folder) / "manifest.csv"
    manifest = read_manifest(folder)
    settings = manifest.get("settings", {})
    found = [_recording(row, path, settings.get(row["experiment"], {})) for row in rows]
    return Catalogue(manifest["study"], {item.name: item for item in found})


def _recording(row: Row, path: Path, settings: Mapping[str, Any]) -> RatedRecording:
    if row["stage"] in ("before", ""):
        # Nothing was maximized, and real speech was not encoded by a prior either.
        parts = ("prior.", "vocoder.") if row["stage"] else ("vocoder.",)
        settings = {name: value for name, value in settings.items() if name.startswith(parts)}
    return RatedRecording(
        name=row["name"],
        word=row["class_label"],
        role=row["role"],
        experiment=int(row["experiment"]) if row["role"] == "item" else None,
        condition=row["condition"],
        stage=row["stage"],
        prior=row["prior"],
        others=(row["objective"], row["vocoder"]),
        settings=settings,
        proxies={name: _number(path, row, name) for name in PROXIES if row.get(name)},
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
