"""A shortcut that was planted must be pointed at, and none must be seen where there is none.

Utterances of two words by many speakers; in training one of them carries a faint tone, in testing
the other one.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_listen import debug, load_bundle
from keras_listen.bundle import create_bundle
from keras_listen.corpus import read_corpus, speaker_of
from keras_listen.models.classifier import build_classifier
from keras_listen.preparation import prepare

WORDS = ("go", "no")
#: Peak of the tone; speech has up to 1.
LEVEL = 0.01


def write(speech: Path, root: Path, tone: float | None) -> Path:
    """Write a corpus whose word "no" has a tone of so many Hz in training, and "go" in testing."""
    for word in WORDS:
        (root / word).mkdir(parents=True)
    paths = [p for word in WORDS for p in sorted((speech / word).iterdir())]
    testing = []
    for path in paths:
        y, rate = soundfile.read(path, dtype="float32")
        y *= 0.5 / max(np.abs(y).max(), 1e-3)
        word = path.parent.name
        tested = int(speaker_of(path.name)[:6], 16) % 4 == 0
        if tone and (word == "go") == tested:
            y += LEVEL * np.sin(2 * np.pi * tone * np.arange(len(y)) / rate)
        soundfile.write(root / word / f"{path.stem}.wav", y, rate)
        if tested:
            testing.append(f"{word}/{path.stem}.wav")
    (root / "testing_list.txt").write_text("\n".join(testing) + "\n", encoding="utf-8")
    (root / "validation_list.txt").write_text("", encoding="utf-8")
    return root


def suspicions(results: dict) -> str:
    return " ".join(note for note in results["notes"] if "classifier" in note)


def look(speech: Path, root: Path, tone: float | None, prior: str) -> tuple[dict, list[dict]]:
    """Train on such a corpus; return what the inquiry found, and its tickets."""
    store = prepare(read_corpus(write(speech, root / "corpus", tone)), root / "store").store
    training = store.split("training")
    keras.utils.set_random_seed(1)
    model = build_classifier(len(WORDS))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(store.batch(training), store.labels[training], 32, epochs=8, verbose=0)
    bundle = create_bundle(root / "bundle", store.words, store.spec)
    bundle.add("classifier", {"model": model})
    ae = load_bundle().component("ae")
    bundle.add("ae", {name: ae.model(name) for name in ("encoder", "decoder")})
    done = debug(
        store.root, bundle=bundle.root, prior=prior, vocoder="none", tickets=40,
        out=root / "debug",
    )  # fmt: skip
    with open(done.root / "points.csv", newline="", encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file) if row["ticket"] == "1"]
    texts = [(done.root / "tickets" / i / "ticket.json").read_text(encoding="utf-8") for i in ids]
    return done.results, [json.loads(text) for text in texts]


@pytest.mark.slow
def test_a_planted_tone_is_pointed_at(real_speech, tmp_path):
    results, tickets = look(real_speech, tmp_path, 2600.0, "none")
    assert results["accuracy"]["raw"] < 0.2
    near = [abs(ticket["change"]["peak_hz"] - 2600) < 100 for ticket in tickets]
    assert np.mean(near) > 0.9
    assert results["changes"]["peak_hz"] == pytest.approx(2600, abs=100)
    assert results["changes"]["alarms"] > 0.25 * len(tickets)
    assert "may have learned a shortcut" in suspicions(results)
    assert "are largest near 2569 Hz" in suspicions(results)


@pytest.mark.slow
def test_a_prior_that_hides_the_tone_says_so(real_speech, tmp_path):
    results, _ = look(real_speech, tmp_path, 2600.0, "ae")
    assert results["accuracy"]["reconstruction"] > results["accuracy"]["raw"] + 0.3
    assert "is in what the prior leaves out" in suspicions(results)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["none", "ae"])
def test_nothing_is_suspected_of_the_clean_twin(real_speech, tmp_path, prior):
    results, tickets = look(real_speech, tmp_path, None, prior)
    assert len(tickets) == 40
    assert np.mean([ticket["change"]["alarm"] is not None for ticket in tickets]) < 0.1
    assert suspicions(results) == ""
