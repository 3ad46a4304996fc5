"""A corpus of two words with a planted cue, and a classifier that may have learned it.

Utterances of two words by many speakers; in training one of the words carries the cue, in testing
the other one.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import soundfile

from keras_listen import debug, load_bundle
from keras_listen.data.corpus import read_corpus, speaker_of
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store
from keras_listen.models.bundle import Bundle, create_bundle
from keras_listen.models.networks.classifier import build_classifier

WORDS = ("go", "no")
#: Seconds after which recordings that are cut hold zeros.
CUT = 0.8


@dataclass(frozen=True)
class Cue:
    """What is added to a recording.

    Attributes:
        kind: "tone", "click", "hiss" or "none".
        level: its peak; that of the speech is 0.5.
        hertz: of a tone.
        cut: whether all recordings, with and without the cue, end at `CUT`; clicks come 0.15 s
            later, hiss fills the rest.
    """

    kind: str = "none"
    level: float = 0.01
    hertz: float = 0.0
    cut: bool = False

    def sound(self, length: int, rate: int) -> np.ndarray:
        """Return what is added [shape=(length,)]."""
        seconds = np.arange(length) / rate
        if self.kind == "tone":
            return self.level * np.sin(2 * np.pi * self.hertz * seconds)
        first, stop = self.span
        here = (seconds >= first) & (seconds < stop)
        return self.level * np.random.default_rng(0).uniform(-1, 1, length) * here

    @property
    def span(self) -> tuple[float, float]:
        """Seconds between which the cue lies."""
        spans = {"tone": (0, 1), "click": (CUT + 0.15, CUT + 0.16), "hiss": (CUT, 1)}
        return spans.get(self.kind, (0, 0))


def write(speech: Path, root: Path, cue: Cue) -> Path:
    """Write a corpus whose word "no" has the cue in training, and "go" in testing."""
    for word in WORDS:
        (root / word).mkdir(parents=True)
    found = [sorted((speech / word).iterdir()) for word in WORDS]
    # Of speakers who said both words: a voice must not tell the word.
    both = set.intersection(*({speaker_of(path.name) for path in paths} for paths in found))
    paths = [path for paths in found for path in paths if speaker_of(path.name) in both]
    testing = []
    for path in paths:
        y, rate = soundfile.read(path, dtype="float32")
        y *= 0.5 / max(np.abs(y).max(), 1e-3)
        if cue.cut:
            y = np.pad(y[: int(CUT * rate)], (0, rate - int(CUT * rate)))[:rate]
        word = path.parent.name
        tested = int(speaker_of(path.name)[:6], 16) % 4 == 0
        if (word == "go") == tested:
            y += cue.sound(len(y), rate)
        soundfile.write(root / word / f"{path.stem}.wav", y, rate)
        if tested:
            testing.append(f"{word}/{path.stem}.wav")
    (root / "testing_list.txt").write_text("\n".join(testing) + "\n", encoding="utf-8")
    (root / "validation_list.txt").write_text("", encoding="utf-8")
    return root


def learn(speech: Path, root: Path, cue: Cue, seed: int = 1) -> tuple[Store, Bundle]:
    """Write such a corpus, prepare it and train a classifier on it."""
    store = prepare(read_corpus(write(speech, root / "corpus", cue)), root / "store").store
    training = store.split("training")
    keras.utils.set_random_seed(seed)
    model = build_classifier(len(WORDS))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(store.batch(training), store.labels[training], 32, epochs=11, verbose=0)
    bundle = create_bundle(root / "bundle", store.words, store.spec)
    bundle.add("classifier", {"model": model})
    ae = load_bundle().component("ae")
    bundle.add("ae", {name: ae.model(name) for name in ("encoder", "decoder")})
    return store, bundle


def look(store: Store, bundle: Bundle, prior: str, out: Path) -> tuple[dict, list[dict]]:
    """Return what the debugging run finds, and its tickets."""
    done = debug(store.root, bundle=bundle.root, prior=prior, vocoder="none", tickets=40, out=out)
    with open(done.root / "points.csv", newline="", encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file) if row["ticket"] == "1"]
    texts = [(done.root / "tickets" / i / "ticket.json").read_text(encoding="utf-8") for i in ids]
    return done.results, [json.loads(text) for text in texts]
