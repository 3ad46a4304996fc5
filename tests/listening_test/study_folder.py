"""A small study's folder by the contract of `keras-listen study make`, without models."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_listen.listening_test.items import Row, audio_url, name_of, write_items
from keras_listen.output.files import write_json

ID = "5eed0123abcd"
RATE = 22050
WORDS = ("down", "stop", "up")
HOSTILE = ("<script>alert(1)</script>", 'quo"te, & comma', "žluťoučký")
#: The paper's conditions: experiment and stage.
CELLS = (
    ("1", "generated"),
    ("2", "before"),
    ("2", "after"),
    ("3", "generated"),
    ("4", "before"),
    ("4", "after"),
)


def write_study(
    root: Path,
    words: Sequence[str] = WORDS,
    *,
    takes: int = 2,
    cells: Sequence[tuple[str, str]] = CELLS,
    anchors: int = 4,
    seconds: float = 0.2,
) -> Path:
    """Write a folder with `takes` recordings of each word and cell, and anchors of each role."""
    (root / "audio").mkdir(parents=True)
    rows = [
        _row(word, "item", experiment, stage, take)
        for word in words
        for experiment, stage in cells
        for take in range(takes)
    ]
    rows += [
        _row(words[i % len(words)], role, "", "", i)
        for role in ("clear", "unclear")
        for i in range(anchors)
    ]
    for number, row in enumerate(rows):
        write_wav(root / row["audio_url"], _sound(number, row["role"], seconds))
    write_items(root, rows)
    write_json(root / "manifest.json", {"schema": 1, "study": ID})
    return root


def _row(word: str, role: str, experiment: str, stage: str, take: int) -> Row:
    name = name_of(word, role, experiment, stage, take)
    return {
        "experiment": experiment,
        "timestamp": name,
        "class_label": word,
        "audio_url": audio_url(name),
        "name": name,
        "role": role,
        "condition": "anchor" if role != "item" else f"condition {experiment}",
        "stage": stage,
    }


def _sound(number: int, role: str, seconds: float) -> np.ndarray:
    """Return a sound [shape=(samples,), in [-1, 1]]: noise for unclear, else a falling tone."""
    generator = np.random.default_rng(number)
    time = np.arange(int(seconds * RATE)) / RATE
    if role == "unclear":
        return generator.uniform(-0.2, 0.2, len(time))
    pitch = generator.uniform(200, 400)
    return 0.2 * np.sin(2 * np.pi * (pitch - 60 * time) * time)


def write_wav(path: Path, y: np.ndarray) -> None:
    """Write a 16-bit mono file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((y * 32767).astype("<i2").tobytes())
