"""Who hears a run's words, how much of its sounds is voiced, how far it is from real speech."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
from helpers import listen, read_table

from keras_listen import load_bundle
from keras_listen.experiment.verdict import describe_hearing, describe_measures
from keras_listen.features import FeatureSpec
from keras_listen.models.speech import find_speech
from keras_listen.vocoders.voicing import voiced_share

SETTINGS = {"vocoder": "griffin-lim", "words": ["yes", "no"], "samples": 2, "steps": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return listen(**SETTINGS, out=tmp_path_factory.mktemp("numbers") / "run")


def as_older(run, root):
    """Copy a run, without all that earlier versions didn't write."""
    shutil.copytree(run.root, root)
    manifest = json.loads((root / "manifest.json").read_text())
    for name in ("speech", "judges"):
        del manifest[name]
    (root / "manifest.json").write_text(json.dumps(manifest))
    lines = (root / "samples.csv").read_text().splitlines()
    assert lines[0].endswith(
        ",gain,voiced_share,speech_distance_db,residual_predicted,separable_predicted"
    )
    older = [line.rsplit(",", 4)[0] for line in lines]
    (root / "samples.csv").write_text("\n".join(older) + "\n")
    return older


def test_columns_have_the_values_of_what_was_written(run):
    bundle = load_bundle()
    speech, _ = find_speech(bundle, FeatureSpec())
    for row in read_table(run.root / "samples.csv"):
        sound, rate = soundfile.read(run.root / f"{row['id']}.wav")
        assert float(row["voiced_share"]) == pytest.approx(voiced_share(sound, rate), abs=0.011)
        features = np.load(run.root / f"{row['id']}.npy")[None]
        (distance,) = speech.distances(np.clip(features, 0, 1), [row["word"]])
        assert float(row["speech_distance_db"]) == pytest.approx(distance, rel=1e-4)
        for name in ("residual", "separable"):
            judge = bundle.referees[name]
            (place,) = judge.decide(judge.predict(features[..., None]))
            assert row[f"{name}_predicted"] == judge.words[place]


def test_summary_has_their_means(run):
    rows = read_table(run.root / "samples.csv")
    for name, column in (("voiced", "voiced_share"), ("speech distance", "speech_distance_db")):
        assert run.summary[name] == pytest.approx(np.mean([float(row[column]) for row in rows]))


def test_the_manifest_has_the_figures_of_real_speech(run):
    manifest = json.loads((run.root / "manifest.json").read_text())
    component = load_bundle().component("speech")
    assert manifest["speech"] == {"files": component.files, **component.figures}
    assert manifest["judges"] == ["residual", "separable"]
    assert "speech" not in manifest["models"]


def test_the_page_begins_with_who_hears_the_words(run):
    page = (run.root / "index.html").read_text()
    assert run.verdict
    for sentence in run.verdict:
        assert sentence.replace("'", "&#39;") in page
    assert "own success</dt>" not in page
    assert "dB from real speech" in page


def test_the_terminal_says_the_same(call, tmp_path):
    done = call("run", "--vocoder", "griffin-lim", "--word", "yes", "--steps", 2, "--out", "out")
    assert done.status == 0
    assert "The classifier that was maximized hears the word in " in done.out
    assert "; other classifiers: referee in " in done.out
    assert "From the vocoder's sound, it hears the word in " in done.out
    assert "These are classifiers, not listeners" in done.out
    assert " of a sound's frames are voiced (real speech, spoken by Griffin-Lim: " in done.out
    assert " dB from real speech of the word (recordings of the word: " in done.out


def test_a_run_from_before_is_resumed_with_empty_cells_and_shown(run, tmp_path):
    older = as_older(run, tmp_path / "run")
    (tmp_path / "run" / "samples.csv").write_text("\n".join(older[:-1]) + "\n")
    resumed = listen(**SETTINGS, out=tmp_path / "run", resume=True)
    rows = read_table(tmp_path / "run" / "samples.csv")
    assert [row["id"] for row in rows] == [row["id"] for row in run.rows]
    assert {row["voiced_share"] for row in rows[:-1]} == {""}
    assert rows[-1] == run.rows[-1]
    assert resumed.summary["voiced"] == float(run.rows[-1]["voiced_share"])
    assert "residual in 1 of 1" in resumed.verdict[0] or "residual in 0 of 1" in resumed.verdict[0]


def test_a_bundle_without_real_speech_works_and_says_so(bundle, call, tmp_path):
    options = ("--vocoder", "griffin-lim", "--word", "up", "--steps", 2, "--out", tmp_path / "out")
    done = call("run", "--bundle", bundle, *options)
    assert done.status == 0
    notes = [line for line in done.out.splitlines() if "no component speech" in line]
    assert len(notes) == 1
    assert notes[0].endswith(f"fit it with: keras-listen train STORE {bundle} --only speech.")
    assert "no component speech" not in done.err
    (row,) = read_table(tmp_path / "out" / "samples.csv")
    assert row["speech_distance_db"] == ""
    assert row["voiced_share"] != ""
    assert "no component speech" in (tmp_path / "out" / "index.html").read_text()
    assert "spoken by Griffin-Lim" not in done.out


def test_without_a_vocoder_nothing_is_said_of_sounds(tmp_path):
    run = listen(**SETTINGS | {"vocoder": "none"}, out=tmp_path / "run")
    assert {row["voiced_share"] for row in run.rows} == {""}
    assert run.summary["voiced"] is None
    assert not any("voiced" in sentence or "sound," in sentence for sentence in run.verdict)
    assert "dB from real speech of the word" in run.verdict[-1]


def row(word: str, **changed: str) -> dict[str, str]:
    heard = ("predicted", "referee_predicted", "cycle_predicted", "residual_predicted")
    about = {"word": word, "gain": "1", "referee_probability": "1", **dict.fromkeys(heard, word)}
    return about | changed


def test_everybody_is_named_with_a_count_of_what_they_know():
    rows = [
        row("yes"),
        row("yes", predicted="no", cycle_predicted="no", referee_predicted="up"),
        row("no", residual_predicted="", gain="", cycle_predicted=""),
    ]
    assert describe_hearing(rows, {"judges": ["residual"]}) == [
        "The classifier that was maximized hears the word in 2 of 3 samples; other classifiers: "
        "referee in 2 of 3, residual in 2 of 2.",
        "From the vocoder's sound, it hears the word in 1 of 2.",
        "These are classifiers, not listeners: people may hear something else.",
    ]
    heard = [one | {"referee_cycle_predicted": "yes"} for one in rows[:2]]
    assert describe_hearing(heard, {})[1].endswith("the word in 1 of 2; referee in 2 of 2.")


def test_nothing_is_said_where_no_word_is_aimed_at_nor_of_missing_figures():
    assert describe_hearing([row("")], {}) == []
    assert describe_measures({"samples": 1}, {}) == []
    assert describe_measures({"voiced": None, "speech distance": None}, {}) == []
    assert describe_measures({"voiced": 0.251, "speech distance": None}, {}) == [
        "25 % of a sound's frames are voiced."
    ]
    real = {"voiced_share": 0.3, "distance_db": 5.74, "distance_db_of_other_words": 7.36}
    found = describe_measures({"voiced": 0.1, "speech distance": 8.04}, {"speech": real})
    assert found == [
        "10 % of a sound's frames are voiced (real speech, spoken by Griffin-Lim: 30 %). Features "
        "are 8.0 dB from real speech of the word (recordings of the word: 5.7 dB, of other words: "
        "7.4 dB)."
    ]
