"""Simulated studies: the folder of one without sounds, and raters whose opinions are known.

Nothing here was heard by anybody. A simulated rater's opinion of a recording is the quality of its
condition, plus what its word, the recording, the rater, the rater's liking for the prior and chance
add, rounded to a rating.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_listen.listening_test.analyse.judgements import Judgement
from keras_listen.listening_test.catalogue import RatedRecording
from keras_listen.listening_test.items import COLUMNS, audio_url, write_items
from keras_listen.listening_test.ratings import COLUMNS as RATING_COLUMNS
from keras_listen.listening_test.ratings import Rating

STUDY = "5eed0fa57"
WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward"),
    *("four", "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on"),
    *("one", "right", "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual"),
    *("wow", "yes", "zero"),
)
#: Experiment, stage, condition, prior of the paper's six kinds of recordings.
KINDS = (
    (1, "generated", "noise none", "none"),
    (2, "before", "class none", "none"),
    (2, "after", "class none", "none"),
    (3, "generated", "noise ae", "ae"),
    (4, "before", "class ae", "ae"),
    (4, "after", "class ae", "ae"),
)
QUALITY = {
    (1, "generated"): 1.3,
    (2, "before"): 4.3,
    (2, "after"): 3.6,
    (3, "generated"): 2.4,
    (4, "before"): 3.2,
    (4, "after"): 3.0,
}


@dataclass(frozen=True)
class Spread:
    """Standard deviations of what is added to the quality of a condition, in points."""

    word: float = 0.3
    recording: float = 0.3
    rater: float = 0.3
    liking: float = 0.0
    chance: float = 0.6


@dataclass
class Simulation:
    """A study and what its raters said.

    Attributes:
        items: rows of manifest.csv.
        ratings: rows of a ratings file.
        settings: of the experiments, by their numbers.
    """

    items: list[dict[str, Any]]
    ratings: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both; return the study's folder and the ratings file."""
        study = folder / "study"
        study.mkdir(parents=True)
        write_items(study, self.items)
        manifest = {"study": STUDY, "settings": self.settings}
        (study / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        return study, write_ratings(folder / "ratings.csv", self.ratings)


def write_ratings(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a ratings file; columns that a row lacks are empty."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, RATING_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(rater: str, name: str, rating: int | str = "", **others: Any) -> dict[str, Any]:
    """Return a row of a ratings file."""
    known = {"study": STUDY, "rater": rater, "mode": "rating", "name": name, "repeat": 0}
    return known | {"rating": rating} | others


def item(name: str, word: str, kind: Sequence[Any] = KINDS[0], **others: Any) -> dict[str, Any]:
    """Return a row of manifest.csv."""
    experiment, stage, condition, prior = kind
    known = {"experiment": experiment, "timestamp": name, "class_label": word, "name": name}
    known |= {"audio_url": audio_url(name), "role": "item", "condition": condition}
    known |= {"stage": stage, "prior": prior, "objective": "softmax", "vocoder": "wavenet"}
    return dict.fromkeys(COLUMNS, "") | known | others


def anchor(name: str, word: str, role: str) -> dict[str, Any]:
    """Return the row of an anchor."""
    return item(name, word, ("", "", "real" if role == "clear" else "noise", ""), role=role)


def simulate(
    seed: int = 0,
    *,
    words: Sequence[str] = WORDS,
    takes: int = 3,
    raters: int = 12,
    careless: int = 0,
    quality: Mapping[tuple[int, str], float] = QUALITY,
    spread: Spread = Spread(),
    modes: Sequence[str] = ("rating",),
    repeats: int = 10,
) -> Simulation:
    """Simulate a study in which every rater judges every recording.

    Careless raters answer by chance.
    """
    generator = np.random.default_rng(seed)
    kinds = [kind for kind in KINDS if kind[:2] in quality]
    items, latent = [], []
    for word in words:
        for_word = generator.normal(0, spread.word)
        for kind in kinds:
            for take in range(takes):
                here = quality[kind[:2]] + for_word + generator.normal(0, spread.recording)
                items.append(
                    _with_proxies(
                        f"{word}-{kind[0]}{kind[1][0]}-{take}", word, kind, here, generator
                    )
                )
                latent.append(here)
    for word in words[:4]:
        items += [
            anchor(f"clear-{word}", word, "clear"),
            anchor(f"unclear-{word}", word, "unclear"),
        ]
        latent += [4.8, 0.6]
    simulation = Simulation(items)
    for number in range(raters + careless):
        attentive = number < raters
        name = f"{'rater' if attentive else 'careless'}-{number:02d}"
        liking = generator.normal(0, spread.liking)
        own = generator.normal(0, spread.rater) + np.array(
            [liking * (it["prior"] == "ae") for it in items]
        )
        for mode in modes:
            order = generator.permutation(len(items))
            again = [i for i in order if items[i]["role"] == "item"][:repeats]
            for position, (i, repeat) in enumerate(
                [(i, 0) for i in order] + [(i, 1) for i in again]
            ):
                felt = latent[i] + own[i] + generator.normal(0, spread.chance)
                if not attentive:
                    felt = generator.uniform(0.5, 5.5)
                said = _answer(mode, felt, items[i]["class_label"], words, attentive, generator)
                simulation.ratings.append(
                    row(name, items[i]["name"], mode=mode, repeat=repeat, position=position + 1)
                    | said
                    | {"plays": 1, "seconds": round(float(generator.gamma(4, 1.2)), 1)}
                )
    return simulation


def _answer(
    mode: str, felt: float, word: str, words: Sequence[str], attentive: bool, generator
) -> dict:
    if mode == "rating":
        return {"rating": int(np.clip(round(felt), 1, 5))}
    right = attentive and generator.random() < 1 / (1 + np.exp(-2.2 * (felt - 2.6)))
    other = generator.choice([*words, "nothing", "other:glorp"])
    return {"rating": "", "heard": word if right else str(other)}


def _with_proxies(name: str, word: str, kind, latent: float, generator) -> dict[str, Any]:
    """Return an item with proxies that follow its quality, some closely, one not at all."""
    near, far = latent + generator.normal(0, 0.3), latent + generator.normal(0, 1.0)
    return item(
        name,
        word,
        kind,
        cycle_probability=round(float(1 / (1 + np.exp(3 - near))), 4),
        cycle_success=int(near > 2.5),
        referee_probability=round(float(1 / (1 + np.exp(3 - far))), 4),
        referee_success=int(far > 2.5),
        spectral_flatness=round(float(np.exp(-far) / 2), 4),
        speech_band_share=round(float(generator.uniform(0.6, 0.99)), 4),
        feature_distance=round(float(max(0.1, 8 - near + generator.normal(0, 1))), 4),
        referees_agreeing=round(float(generator.integers(0, 4)) / 3, 3),
    )


def judged(seed: int, **settings) -> list[Judgement]:
    """Return the judgements of a simulated study."""
    simulation = simulate(seed, repeats=0, **settings)
    items = {
        i["name"]: RatedRecording(
            i["name"], i["class_label"], i["role"], i["experiment"], i["condition"], i["stage"],
            i["prior"],
        )
        for i in simulation.items
        if i["role"] == "item"
    }  # fmt: skip
    return [
        Judgement(
            Rating(STUDY, r["rater"], r["mode"], r["name"], r["repeat"], r["rating"]),
            items[r["name"]],
        )
        for r in simulation.ratings
        if r["name"] in items
    ]
