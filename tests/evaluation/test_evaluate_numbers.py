"""Voicing and distance to real speech in an evaluation: the values of a run, and of real speech."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import listen

from keras_listen import evaluate, load_bundle
from keras_listen.evaluation.results import count_chunk
from keras_listen.experiment.chunks import read_chunk
from keras_listen.features import FeatureSpec
from keras_listen.models.speech import find_speech
from keras_listen.vocoders.pitch import estimate_voiced_shares

SMALL = {"samples": 2, "steps": 2, "seed": 3}
VOCODER = {"vocoder": "griffin-lim", "options": ["vocoder.griffin-lim.iterations=1"]}


def line(found, objective: str = "softmax", word: str = "all words", prior: str = "ae"):
    wanted = (prior, objective, word)
    (row,) = [r for r in found.rows if (r["prior"], r["objective"], r["word"]) == wanted]
    return row


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    out = tmp_path_factory.mktemp("spoken") / "out"
    return evaluate(["ae"], ["softmax"], **SMALL, **VOCODER, cycle_samples=1, out=out)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return listen(**SMALL, **VOCODER, out=tmp_path_factory.mktemp("run") / "run")


def test_means_are_those_of_a_run(spoken, run):
    for word in ("bed", "zero"):
        rows = [row for row in run.rows if row["word"] == word]
        distance = np.mean([float(row["speech_distance_db"]) for row in rows])
        assert line(spoken, word=word)["speech distance"] == pytest.approx(distance, rel=1e-4)
        # One of two is synthesized.
        voiced = float(rows[0]["voiced_share"])
        assert line(spoken, word=word)["voiced"] == pytest.approx(voiced, abs=1e-4)
    voiced = np.mean([float(row["voiced_share"]) for row in run.rows[::2]])
    assert line(spoken)["voiced"] == pytest.approx(voiced, abs=1e-4)
    assert [*spoken.rows[0]][-2:] == ["voiced", "speech distance"]


def test_untouched_starts_have_a_distance(spoken, run):
    assert line(spoken, "untouched")["voiced"] is None
    distance = line(spoken, "untouched")["speech distance"]
    assert distance > line(spoken)["speech distance"]


def test_the_note_says_how_far_real_speech_is(spoken):
    assert spoken.note.endswith(
        " Voiced is the share of voiced frames in the vocoder's sounds of 1 start a word; speech "
        "distance is the distance of features to real speech of the word, in dB. Recordings of the "
        "word are 5.7 dB from it, those of other words 7.4 dB; 30 % of their frames are voiced "
        "where Griffin-Lim speaks them."
    )
    assert "<th>speech distance, dB</th>" in (spoken.root / "index.html").read_text()


def test_without_sounds_voicing_is_estimated_from_features(bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, "speech": tiny_store.root, "cycle_samples": 3}
    found = evaluate(["none"], ["softmax"], **SMALL, **settings, out=tmp_path / "out")
    testing = tiny_store.split("testing")
    mine = [p for p in testing if tiny_store.utterances[p].word == "down"][:3]
    features = tiny_store.batch(np.array(mine))[..., 0]
    wanted = estimate_voiced_shares(features, FeatureSpec()).mean()
    real = line(found, "untouched", "down", "real speech")
    assert wanted > 0
    assert real["voiced"] == pytest.approx(wanted)
    assert "voiced frames, estimated from the features of 3 starts a word. Note: " in found.note
    assert found.note.endswith(f"keras-listen train STORE {bundle} --only speech.")
    # The bundle has no real speech, and says so.
    assert real["speech distance"] is None
    assert line(found, prior="none")["speech distance"] is None
    assert line(found, prior="none")["voiced"] is not None
    assert "no component speech" in (found.root / "index.html").read_text()


def test_real_speech_of_a_store_is_compared_with_that_of_the_bundle(tiny_store):
    speech, _ = find_speech(load_bundle(), tiny_store.spec)
    words = ["down", "stop", "up"]
    features = tiny_store.batch(np.arange(3))[..., 0]
    assert np.isfinite(speech.distances(features, words)).all()


def test_chunks_from_before_are_counted_without_both(spoken):
    (path,) = (spoken.root / "chunks").rglob("*.npz")

    class Chunk:
        path = ""

    chunk = Chunk()
    chunk.path = str(path.relative_to(spoken.root))
    arrays = read_chunk(spoken.root, chunk)
    for name in ("voiced", "speech_distance", "speech_distance_before"):
        del arrays[name]
    classifier = load_bundle().classifier
    counted = count_chunk(arrays, classifier.words, classifier, load_bundle().referees, True)
    assert counted["bed"].samples == 2
    assert counted["bed"].voiced == counted["bed"].speech == (0.0, 0)
