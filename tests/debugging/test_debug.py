"""Debugging runs from start to end: tables against the models themselves, tickets, bad input."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import (
    HOSTILE,
    WORDS,
    assert_one_line,
    digests,
    interrupted,
    read_table,
    sigmoid_classifier,
    small_classifier,
)

from keras_listen import debug, load_bundle, load_features
from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store
from keras_listen.debugging.debug_set import WIDTH, select_utterances
from keras_listen.debugging.neighbours import nearest_correct
from keras_listen.debugging.results import COLUMNS
from keras_listen.debugging.tickets import choose_tickets, difference_features
from keras_listen.debugging.tsne import choose_shown, fit_map
from keras_listen.errors import (
    CorpusError,
    ListenError,
    ModelError,
    ParameterError,
    RunError,
    SpecError,
)
from keras_listen.features import FeatureSpec, denormalize_magnitude
from keras_listen.models.bundle import create_bundle
from keras_listen.vocoders.voicing import voiced_share

SMALL = {"steps": 3, "block_size": 4, "seed": 5, "step_size": 0.5}
QUICK = {"vocoder": "griffin-lim", "options": ["vocoder.griffin-lim.iterations=1"]}
SILENT = {"vocoder": "none"}


@pytest.fixture(scope="module")
def found(bundle, tiny_store, tmp_path_factory):
    out = tmp_path_factory.mktemp("debug") / "debug"
    return debug(tiny_store.root, bundle=bundle, **SMALL, **QUICK, out=out)


def test_where_each_word_has_a_sigmoid_none_may_be_heard(bundle, tiny_store, tmp_path):
    root = shutil.copytree(bundle, tmp_path / "bundle")
    load_bundle(root).add("classifier", {"model": sigmoid_classifier()})
    everything = tiny_store.batch(np.arange(len(tiny_store.utterances)))
    logits = np.asarray(load_bundle(root).classifier.logits(everything))
    model = sigmoid_classifier(-float(np.median(logits[:, WORDS.index("up")])))
    load_bundle(root).add("classifier", {"model": model})
    done = debug(tiny_store.root, bundle=root, **SMALL, **SILENT, out=tmp_path / "debug")
    rows, found = read_table(done.root / "points.csv"), results(done.root)
    places = [i for i, u in enumerate(tiny_store.utterances) if u.file in {r["file"] for r in rows}]
    raw = np.asarray(model(tiny_store.batch(np.array(places))))
    heard = {
        tiny_store.utterances[i].file: WORDS[p.argmax()] if p.max() > 0.5 else ""
        for i, p in zip(places, raw, strict=True)
    }
    assert "" in heard.values()
    for row in rows:
        assert row["predicted"] == heard[row["file"]]
        assert row["misclassified"] == str(int(row["predicted"] != row["word"]))
    right = np.mean([row["predicted"] == row["word"] for row in rows])
    assert found["accuracy"]["raw"] == pytest.approx(right)
    assert np.sum(found["confusion"]) == sum(word != "" for word in heard.values())
    missed = [row for row in rows if row["predicted"] == ""]
    pairs = {(pair["word"], pair["predicted"]): pair["count"] for pair in found["confused_pairs"]}
    counted = Counter(row["word"] for row in missed)
    assert {word: n for (word, said), n in pairs.items() if said == "no word"} == counted
    ticket = json.loads((done.root / "tickets" / missed[0]["id"] / "ticket.json").read_text())
    assert (ticket["predicted"], ticket["neighbours"]["predicted"]) == ("", [])
    assert ticket["first_step"] == int(missed[0]["first_step"])
    assert 'heard as <b class="no">no word</b>' in (done.root / "index.html").read_text()


@pytest.fixture
def copied(tiny_store, tmp_path) -> Path:
    return shutil.copytree(tiny_store.root, tmp_path / "store")


def results(root: Path) -> dict:
    return json.loads((root / "results.json").read_text(encoding="utf-8"))


def edit(store: Path, change) -> None:
    """Rewrite a store's index: `change` is given each row."""
    with open(store / "index.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    with open(store / "index.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    about = json.loads((store / "store.json").read_text(encoding="utf-8"))
    about["words"] = sorted({row["word"] for row in rows})
    (store / "store.json").write_text(json.dumps(about), encoding="utf-8")


def test_the_table_says_what_the_models_say(found, bundle, tiny_store):
    rows, models = read_table(found.root / "points.csv"), load_bundle(bundle)
    assert tuple(rows[0]) == COLUMNS
    testing = tiny_store.split("testing")
    assert [row["file"] for row in rows] == [tiny_store.utterances[p].file for p in testing]
    features = tiny_store.batch(testing)
    component = models.component("ae")
    latents = np.asarray(component.model("encoder")(features))
    rebuilt = np.asarray(component.model("decoder")(latents))
    before = np.load(found.root / "latents_before.npy")
    np.testing.assert_allclose(before, latents, atol=1e-4)
    after = np.load(found.root / "latents_after.npy")
    heard = models.classifier.predict(features)
    again = models.classifier.predict(rebuilt)
    moved = models.classifier.predict(np.asarray(component.model("decoder")(after)))
    distance = np.linalg.norm(after - before, axis=1)
    for i, row in enumerate(rows):
        own = WORDS.index(row["word"])
        assert row["predicted"] == WORDS[heard[i].argmax()]
        assert float(row["probability"]) == pytest.approx(heard[i, own], abs=1e-4)
        assert float(row["probability_predicted"]) == pytest.approx(heard[i].max(), abs=1e-4)
        assert row["predicted_reconstruction"] == WORDS[again[i].argmax()]
        assert float(row["probability_reconstruction"]) == pytest.approx(again[i, own], abs=1e-4)
        assert row["predicted_after"] == WORDS[moved[i].argmax()]
        assert float(row["probability_after"]) == pytest.approx(moved[i, own], abs=1e-4)
        assert float(row["distance"]) == pytest.approx(distance[i], rel=1e-4)
        wrong = row["predicted"] != row["word"]
        assert row["misclassified"] == row["ticket"] == str(int(wrong))
        healed = wrong and row["predicted_reconstruction"] == row["word"]
        assert row["mended"] == str(int(healed))
        assert (row["first_step"] == "0") == (row["predicted_reconstruction"] == row["word"])
    places = {(row["x_before"], row["y_before"]) for row in rows}
    assert len(places) == len(rows)


def test_counts_are_those_of_the_table(found):
    rows, counted = read_table(found.root / "points.csv"), results(found.root)
    assert counted["words"] == list(WORDS)
    for name, column in (("raw", "predicted"), ("after", "predicted_after")):
        right = np.mean([row[column] == row["word"] for row in rows])
        assert counted["accuracy"][name] == pytest.approx(right)
    for i, said in enumerate(WORDS):
        for j, heard in enumerate(WORDS):
            there = sum(row["word"] == said and row["predicted"] == heard for row in rows)
            assert counted["confusion"][i][j] == there
    pairs = Counter((r["word"], r["predicted"]) for r in rows if r["word"] != r["predicted"])
    stored = {(p["word"], p["predicted"]): p["count"] for p in counted["confused_pairs"]}
    assert stored == pairs
    assert [p["count"] for p in counted["confused_pairs"]] == sorted(pairs.values(), reverse=True)
    for group in counted["by_speaker"]:
        mine = [row["misclassified"] == "0" for row in rows if row["speaker"] == group["speaker"]]
        assert (group["count"], group["accuracy"]) == (len(mine), np.mean(mine))
    distances = [float(row["distance"]) for row in rows if row["misclassified"] == "1"]
    measured = counted["movement"]["distance"]["misclassified"]
    assert measured["mean"] == pytest.approx(np.mean(distances), rel=1e-4)
    assert 0 < counted["map"]["trustworthiness"] <= 1


def test_a_ticket_is_true(found, bundle, tiny_store):
    models = load_bundle(bundle)
    rows = [row for row in read_table(found.root / "points.csv") if row["ticket"] == "1"]
    assert rows
    assert {p.name for p in (found.root / "tickets").iterdir()} == {row["id"] for row in rows}
    for row in rows:
        folder = found.root / "tickets" / row["id"]
        facts = json.loads((folder / "ticket.json").read_text(encoding="utf-8"))
        for name in ("id", "file", "word", "speaker", "predicted"):
            assert facts[name] == row[name]
        assert facts["mended"] == (row["mended"] == "1")
        assert facts["confidence"] == pytest.approx(float(row["probability_predicted"]), abs=1e-5)
        assert facts["steps"] == [0, 1, 2, 3]
        assert facts["first_step"] == int(row["first_step"])
        assert facts["probability_path"][-1] == pytest.approx(
            float(row["probability_after"]), abs=1e-5
        )
        assert facts["predicted_path"][0] == row["predicted_reconstruction"]
        assert ("smallest" in facts["versions"]) == (facts["first_step"] >= 0)
        for version in (*facts["versions"], "difference"):
            assert (folder / f"{version}.png").stat().st_size > 1000
            sound, rate = soundfile.read(folder / f"{version}.wav")
            assert (rate, len(sound)) == (22050, 22272)
        drawn = {f"{version}.png" for version in (*facts["versions"], "difference")}
        assert {path.name for path in folder.glob("*.png")} == drawn
        for name, word in (("true", row["word"]), ("predicted", row["predicted"])):
            right = {
                r["id"]
                for r in read_table(found.root / "points.csv")
                if r["predicted"] == r["word"] == word
            }
            assert {other["id"] for other in facts["neighbours"][name]} <= right
            assert len(facts["neighbours"][name]) == min(3, len(right))
    assert models.classifier.words == WORDS


def test_every_point_can_be_heard(found):
    names = {
        f"{row['id']}-{when}.wav"
        for row in read_table(found.root / "points.csv")
        for when in ("before", "after")
    }
    assert {path.name for path in (found.root / "sounds").iterdir()} == names
    row = next(row for row in read_table(found.root / "points.csv") if row["ticket"] == "1")
    for when, version in (("before", "reconstruction"), ("after", "maximized")):
        sound = (found.root / "sounds" / f"{row['id']}-{when}.wav").read_bytes()
        assert sound == (found.root / "tickets" / row["id"] / f"{version}.wav").read_bytes()


def test_figures_are_there(found):
    for name in ("figure-4a", "figure-4b", "confusion"):
        for suffix in ("png", "pdf"):
            assert (found.root / f"{name}.{suffix}").stat().st_size > 5000


def test_a_killed_debug_set_is_finished_as_if_undisturbed(found, bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **QUICK, "out": tmp_path / "debug"}
    for resume, label in ((False, "maximize"), (True, "tickets")):
        with pytest.raises(KeyboardInterrupt):
            debug(tiny_store.root, **settings, resume=resume, track=interrupted(1, label))
        assert not (tmp_path / "debug" / "points.csv").exists()
    debug(tiny_store.root, **settings, resume=True)
    assert digests(tmp_path / "debug") == digests(found.root)


def test_reconstructions_can_be_judged_as_published(found, bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **SILENT, "misclassified": "reconstruction"}
    other = debug(tiny_store.root, **settings, tickets=2, out=tmp_path / "debug")
    rows = read_table(other.root / "points.csv")
    for row, before in zip(rows, read_table(found.root / "points.csv"), strict=True):
        wrong = row["predicted_reconstruction"] != row["word"]
        assert row["misclassified"] == str(int(wrong))
        assert row["mended"] == before["mended"]
    confident = sorted(
        (row for row in rows if row["misclassified"] == "1"),
        key=lambda row: float(row["probability_reconstruction"]),
    )
    assert sum(row["ticket"] == "1" for row in rows) == min(2, len(confident))
    for row in rows:
        if row["ticket"] == "1":
            text = (other.root / "tickets" / row["id"] / "ticket.json").read_text(encoding="utf-8")
            facts = json.loads(text)
            assert facts["predicted"] == row["predicted_reconstruction"] != row["word"]
            assert facts["mistaken_path"][0] > facts["probability_path"][0]
            assert facts["confidence"] == facts["mistaken_path"][0]
    judged = "utterances whose reconstruction is misheard"
    assert judged in " ".join(results(other.root)["notes"])
    assert judged not in " ".join(results(found.root)["notes"])
    assert "</b>, reconstructed, heard as" in other.page.read_text(encoding="utf-8")
    assert not (other.root / "sounds").exists()
    assert not list((other.root / "tickets").rglob("*.wav"))


def test_without_a_prior_latents_are_features(bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **SILENT, "prior": "none"}
    other = debug(tiny_store.root, **settings, out=tmp_path / "debug")
    before = np.load(other.root / "latents_before.npy")
    features = tiny_store.batch(tiny_store.split("testing"))
    assert before.shape[1] > WIDTH
    np.testing.assert_array_equal(before, features.reshape(len(before), -1))
    after = np.load(other.root / "latents_after.npy")
    for row, start, end in zip(read_table(other.root / "points.csv"), before, after, strict=True):
        assert float(row["distance"]) == pytest.approx(np.linalg.norm(end - start), rel=1e-4)
        assert row["predicted"] == row["predicted_reconstruction"]
    assert results(other.root)["accuracy"]["after"] > results(other.root)["accuracy"]["raw"]


def test_only_what_is_asked_for_is_looked_into(bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **SILENT}
    other = debug(
        tiny_store.root, **settings, split="all", words=["up"], speakers=["1a000002", "3c000001"],
        out=tmp_path / "debug",
    )  # fmt: skip
    rows = read_table(other.root / "points.csv")
    assert Counter((row["word"], row["speaker"]) for row in rows) == {
        ("up", "1a000002"): 3,
        ("up", "3c000001"): 3,
    }
    assert {row["split"] for row in rows} == {"training", "testing"}


def test_one_speaker_and_few_points_are_said(bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **SILENT, "words": ["up"], "speakers": ["3c000001"]}
    other = debug(tiny_store.root, **settings, out=tmp_path / "debug")
    notes = " ".join(results(other.root)["notes"])
    assert "all utterances are by one speaker" in notes
    assert "too few utterances for t-SNE" in notes
    assert results(other.root)["map"]["perplexity"] is None
    assert len(read_table(other.root / "points.csv")) == 3
    assert (other.root / "figure-4b.png").is_file()


def test_no_mistakes_are_reported_too(tiny_store, tmp_path):
    import keras

    bundle = create_bundle(tmp_path / "bundle", ("up", "down"), FeatureSpec())
    inputs = keras.Input((90, 80, 1))
    head = keras.layers.Dense(2, activation="softmax")
    x = head(keras.layers.GlobalAveragePooling2D(data_format="channels_last")(inputs))
    # Whatever it hears is "up".
    head.set_weights([np.array([[1.0, -1.0]]), np.array([3.0, 0.0])])
    bundle.add("classifier", {"model": keras.Model(inputs, x)})
    settings = {"bundle": bundle.root, **SMALL, **SILENT, "prior": "none", "words": ["up"]}
    other = debug(tiny_store.root, **settings, out=tmp_path / "debug")
    assert results(other.root)["misclassified"] == 0
    assert any("no utterance is misclassified" in note for note in results(other.root)["notes"])
    assert not (other.root / "tickets").exists()
    assert not (other.root / "figure-4a.png").exists()
    assert (other.root / "figure-4b.png").is_file()


def test_words_missing_from_the_bundle_are_left_out_and_said(bundle, copied, tmp_path):
    edit(copied, lambda row: row["word"] == "stop" and row.update(word="halt"))
    other = debug(copied, bundle=bundle, **SMALL, **SILENT, out=tmp_path / "debug")
    assert {row["word"] for row in read_table(other.root / "points.csv")} == {"down", "up"}
    assert results(other.root)["notes"][0] == (
        "left out: words that the classifier does not know (halt)"
    )


def test_hostile_names_do_no_harm(bundle, copied, tmp_path):
    def spoil(row):
        if row["word"] == "down":
            row["word"] = HOSTILE
        if row["speaker"] == "3c000001":
            row["speaker"] = '<img src=x onerror="alert(1)"> $x_1$ ☃ 雪'
            row["file"] = f"../{'very ' * 40}<b>'\"&\n{row['row']}.wav"

    edit(copied, spoil)
    other = debug(copied, bundle=bundle, **SMALL, **QUICK, out=tmp_path / "debug")
    rows = read_table(other.root / "points.csv")
    assert {row["word"] for row in rows} == {HOSTILE, "stop", "up"}
    assert any("☃" in row["speaker"] for row in rows)
    assert len({row["id"].casefold() for row in rows}) == len(rows) == 18
    for row in rows:
        assert not set("<>&\"'/\\ \n") & set(row["id"])
        assert (other.root / "sounds" / f"{row['id']}-after.wav").is_file()
    inside = other.root.resolve()
    assert all(path.resolve().is_relative_to(inside) for path in other.root.rglob("*"))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"split": "test"}, ParameterError, "no split is called 'test'; did you mean 'testing'"),
        ({"words": ["dwn"]}, ParameterError, "in the store, no word is called 'dwn'"),
        ({"speakers": ["x"]}, ParameterError, "in the store, no speaker is called 'x'"),
        ({"speakers": ["2b000001"]}, CorpusError, "has no utterance to look into"),
        ({"misclassified": "both"}, ParameterError, "no basis of misclassified is called 'both'"),
        ({"tickets": -1}, ParameterError, "tickets is -1; expected at least 0"),
        ({"commands": 0}, ParameterError, "commands is 0; expected at least 1"),
        ({"speakers_shown": 0}, ParameterError, "speakers shown is 0; expected at least 1"),
        ({"block_size": 0}, ParameterError, "block size is 0; expected at least 1"),
        ({"steps": -1}, ParameterError, "steps is -1"),
        ({"objective": "neurn"}, ListenError, "no objective is called 'neurn'"),
        ({"store": "nowhere"}, CorpusError, "nowhere is no store"),
        ({"words_file": "words.txt"}, ModelError, "without a classifier"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    bundle, tiny_store, tmp_path, settings, error, message
):
    chosen = {"store": tiny_store.root, "bundle": bundle, **SMALL, **SILENT, **settings}
    with pytest.raises(error, match=message):
        debug(**chosen, out=tmp_path / "debug")
    assert list(tmp_path.iterdir()) == []


def test_an_objective_without_words_is_refused(bundle, tiny_store, tmp_path):
    layer = load_bundle(bundle).classifier.model.layers[-1].name
    settings = {"objective": "neuron", "options": [f"objective.neuron.layer={layer}"], **SILENT}
    with pytest.raises(ParameterError, match="the objective neuron has no words, so no utterance"):
        debug(tiny_store.root, bundle=bundle, **settings, out=tmp_path / "debug")


def test_a_store_of_other_features_is_refused(tiny_store, tmp_path):
    bundle = create_bundle(tmp_path / "bundle", WORDS, FeatureSpec(fmax=7000.0))
    bundle.add("classifier", {"model": small_classifier(1)})
    with pytest.raises(SpecError, match=r"the store .* was made for other features: fmax"):
        debug(tiny_store.root, bundle=bundle.root, prior="none", **SILENT, out=tmp_path / "debug")
    assert not (tmp_path / "debug").exists()


def test_other_folders_are_refused_and_kept(found, bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **QUICK}
    before = digests(found.root)
    with pytest.raises(RunError, match="is not empty; give --resume to continue the debugging run"):
        debug(tiny_store.root, **settings, out=found.root)
    with pytest.raises(RunError, match=r"other settings \(command\.seed 5, now 6"):
        debug(tiny_store.root, **settings | {"seed": 6}, out=found.root, resume=True)
    with pytest.raises(RunError, match="no debugging run to resume"):
        debug(tiny_store.root, **settings, out=tmp_path / "nothing", resume=True)
    assert digests(found.root) == before


def test_damaged_files_are_named(bundle, tiny_store, tmp_path):
    settings = {"bundle": bundle, **SMALL, **SILENT, "out": tmp_path / "debug"}
    done = debug(tiny_store.root, **settings)
    timing = (done.root / "timing.json").read_text()
    (done.root / "timing.json").write_text("{")
    with pytest.raises(RunError, match=r"timing\.json is damaged .*; delete it"):
        debug(tiny_store.root, **settings, resume=True)
    (done.root / "timing.json").write_text(timing)
    (chunk, *_) = sorted((done.root / "chunks").iterdir())
    chunk.write_bytes(chunk.read_bytes()[:500])
    with pytest.raises(RunError, match=r"npz is damaged .*delete it and give --resume"):
        debug(tiny_store.root, **settings, resume=True)


def test_a_choice_of_utterances_is_of_the_most_frequent():
    words = np.array(list("aaabbc"))
    speakers = np.array(["x", "x", "y", "y", "z", "x"])
    among = np.ones(6, bool)
    found = choose_shown(words, speakers, among, commands=1, shown=1, enough=2)
    assert (found.words, found.speakers, found.chosen.tolist()) == (["a"], ["x"], [0, 1])
    assert not found.raised
    # Not x, who is the most frequent of all but never said b.
    among[:3] = False
    found = choose_shown(words, speakers, among, commands=1, shown=1, enough=1)
    assert (found.words, found.speakers, found.chosen.tolist()) == (["b"], ["y"], [3])
    found = choose_shown(words, speakers, among, commands=1, shown=1, enough=99)
    assert found.raised
    assert found.chosen.tolist() == [3, 4, 5]


def test_examples_come_from_the_whole_split(found, bundle, tiny_store, tiny_corpus, tmp_path):
    """Whichever words are looked into: those that mistakes are taken for may not be among them."""
    everything = read_table(found.root / "points.csv")
    taken_for = [(r["word"], r["predicted"]) for r in everything if r["ticket"] == "1"]
    word, other = Counter(taken_for).most_common(1)[0][0]
    settings = {"bundle": bundle, **SMALL, **QUICK, "words": [word]}
    few = debug(tiny_store.root, **settings, out=tmp_path / "few")
    heard = debug(tiny_store.root, **settings, audio=tiny_corpus, out=tmp_path / "heard")
    rightly = {r["id"] for r in everything if r["predicted"] == r["word"] == other}
    named = set()
    for row in (row for row in few.rows if row["ticket"]):
        name = f"tickets/{row['id']}/ticket.json"
        whole, mine = (json.loads((root / name).read_text()) for root in (found.root, few.root))
        for role, near in mine["neighbours"].items():
            expected = whole["neighbours"][role]
            assert [one["id"] for one in near] == [one["id"] for one in expected]
            far = [one["distance"] for one in expected]
            assert [one["distance"] for one in near] == pytest.approx(far, abs=1e-3)
            named |= {one["id"] for one in near}
    assert len(named & rightly) >= min(3, len(rightly)) > 0
    for id_ in named & rightly:
        spoken = [root / "sounds" / f"{id_}-before.wav" for root in (found.root, few.root)]
        one, same = (soundfile.read(path)[0] for path in spoken)
        np.testing.assert_allclose(same, one, atol=1e-3 * np.abs(one).max())
        recording, rate = soundfile.read(heard.root / "sounds" / f"{id_}-recording.wav")
        assert (rate, len(recording)) == (22050, 22050)
        assert not (heard.root / "sounds" / f"{id_}-before.wav").exists()


def test_a_map_is_the_same_for_a_seed_and_keeps_neighbours():
    generator = np.random.default_rng(0)
    centres = 20 * generator.standard_normal((2, 8))
    before = np.concatenate([c + generator.standard_normal((30, 8)) for c in centres])
    places = fit_map(before, before + 0.1, seed=3)
    again = fit_map(before, before + 0.1, seed=3)
    assert np.array_equal(places.before, again.before)
    assert np.array_equal(places.after, again.after)
    # Any whole number is a seed, as elsewhere.
    assert fit_map(before, before + 0.1, seed=-1).before.shape == (60, 2)
    middles = [places.before[:30].mean(axis=0), places.before[30:].mean(axis=0)]
    far = np.linalg.norm(middles[0] - middles[1])
    assert far > 3 * places.before[:30].std()
    assert np.linalg.norm(places.after - places.before, axis=1).mean() < far / 5
    assert places.perplexity == 30


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_points_lie_along_their_principal_components(count):
    before = np.arange(count * 3.0).reshape(count, 3)
    places = fit_map(before, before + 1)
    assert places.perplexity is None
    drawn = np.concatenate([places.before, places.after])
    for i, first in enumerate(np.concatenate([before, before + 1])):
        far = np.linalg.norm(np.concatenate([before, before + 1]) - first, axis=1)
        np.testing.assert_allclose(np.linalg.norm(drawn - drawn[i], axis=1), far, atol=1e-4)


def test_the_most_confident_mistakes_come_first():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.0, 1.0]])
    wrong = np.array([True, True, True, False])
    assert choose_tickets(probabilities, wrong, 2).tolist() == [True, False, True, False]
    assert choose_tickets(probabilities, wrong, None).tolist() == wrong.tolist()
    assert not choose_tickets(probabilities, wrong, 0).any()


def test_neighbours_are_right_of_the_word_and_others():
    latents = np.array([[0.0], [1.0], [2.0], [3.0], [0.1]])
    labels = np.array([0, 0, 0, 1, 0])
    right = np.array([True, True, True, True, False])
    assert nearest_correct(latents, labels, right, 0, 0) == [(1, 1.0), (2, 2.0)]
    assert nearest_correct(latents, labels, right, 4, 1) == [(3, pytest.approx(2.9))]


def test_the_difference_is_what_was_added_or_taken_away():
    spec = FeatureSpec()
    features = np.array([0.3, 0.5, 0.9], np.float32)
    magnitude = denormalize_magnitude(features, spec)
    found = denormalize_magnitude(difference_features(features[:2], features[1:], spec), spec)
    np.testing.assert_allclose(found, magnitude[1:] - magnitude[:2], rtol=1e-4)
    np.testing.assert_array_equal(
        difference_features(features[:2], features[1:], spec),
        difference_features(features[1:], features[:2], spec),
    )
    assert difference_features(features, features + np.eye(3)[2], spec)[:2].max() == 0


def test_a_split_without_utterances_is_refused(tiny_store):
    empty = Store(tiny_store.root, tiny_store.spec, ("up",), (), np.zeros(0, np.int64))
    with pytest.raises(CorpusError, match="has no testing utterance"):
        select_utterances(empty, "testing", ("up",))


@pytest.mark.parametrize("longer", ["drop_second", "loudest"])
def test_recordings_that_were_cut_are_said(bundle, sound, tmp_path, longer):
    """A store of another part of its recordings is of the same features."""
    for word in ("down", "up"):
        (tmp_path / "corpus" / word).mkdir(parents=True)
        for number in range(2):
            y = np.concatenate([sound(word, number), np.zeros(32000)])
            soundfile.write(tmp_path / "corpus" / word / f"a_nohash_{number}.wav", y, 16000)
    corpus = read_corpus(tmp_path / "corpus")
    spec = FeatureSpec(longer=longer)
    store = prepare(corpus, tmp_path / "store", spec=spec, workers=1).store
    done = debug(
        store.root, split="all", bundle=bundle, **SMALL, **SILENT, tickets=1, out=tmp_path / "debug"
    )
    part = {"drop_second": "end", "loudest": "loudest part"}[longer]
    cut = "4 of 4 recordings are longer than the 90 frames (1.01 s) of a feature: only their"
    (note,) = [note for note in done.results["notes"] if cut in note]
    assert f"{cut} {part} is kept" in note
    # Only silence is left at the end.
    assert (store.batch(np.arange(4)).max() > 0.5) == (longer == "loudest")


def test_the_command_says_what_it_found(call, bundle, tiny_store, tmp_path):
    settings = ("--bundle", bundle, "--steps", 1, "--block-size", 4, "--vocoder", "none")
    done = call("debug", tiny_store.root, *settings, "--words", "up, stop", "--out", tmp_path / "d")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split()[:2] == ["utterances", "misclassified"]
    assert lines[1].split()[0] == "12"
    assert str(tmp_path / "d") in lines[-1]


def test_the_command_refuses_in_one_line(call, bundle, tmp_path):
    done = call("debug", tmp_path / "nowhere", "--bundle", bundle)
    assert_one_line(done, "nowhere is no store")


def test_recordings_are_heard_as_the_classifier_takes_them(
    bundle, tiny_store, tiny_corpus, tmp_path
):
    """Two recordings cannot be used: one is gone, one is silent."""
    corpus = shutil.copytree(tiny_corpus, tmp_path / "corpus")
    testing = [tiny_store.utterances[i].file for i in tiny_store.split("testing")]
    (corpus / testing[0]).unlink()
    soundfile.write(corpus / testing[1], np.zeros(16000), 16000)
    done = debug(
        tiny_store.root, bundle=bundle, **SMALL, **SILENT, audio=corpus, out=tmp_path / "debug"
    )
    assert f"1 of 18 recordings are not under {corpus}" in " ".join(done.results["notes"])
    assert f"{testing[1]}: the sound is silent" in " ".join(done.results["notes"])
    paths = {row["file"]: done.root / "sounds" / f"{row['id']}-recording.wav" for row in done.rows}
    assert [name for name, path in paths.items() if not path.exists()] == testing[:2]
    features = load_features(paths[testing[2]])
    kept = tiny_store.read(tiny_store.split("testing")[2:3])[0, ..., 0]
    # Resampled once and cut to 16 bits.
    assert np.abs(features - kept).mean() < 1e-3
    tickets = [row for row in done.rows if row["ticket"] and row["file"] not in testing[:2]]
    assert tickets
    for row in tickets:
        original = done.root / "tickets" / row["id"] / "original.wav"
        assert original.read_bytes() == paths[row["file"]].read_bytes()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"audio": "nowhere"}, CorpusError, "the folder of recordings nowhere does not exist"),
        ({"audio": "."}, CorpusError, "none of 18 recordings is under ., for instance down/"),
        ({"reader": "sondfile"}, ParameterError, "did you mean 'soundfile'"),
    ],
)
def test_recordings_that_are_not_there_are_refused(
    bundle, tiny_store, tmp_path, monkeypatch, settings, error, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        debug(tiny_store.root, bundle=bundle, **SMALL, **SILENT, **settings)
    assert list(tmp_path.iterdir()) == []


def test_the_table_and_the_page_say_voicing_and_pitch_of_each_sound(
    found, bundle, tiny_store, tmp_path
):
    rows = read_table(found.root / "points.csv")
    for row in rows[::5]:
        for when in ("before", "after"):
            sound, rate = soundfile.read(found.root / "sounds" / f"{row['id']}-{when}.wav")
            share = voiced_share(sound, rate)
            assert float(row[f"voiced_{when}"]) == pytest.approx(share, abs=0.011)
            assert row[f"pitch_{when}"] == ""
    before, after = (np.mean([float(r[f"voiced_{w}"]) for r in rows]) for w in ("before", "after"))
    said = (
        f"{100 * before:.0f} % of the frames of reconstructions' sounds are voiced, "
        f"{100 * after:.0f} % of those of maximized ones"
    )
    assert said in results(found.root)["notes"]
    options = [*QUICK["options"], "vocoder.griffin-lim.pitch=invented"]
    few = {**SMALL, **QUICK, "options": options, "words": ["up"], "tickets": 0}
    done = debug(tiny_store.root, bundle=bundle, **few, out=tmp_path / "debug")
    rows = read_table(done.root / "points.csv")
    origins = [row[f"pitch_{when}"] for row in rows for when in ("before", "after")]
    assert set(origins) <= {"none", "invented"}
    notes = " ".join(results(done.root)["notes"])
    invented = origins.count("invented")
    said = f"the vocoder invented the pitch of {invented} of {len(origins)} sounds"
    assert (said in notes) == (invented > 0)
    assert (said in (done.root / "index.html").read_text()) == (invented > 0)


def test_chunks_from_before_leave_the_cells_of_sounds_empty(found, bundle, tiny_store, tmp_path):
    root = shutil.copytree(found.root, tmp_path / "debug")
    for path in (root / "chunks").iterdir():
        with np.load(path) as stored:
            older = {name: stored[name] for name in stored if not name.startswith("voiced_")}
        np.savez(path, **older)
    same = {"bundle": bundle, **SMALL, **QUICK, "out": root, "resume": True}
    debug(tiny_store.root, **same)
    rows = read_table(root / "points.csv")
    assert {row["voiced_before"] for row in rows} == {""}
    assert not any("are voiced" in note for note in results(root)["notes"])
