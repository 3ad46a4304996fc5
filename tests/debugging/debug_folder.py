"""A made-up folder of `keras-listen debug`: what its page is tested on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.image import imsave

from keras_listen.output.files import csv_text, write_json, write_text

WORDS = ("down", "go", "no", "stop", "up", "yes")
SPEAKERS = ("0a7c2a8d", "1b4c9b89", "2f0ce4d9", "3b4f8f24")
RATE = 16000
#: Every so many-th point is misclassified.
WRONG = 5
ALARM = "86 % of the change lies in the padding."
VERSIONS = ("original", "reconstruction", "smallest", "maximized", "difference")


def write_folder(
    root: Path,
    count: int = 60,
    words: Sequence[str] = WORDS,
    speakers: Sequence[str] = SPEAKERS,
    *,
    speech: bool = True,
    tickets: int | None = None,
    mistakes: bool = True,
) -> list[dict[str, object]]:
    """Write a folder with `count` points and return its rows; point i speaks word i modulo words.

    Args:
        speech: whether there are sounds.
        mistakes: whether every fifth point is misclassified.
        tickets: how many there are; by default one for each misclassified point.
    """
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(count)
    rows = [_row(i, words, speakers, mistakes, generator) for i in range(count)]
    if tickets is not None:
        for row in rows[tickets * WRONG :]:
            row["ticket"] = 0
    write_text(root / "points.csv", csv_text(rows))
    command = {"store": "the <store>", "split": "testing", "prior": "ae", "steps": 20}
    command |= {"words": [], "speakers": []}
    write_json(root / "manifest.json", {"command": command, "words": list(words), "versions": {}})
    write_json(root / "results.json", _results(rows, words, speakers))
    for stem in ("figure-4a", "figure-4b", "confusion"):
        _picture(root / f"{stem}.png", generator)
        (root / f"{stem}.pdf").write_bytes(b"%PDF-1.4\n")
    if speech:
        for row in rows:
            for pitch, when in ((220, "before"), (440, "after")):
                _sound(root / "sounds" / f"{row['id']}-{when}.wav", pitch)
    for row in rows:
        if row["ticket"]:
            _write_ticket(root / "tickets" / str(row["id"]), row, rows, speech, generator)
    return rows


def _row(
    i: int,
    words: Sequence[str],
    speakers: Sequence[str],
    mistakes: bool,
    generator: np.random.Generator,
) -> dict[str, object]:
    word, wrong = words[i % len(words)], int(mistakes and i % WRONG == 0)
    predicted = words[(i + 1) % len(words)] if wrong else word
    speaker = speakers[i % len(speakers)]
    x, y = 10 * np.cos(i % len(words)), 10 * np.sin(i % len(words))
    places = np.array([x, y, 2 * x, 2 * y]) + generator.normal(size=4)
    return {
        "id": f"{word}-{speaker}_nohash_{i}".replace("/", "_"),
        "file": f"{word}/{speaker}_nohash_{i}.wav",
        "word": word,
        "speaker": speaker,
        "split": "testing",
        "predicted": predicted,
        "probability": 0.125 if wrong else 0.875,
        "probability_predicted": 0.75 if wrong else 0.875,
        "predicted_reconstruction": word,
        "probability_reconstruction": 0.625,
        "predicted_after": word,
        "probability_after": 0.999,
        "first_step": 3 if wrong else 0,
        "distance": round(1 + i / 10, 3),
        **dict(zip(("x_before", "y_before", "x_after", "y_after"), places.round(4), strict=True)),
        "misclassified": wrong,
        "mended": wrong,
        "ticket": wrong,
    }


def _results(
    rows: Sequence[dict], words: Sequence[str], speakers: Sequence[str]
) -> dict[str, object]:
    def accuracy(key: str, value: str) -> dict[str, object]:
        own = [row for row in rows if row[key] == value]
        right = sum(row["predicted"] == row["word"] for row in own)
        return {key: value, "count": len(own), "accuracy": right / len(own) if own else None}

    confusion = [
        [sum(r["word"] == said and r["predicted"] == heard for r in rows) for heard in words]
        for said in words
    ]
    pairs = [
        {"word": said, "predicted": heard, "count": confusion[i][j]}
        for i, said in enumerate(words)
        for j, heard in enumerate(words)
        if i != j and confusion[i][j]
    ]
    return {
        "schema": 1,
        "words": list(words),
        "judged": "raw",
        "accuracy": {"raw": 0.8, "reconstruction": 0.75, "after": 1.0},
        "by_word": [accuracy("word", word) for word in words],
        "by_speaker": [accuracy("speaker", speaker) for speaker in speakers],
        "confusion": confusion,
        "confused_pairs": pairs,
        "movement": {
            "explanation": {"distance": "in latents", "direction": "shares of variance"},
            "distance": {
                "misclassified": {"mean": 3.25, "largest": 5.5},
                "correct": {"mean": 2.5, "largest": 4.5},
            },
            "direction_all": {"word": {"share": 0.61, "p": 0.001}, "speaker": None},
            "cosine": {"all": 0.25, "same_word": 0.75},
        },
        "map": {"trustworthiness": 0.97, "perplexity": 30},
        "notes": ["The counts rose to 3 commands & 4 speakers <until there were enough>."],
    }


def _write_ticket(
    folder: Path, row: dict, rows: Sequence[dict], speech: bool, generator: np.random.Generator
) -> None:
    folder.mkdir(parents=True)
    steps = list(range(21))
    about = {key: row[key] for key in ("id", "file", "word", "speaker", "predicted", "first_step")}
    about |= {
        "confidence": row["probability_predicted"],
        "mended": bool(row["mended"]),
        "steps": steps,
        "probability_path": [0.1 + 0.04 * step for step in steps],
        "mistaken_path": [0.9 - 0.04 * step for step in steps],
        "predicted_path": [row["predicted"]] * 3 + [row["word"]] * 18,
        "change": {
            **{"share_padding": 0.86, "share_low": 0.04, "share_high": 0.02, "share_speech": 0.08},
            **{"peak_time_s": 0.91, "peak_hz": 1234.5},
            "alarm": ALARM if rows.index(row) % 2 == 0 else None,
        },
        "neighbours": {
            "true": [_near(other) for other in rows if other["word"] == row["word"]][1:3],
            "predicted": [_near(other) for other in rows if other["word"] == row["predicted"]][1:3],
        },
        "versions": list(VERSIONS[:-1]),
    }
    (folder / "ticket.json").write_text(json.dumps(about), encoding="utf-8")
    for number, name in enumerate(VERSIONS):
        _picture(folder / f"{name}.png", generator)
        if speech:
            _sound(folder / f"{name}.wav", 200 + 100 * number)


def _near(row: dict) -> dict[str, object]:
    return {"id": row["id"], "file": row["file"], "distance": row["distance"]}


def _picture(path: Path, generator: np.random.Generator) -> None:
    imsave(path, generator.random((40, 90)), cmap="magma")


def _sound(path: Path, pitch: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(RATE // 4) / RATE
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * pitch * time), RATE)
