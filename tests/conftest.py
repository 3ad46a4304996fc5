"""Fixtures for all tests: a small synthetic corpus, its store, and real speech where there is some.

Real speech is found only through the environment variable KERAS_LISTEN_CORPUS: a folder that holds
`speech_commands/` and `kathleen/`; other people's model files through KERAS_LISTEN_MODELS. Tests
that need them are skipped where the variable is unset.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

# TensorFlow reads these when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As the command line has it: bits are compared with what it writes.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import pytest
from helpers import write_small_bundle

from keras_listen.cli import main
from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store

RATE = 16000
WORDS = ("down", "stop", "up")
#: Speakers by split; no speaker is in two.
SPEAKERS = {
    "training": ("1a000001", "1a000002", "1a000003", "1a000004", "1a000005"),
    "validation": ("2b000001",),
    "testing": ("3c000001", "3c000002"),
}
TAKES = 3


def synthesize(word: str, number: int) -> np.ndarray:
    """Return a second of sound [shape=(16000,), float32]: a falling or rising tone, or a burst.

    Sounds of one word differ by `number` in pitch, level, length, place and noise.
    """
    generator = np.random.default_rng((WORDS.index(word), number))
    time = np.arange(RATE) / RATE
    onset, length = generator.uniform(0.1, 0.3), generator.uniform(0.4, 0.6)
    place = (time - onset) / length
    envelope = np.where((place > 0) & (place < 1), np.sin(np.pi * np.clip(place, 0, 1)), 0)
    if word == "stop":
        y = generator.normal(0, 0.3, RATE)
    else:
        slope = 1.5 if word == "up" else -1.5
        pitch = generator.uniform(250, 400) * 2 ** (slope * (place - 0.5))
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        y = sum(np.sin(k * phase) / k for k in range(1, 6))
    y = generator.uniform(0.1, 0.5) * envelope * y + generator.normal(0, 1e-3, RATE)
    return y.astype(np.float32)


def write_corpus(root: Path) -> Path:
    """Write a Speech Commands style tree: 3 words, 8 speakers, 3 takes each, lists, noise."""
    import soundfile

    for word in WORDS:
        (root / word).mkdir(parents=True)
    number = 0
    for split, speakers in SPEAKERS.items():
        names = [
            f"{word}/{speaker}_nohash_{take}.wav"
            for word in WORDS
            for speaker in speakers
            for take in range(TAKES)
        ]
        for name in names:
            number += 1
            soundfile.write(root / name, synthesize(name.partition("/")[0], number), RATE)
        if split != "training":
            (root / f"{split}_list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (root / "_background_noise_").mkdir()
    generator = np.random.default_rng(0)
    for name, level in (("hiss", 0.1), ("rumble", 0.3)):
        noise = generator.normal(0, level, 3 * RATE)
        if name == "rumble":
            noise = np.convolve(noise, np.ones(32) / 32, "same")
        soundfile.write(root / "_background_noise_" / f"{name}.wav", noise, RATE)
    return root


@pytest.fixture(scope="session", autouse=True)
def without_options() -> None:
    """Keep this run's options from those that tests start.

    Not earlier: processes that share a run's tests read them, too.
    """
    os.environ.pop("PYTEST_ADDOPTS", None)


@pytest.fixture(scope="session")
def sound() -> Callable[[str, int], np.ndarray]:
    """A function from a word of the tiny corpus and a number to a second of sound at 16 kHz."""
    return synthesize


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic corpus; copy it before changing anything in it.

    Three words (down, stop, up), 8 speakers (5 of them training, 1 validation, 2 testing), 3 takes
    each: 72 utterances of one second at 16 kHz, lists, two background recordings of 3 seconds.
    """
    return write_corpus(tmp_path_factory.mktemp("corpus") / "tiny")


@pytest.fixture(scope="session")
def tiny_store(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of `tiny_corpus`, with the default features; not to be changed."""
    target = tmp_path_factory.mktemp("store") / "tiny"
    return prepare(read_corpus(tiny_corpus), target, workers=1).store


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of KERAS_LISTEN_CORPUS."""
    if not (folder := os.environ.get("KERAS_LISTEN_CORPUS")):
        pytest.skip("KERAS_LISTEN_CORPUS is unset: no real speech to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def real_speech(real_data: Path) -> Path:
    """A folder with real utterances in the layout of Speech Commands."""
    root = real_data / "speech_commands"
    if not root.is_dir():
        pytest.fail(f"KERAS_LISTEN_CORPUS is set, but there is no {root}")
    return root


@pytest.fixture(scope="session")
def real_reading(real_data: Path) -> Path:
    """A folder with long real recordings of one voice at 22,050 Hz."""
    root = real_data / "kathleen"
    if not root.is_dir():
        pytest.fail(f"KERAS_LISTEN_CORPUS is set, but there is no {root}")
    return root


@pytest.fixture(scope="session")
def real_models() -> Path:
    """The folder of KERAS_LISTEN_MODELS, with model files of other people."""
    if not (folder := os.environ.get("KERAS_LISTEN_MODELS")):
        pytest.skip("KERAS_LISTEN_MODELS is unset: no model files of other people to open")
    return Path(folder)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle of the words `helpers.WORDS`; copy it before changing anything in it."""
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture(scope="module")
def chromium():
    """A browser for a module's tests."""
    from browser import open_browser, require_browser

    require_browser()
    with open_browser() as browser:
        yield browser


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    """A function that runs a command line in an empty folder and tells what it did.

    `run` has the published settings, which are the quickest, where no preset is named.
    """
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("keras_listen")
    before = log.handlers[:], log.propagate

    def call(*arguments) -> SimpleNamespace:
        quick = ["--preset", "paper"] * (arguments[:1] == ("run",) and "--preset" not in arguments)
        monkeypatch.setattr(sys, "argv", ["keras-listen", *map(str, arguments), *quick])
        capfd.readouterr()
        log.handlers = []
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capfd.readouterr()
        return SimpleNamespace(status=exit_.value.code or 0, out=said.out, err=said.err)

    yield call
    log.handlers[:], log.propagate = before
