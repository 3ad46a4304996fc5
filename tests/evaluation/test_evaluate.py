"""Evaluations: their figures against a run's, their files, and what they refuse."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    HOSTILE,
    SMALL,
    WORDS,
    digests,
    interrupted,
    listen,
    sigmoid_classifier,
    small_classifier,
)

from keras_listen import evaluate, load_bundle
from keras_listen.errors import CorpusError, ModelError, ParameterError, RunError, SpecError
from keras_listen.evaluation.grid import Cell, Grid, GridChunk
from keras_listen.evaluation.page import mean_probabilities
from keras_listen.evaluation.results import NOTE, GroupResults
from keras_listen.evaluation.settings import EvaluationSettings
from keras_listen.experiment.presets import combined_options
from keras_listen.experiment.rates import PooledSpread, Spread
from keras_listen.experiment.referees import checksums, open_referees
from keras_listen.features import FeatureSpec
from keras_listen.maximization.presets import PRESETS
from keras_listen.maximization.settings import AscentSettings
from keras_listen.models.bundle import create_bundle
from keras_listen.plugins import default_registry


@pytest.fixture(scope="module")
def evaluation(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    return evaluate(["ae", "none"], ["softmax"], bundle=bundle, **SMALL, out=out)


def line(evaluation, prior: str, objective: str = "softmax", word: str = "all words") -> dict:
    wanted = (prior, objective, word)
    (found,) = [r for r in evaluation.rows if (r["prior"], r["objective"], r["word"]) == wanted]
    return found


@pytest.mark.parametrize("prior", ["ae", "none"])
def test_rates_are_those_of_a_run(evaluation, bundle, tmp_path, prior):
    run = listen(prior=prior, vocoder="none", bundle=bundle, **SMALL, out=tmp_path / "run")
    found = line(evaluation, prior)
    assert found["samples"] == len(run.rows) == 20
    assert found["own success"] == run.summary["own success"]
    assert found["transfer, referee"] == run.summary["transfer"]
    assert found["joint success, referee"] == run.summary["joint success"]
    clipped = np.mean([row["predicted_clipped"] == row["word"] for row in run.rows])
    assert found["clipped success"] == clipped
    probability = np.mean([float(row["probability"]) for row in run.rows])
    assert found["probability"] == pytest.approx(probability, abs=1e-5)
    for column, name in (("score start", "score_before"), ("score", "score_after")):
        mean = np.mean([float(row[name]) for row in run.rows])
        assert found[column] == pytest.approx(mean, abs=1e-5)
    assert found["score"] > found["score start"]
    untouched = np.mean([row["predicted_before"] == row["word"] for row in run.rows])
    assert line(evaluation, prior, "untouched")["own success"] == untouched
    for word in WORDS:
        mine = [row["predicted"] == word for row in run.rows if row["word"] == word]
        assert line(evaluation, prior, word=word)["own success"] == np.mean(mine)
    features = [np.load(run.root / f"{row['id']}.npy") for row in run.rows if row["word"] == "up"]
    pairs = [((a - b) ** 2).mean() for i, a in enumerate(features) for b in features[:i]]
    assert line(evaluation, prior, word="up")["diversity"] == pytest.approx(
        np.sqrt(np.mean(pairs)), rel=1e-4
    )


@pytest.mark.parametrize("prior", ["ae", "none"])
def test_untouched_starts_have_their_spread_and_distance(bundle, tiny_store, tmp_path, prior):
    settings = {"bundle": bundle, **SMALL, "speech": tiny_store.root}
    found = evaluate([prior], ["softmax"], **settings, out=tmp_path / "out")
    # What has climbed no step is the start.
    settings = {"prior": prior, "vocoder": "none", "bundle": bundle, **SMALL | {"steps": 0}}
    run = listen(**settings, out=tmp_path / "run")
    starts = {word: [] for word in ("down", "up")}
    for row in run.rows:
        if row["word"] in starts:
            starts[row["word"]].append(np.load(run.root / f"{row['id']}.npy"))
    for word, features in starts.items():
        row = line(found, prior, "untouched", word)
        pairs = [((a - b) ** 2).mean() for i, a in enumerate(features) for b in features[:i]]
        assert row["diversity"] == pytest.approx(np.sqrt(np.mean(pairs)), rel=1e-4)
        known = [p for p in tiny_store.split("training") if tiny_store.utterances[p].word == word]
        others = tiny_store.batch(np.array(known))[..., 0]
        far = [min(np.sqrt(((f - o) ** 2).mean()) for o in others) for f in features]
        assert row["nearest"] == pytest.approx(np.mean(far), rel=1e-4)
        assert row["nearest"] != line(found, prior, word=word)["nearest"]
    # A word that the store does not have is left out of the mean.
    rows = [line(found, prior, "untouched", word) for word in (*WORDS, "all words")]
    assert rows[WORDS.index(HOSTILE)]["nearest"] is None
    assert rows[-1]["nearest"] == pytest.approx(np.mean([row["nearest"] for row in rows[:3]]))


def test_the_files_say_what_the_rows_say(evaluation):
    stored = json.loads((evaluation.root / "results.json").read_text(encoding="utf-8"))
    assert stored["rows"] == evaluation.rows
    assert stored["note"] == evaluation.note
    assert evaluation.note.startswith(NOTE)
    with open(evaluation.root / "results.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(evaluation.rows)
    for text, row in zip(table, evaluation.rows, strict=True):
        assert text["word"] == row["word"]
        if row["own success"] is not None:
            assert float(text["own success"]) == row["own success"]
    timing = json.loads((evaluation.root / "timing.json").read_text(encoding="utf-8"))
    assert timing["samples"] == 40
    assert timing["samples a second"] > 0


def test_pictures_and_page_are_there(evaluation):
    for prior in ("ae", "none"):
        for suffix in ("png", "pdf"):
            assert (
                evaluation.root / f"heatmap-{prior}-softmax-referee.{suffix}"
            ).stat().st_size > 5000
    for name in ("curves.png", "examples.png"):
        assert (evaluation.root / name).stat().st_size > 5000
    page = (evaluation.root / "index.html").read_text(encoding="utf-8")
    for row in evaluation.rows:
        if row["score"] is not None:
            assert f"<td>{row['score start']:.3g}</td><td>{row['score']:.3g}</td>" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    assert "given these trained models" in page


def test_a_chunk_knows_its_words_and_numbers():
    grid = SimpleNamespace(count_starts={"a": 2, "b": 0, "c": 3}.get)
    cell = SimpleNamespace(words=("a", "b", "c"))
    labels, numbers = Grid.plan(grid, GridChunk(cell, 0, 5))
    assert labels.tolist() == [0, 0, 2, 2, 2]
    assert numbers.tolist() == [0, 1, 0, 1, 2]
    labels, numbers = Grid.plan(grid, GridChunk(cell, 1, 4))
    assert labels.tolist() == [0, 2, 2]
    assert numbers.tolist() == [1, 0, 1]


def test_rows_of_the_heatmap_are_targets():
    first, second = GroupResults(), GroupResults()
    first.samples, first.probability_sums = 2, {"referee": np.array([1.0, 0.5, 0.5])}
    second.samples, second.probability_sums = 1, {"referee": np.array([0.1, 0.2, 0.7])}
    found = mean_probabilities({"b": first, "c": second}, "referee", ("a", "b", "c"))
    np.testing.assert_allclose(found[1:], [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    assert np.isnan(found[0]).all()


def test_a_killed_evaluation_is_finished_as_if_undisturbed(evaluation, bundle, tmp_path):
    settings = {"bundle": bundle, **SMALL, "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        evaluate(["ae", "none"], ["softmax"], **settings, track=interrupted(25))
    assert not (tmp_path / "out" / "results.json").exists()
    before = set(digests(tmp_path / "out"))
    evaluate(["ae", "none"], ["softmax"], **settings, resume=True)
    assert len(before) < len(digests(tmp_path / "out"))
    assert digests(tmp_path / "out") == digests(evaluation.root)


def test_a_store_gives_starts_and_the_figures_of_real_speech(tiny_store, tmp_path):
    bundle = create_bundle(tmp_path / "bundle", tiny_store.words, tiny_store.spec)
    inputs = small_classifier(1)
    import keras

    # The small classifier has four words; the store three.
    head = keras.layers.Dense(3, activation="softmax", kernel_initializer="random_normal")
    model = keras.Model(inputs.inputs[0], head(inputs.layers[-2].output))
    bundle.add("classifier", {"model": model})
    found = evaluate(
        ["none"], ["softmax"], start=tiny_store.root, bundle=bundle.root, samples=4, steps=2,
        block_size=4, out=tmp_path / "out",
    )  # fmt: skip
    testing = tiny_store.split("testing")
    features = tiny_store.batch(testing)
    predicted = load_bundle(bundle.root).classifier.predict(features).argmax(axis=1)
    real = line(found, "real speech", "untouched")
    assert real["samples"] == len(testing)
    assert real["own success"] == np.mean(predicted == tiny_store.labels[testing])
    # The untouched starts are the first four testing utterances of each word.
    first = [p for label in range(3) for p in testing[tiny_store.labels[testing] == label][:4]]
    heard = load_bundle(bundle.root).classifier.predict(tiny_store.batch(np.array(first)))
    untouched = line(found, "none", "untouched")
    assert untouched["samples"] == 12
    wanted = np.mean(heard.argmax(axis=1) == tiny_store.labels[first])
    assert untouched["own success"] == pytest.approx(wanted)
    assert 0 < real["nearest"] < real["diversity"]
    labels = tiny_store.labels[testing]
    spreads = [Spread.of(features[labels == label]) for label in range(3)]
    assert real["diversity"] == pytest.approx(PooledSpread(spreads).diversity)
    own = line(found, "real speech", "untouched", tiny_store.words[0])
    assert own["diversity"] == pytest.approx(spreads[0].diversity)


def test_a_store_must_have_starts_for_every_word(bundle, tiny_store, tmp_path):
    with pytest.raises(ParameterError, match="no testing utterance of '<script"):
        evaluate(["none"], start=tiny_store.root, bundle=bundle, **SMALL, out=tmp_path / "out")
    layer = load_bundle(bundle).classifier.model.layers[-1].name
    options = [f"objective.neuron.layer={layer}"]
    with pytest.raises(ParameterError, match="neuron has no words, so a store cannot be its start"):
        evaluate(
            ["none"], ["neuron"], start=tiny_store.root, bundle=bundle, options=options, **SMALL,
            out=tmp_path / "out",
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_the_cycle_rate_is_of_the_samples_that_were_spoken(bundle, tmp_path):
    found = evaluate(
        ["ae"], ["softmax"], vocoder="griffin-lim", cycle_samples=2, bundle=bundle, **SMALL,
        options=["vocoder.griffin-lim.iterations=1"], out=tmp_path / "out",
    )  # fmt: skip
    run = listen(
        vocoder="griffin-lim", bundle=bundle, **SMALL | {"samples": 2},
        options=["vocoder.griffin-lim.iterations=1"], out=tmp_path / "run",
    )  # fmt: skip
    assert line(found, "ae")["cycle"] == pytest.approx(run.summary["cycle"])


def test_samples_in_which_no_word_is_predicted_count_as_failures(bundle, tmp_path):
    root = shutil.copytree(bundle, tmp_path / "bundle")
    load_bundle(root).add("classifier", {"model": sigmoid_classifier()})
    load_bundle(root).add("referee", {"model": sigmoid_classifier()})
    settings = {"bundle": root, "samples": 2, "steps": 3, "block_size": 2}
    quick = {"vocoder": "griffin-lim", "options": ["vocoder.griffin-lim.iterations=1"]}
    run = listen(prior="none", **settings, **quick, out=tmp_path / "run")
    assert "" in {row["predicted"] for row in run.rows}
    found = evaluate(
        ["none"], ["softmax"], **settings, **quick, cycle_samples=2, out=tmp_path / "evaluation"
    )
    overall = line(found, "none")
    for name in ("own success", "cycle"):
        assert overall[name] == pytest.approx(run.summary[name])
    assert overall["transfer, referee"] == pytest.approx(run.summary["transfer"])
    clipped = np.mean([row["predicted_clipped"] == row["word"] for row in run.rows])
    assert overall["clipped success"] == pytest.approx(clipped)


def settled(**given) -> dict:
    """Return the command of an evaluation with these keywords, as its manifest keeps it."""
    own = {"start": "noise", "speech": None, "vocoder": "none", "cycle_samples": 0, "referees": ()}
    own |= {"priors": (), "objectives": (), "samples": None}
    shared = {name: given.pop(name) for name in set(given) - set(own)}
    settings = EvaluationSettings.of(own | given | {"shared": shared})
    command = json.loads(json.dumps(settings.command()))
    assert EvaluationSettings.from_command(command).command() == settings.command()
    return command


def test_presets_are_settings_and_what_is_given_wins():
    paper = settled(preset="paper", priors=["ae"])
    assert (paper["samples"], AscentSettings.of(paper)) == (10000, AscentSettings())
    assert (paper["priors"], paper["objectives"]) == (["ae"], ["softmax"])
    assert "preset" not in paper
    assert settled(preset="paper", priors=["ae"], samples=1000) == settled(priors=["ae"])
    transfer = settled(preset="transfer", steps=5, shift=0, gain=None)
    assert transfer["priors"] == ["vae"]
    assert AscentSettings.of(transfer) == AscentSettings(steps=5, step_size=0.04, shift=0, gain=0.0)
    assert transfer["options"] == ["prior.vae.pull=0.02"]
    other = settled(preset="transfer", priors=["none"])
    assert AscentSettings.of(other) == AscentSettings(steps=150, step_size=0.04, shift=16)
    assert other["options"] == []
    # As before there were presets of priors, but for the name.
    assert set(transfer) - set(settled()) == {"preset"}


def test_a_preset_knows_its_priors_by_both_names():
    transfer = settled(preset="transfer", priors=["ae", "keras-listen:vae"])
    assert transfer["options"] == ["prior.vae.pull=0.02"]


@pytest.mark.parametrize("owner", ["", "keras-listen:", "Keras_Listen:"])
def test_an_option_stands_above_a_presets(owner):
    given = [f"prior.{owner}vae.pull=0.3", "prior.vae.start_deviation=0.2"]
    found = default_registry().find("prior", "vae"), default_registry().find("prior", "ae")
    assert combined_options(["prior.vae.pull=0.02", "prior.ae.pull=0.1"], given, found) == [
        "prior.ae.pull=0.1", *given
    ]  # fmt: skip


def test_each_prior_has_its_own_settings_of_a_preset():
    natural = settled(preset="natural", priors=["none", "ae"], gain=3.0)
    ascents = {name: AscentSettings.of(one) for name, one in natural["ascents"].items()}
    mine = PRESETS["natural"]["prior"]["ae"]
    of_ae = {name: value for name, value in mine.items() if name != "options"}
    of_none, of_ae = {"gain": 3.0}, of_ae | {"gain": 3.0}
    assert ascents == {"none": AscentSettings(**of_none), "ae": AscentSettings(**of_ae)}
    assert natural["options"] == [f"prior.ae.learned_pull={mine['options']['learned_pull']}"]
    alone = settled(preset="natural", priors=["ae"])
    assert "ascents" not in alone
    assert alone["steps"] == mine["steps"]


def test_each_cell_climbs_with_the_settings_of_its_prior(bundle, tmp_path):
    given = {"preset": "natural", "bundle": bundle, "step_size": 0.02, "samples": 1}
    evaluate(["none", "ae"], **given, block_size=4, out=tmp_path / "done")
    manifest = json.loads((tmp_path / "done" / "manifest.json").read_text(encoding="utf-8"))
    steps = {name: one["steps"] for name, one in manifest["command"]["ascents"].items()}
    assert steps == {"none": 20, "ae": PRESETS["natural"]["prior"]["ae"]["steps"]}
    for cell, count in (("none-softmax", 20), ("ae-softmax", steps["ae"])):
        chunk = np.load(next((tmp_path / "done" / "chunks" / cell).glob("*.npz")))
        assert chunk["scores"].shape[1] == count + 1
    unset, roundtrip = manifest["notes"]
    assert unset == "the preset natural has no settings for the prior none, which keeps its own"
    assert "has no component ae-denoiser" in roundtrip
    page = (tmp_path / "done" / "index.html").read_text(encoding="utf-8")
    assert "Preset <b>natural</b>" in page
    same = evaluate(["none", "ae"], **given, block_size=4, out=tmp_path / "done", resume=True)
    assert same.root == tmp_path / "done"


@pytest.mark.parametrize("prior", ["ae", "keras-listen:ae"])
@pytest.mark.parametrize("owner", ["", "keras-listen:"])
def test_options_follow_either_name_of_a_component(evaluation, bundle, tmp_path, prior, owner):
    options = [
        f"prior.{owner}ae.start_deviation=0.5", "objective.keras-listen:neuron.unit=2",
        f"objective.neuron.layer={load_bundle(bundle).classifier.model.layers[-1].name}",
    ]  # fmt: skip
    found = evaluate(
        [prior, "none"], ["softmax", "keras-listen:neuron"], bundle=bundle, **SMALL,
        options=options, out=tmp_path / "out",
    )  # fmt: skip
    run = listen(
        prior=prior, vocoder="none", bundle=bundle, **SMALL, options=options[:1],
        out=tmp_path / "run",
    )  # fmt: skip
    probability = np.mean([float(row["probability"]) for row in run.rows])
    assert line(found, prior)["probability"] == pytest.approx(probability, abs=1e-5)
    assert line(found, prior)["probability"] != line(evaluation, "ae")["probability"]
    assert line(found, "none") == line(found, "none") | line(evaluation, "none")


def test_two_names_of_one_prior_are_one_cell(bundle, tmp_path):
    found = evaluate(["ae", "keras-listen:ae"], bundle=bundle, **SMALL, out=tmp_path / "out")
    assert {row["prior"] for row in found.rows} == {"ae"}
    assert [path.name for path in (tmp_path / "out" / "chunks").iterdir()] == ["ae-softmax"]


def test_cells_of_one_folder_are_refused():
    cells = (Cell("a", "b-c", None), Cell("a-B", "c", None))
    grid = SimpleNamespace(cells=cells, samples=1, cycle_samples=0, referees={}, classifier=None)
    message = "prior a with objective b-c and prior a-B with objective c would have one folder"
    with pytest.raises(ParameterError, match=message):
        Grid.__post_init__(grid)


@pytest.mark.slow
def test_the_preset_transfer_convinces_other_architectures_more(tmp_path):
    """On few starts: that the published settings reach less is far outside of chance."""
    settings = {"samples": 3, "seed": 77}
    found = evaluate(preset="transfer", **settings, out=tmp_path / "transfer")
    paper = evaluate(["ae"], **settings, out=tmp_path / "ae")
    for name in ("residual", "separable"):
        more = line(found, "vae")[f"transfer, {name}"]
        assert more > line(paper, "ae")[f"transfer, {name}"] + 0.1
    assert line(found, "vae")["own success"] > 0.9


def test_objectives_without_a_target_have_no_success(bundle, tmp_path):
    layer = load_bundle(bundle).classifier.model.layers[-1].name
    options = [f"objective.neuron.layer={layer}", "objective.neuron.unit=1"]
    found = evaluate(
        ["none"], ["neuron"], bundle=bundle, **SMALL, options=options, out=tmp_path / "out"
    )
    (row,) = [row for row in found.rows if row["word"] == "all words"]
    assert row["score"] > row["score start"]
    assert row["nearest"] is None
    assert row["samples"] == 5
    assert row.get("own success") is None
    assert row["diversity"] > 0


def test_a_further_referee_may_have_its_words_in_another_order(evaluation, bundle, tmp_path):
    other = create_bundle(tmp_path / "other", WORDS[::-1], FeatureSpec())
    turned = small_classifier(2)
    kernel, bias = turned.layers[-1].get_weights()
    turned.layers[-1].set_weights([kernel[:, ::-1], bias[::-1]])
    other.add("classifier", {"model": turned})
    found = evaluate(
        ["ae"], bundle=bundle, **SMALL, referees=[tmp_path / "other"], out=tmp_path / "out"
    )
    # It is the bundle's own referee in disguise.
    assert line(found, "ae")["transfer, other"] == line(evaluation, "ae")["transfer, referee"]


@pytest.mark.parametrize(
    ("model", "words", "name"),
    [
        ("other.keras", "words.txt", "other"),
        ("a:other.keras", "words.txt", "a_other"),
        ("other.keras", "b:words.txt", "other"),
        ("a:b:other.keras", "c:words.txt", "a_b_other"),
    ],
)
def test_a_referee_may_have_colons_in_its_path(bundle, tmp_path, monkeypatch, model, words, name):
    monkeypatch.chdir(tmp_path)
    small_classifier(2).save(model)
    Path(words).write_text("\n".join(WORDS), encoding="utf-8")
    (found,) = set(open_referees(load_bundle(bundle), [f"{model}:{words}"])) - {"referee"}
    assert found == name
    files = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (model, words)]
    assert checksums(f"{model}:{words}") == files


def test_a_folder_may_have_colons_in_its_path(bundle, tmp_path):
    folder = shutil.copytree(bundle, tmp_path / "a:b")
    referees = open_referees(load_bundle(bundle), [str(folder), str(folder)])
    assert list(referees) == ["referee", "a_b", "a_b-2"]
    listened = load_bundle(bundle).classifier
    features = np.random.default_rng(0).random((2, 90, 80, 1), np.float32)
    np.testing.assert_array_equal(referees["a_b"].predict(features), listened.predict(features))
    description = (folder / "classifier" / "component.json").read_bytes()
    assert checksums(str(folder)) == [hashlib.sha256(description).hexdigest()]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.keras:b.txt", r"the referee a\.keras does not exist; name a bundle"),
        ("model:1.keras", "model:1.keras:WORDS.txt"),
        ("model:1.keras:", "model:1.keras:WORDS.txt"),
        ("model:1.keras:no.txt", r"cannot read the words file no\.txt"),
    ],
)
def test_what_is_missing_of_a_referee_is_named(bundle, tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    small_classifier(2).save("model:1.keras")
    with pytest.raises(ModelError, match=message):
        open_referees(load_bundle(bundle), [path])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"samples": 0}, ParameterError, "samples is 0; expected at least 1"),
        ({"cycle_samples": -1, "vocoder": "griffin-lim"}, ParameterError, "cycle samples is -1"),
        (
            {"preset": "papr"},
            ParameterError,
            "no preset is called 'papr'; .*known: natural, paper, transfer",
        ),
        ({"options": ["prior.vae.weights=x"]}, ParameterError, "no cell of the evaluation has"),
        ({"start": "nowhere"}, CorpusError, "nowhere is no store"),
        ({"speech": "nowhere"}, CorpusError, "nowhere is no store"),
        ({"referees": ["other.keras"]}, ModelError, r"other\.keras does not exist; name a bundle"),
        ({"referees": [__file__]}, ModelError, r"test_evaluate\.py:WORDS\.txt"),
        ({"block_size": 0}, ParameterError, "the block size is 0"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    bundle, tmp_path, monkeypatch, settings, error, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        evaluate(**{"bundle": bundle, **SMALL, **settings, "out": tmp_path / "out"})
    assert list(tmp_path.iterdir()) == []


def test_referees_of_other_words_or_features_are_refused(bundle, tmp_path):
    words = create_bundle(tmp_path / "words", ("a", "b", "c", "d"), FeatureSpec())
    words.add("classifier", {"model": small_classifier(2)})
    spec = create_bundle(tmp_path / "spec", WORDS, FeatureSpec(fmax=7000.0))
    spec.add("classifier", {"model": small_classifier(2)})
    for name, error, message in (
        ("words", SpecError, r"the referee words knows other words \(a, b, c, d\)"),
        ("spec", SpecError, "the referee spec was made for other features: fmax"),
    ):
        with pytest.raises(error, match=message):
            evaluate(bundle=bundle, **SMALL, referees=[tmp_path / name], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_foreign_and_damaged_folders_are_refused_and_kept(evaluation, bundle, tmp_path):
    settings = {"bundle": bundle, **SMALL}
    with pytest.raises(RunError, match="is not empty; give --resume"):
        evaluate(["ae", "none"], ["softmax"], **settings, out=evaluation.root)
    with pytest.raises(RunError, match=r"other settings \(command\.seed 5, now 6"):
        evaluate(
            ["ae", "none"], ["softmax"], **settings | {"seed": 6}, out=evaluation.root, resume=True
        )
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="no evaluation to resume"):
        evaluate(["ae"], ["softmax"], **settings, out=tmp_path / "foreign", resume=True)
    assert [p.name for p in (tmp_path / "foreign").iterdir()] == ["mine.txt"]


def test_a_store_that_was_prepared_anew_is_noticed(bundle, tiny_store, tmp_path):
    store = shutil.copytree(tiny_store.root, tmp_path / "store")
    settings = {"bundle": bundle, **SMALL, "speech": store, "out": tmp_path / "out"}
    found = evaluate(["none"], **settings)
    before = digests(found.root)
    stored = json.loads((found.root / "manifest.json").read_text(encoding="utf-8"))["stores"]
    assert stored["speech"]["features.npy"] == (store / "features.npy").stat().st_size
    assert list(stored) == ["speech"]
    for name in ("store.json", "index.csv", "features.npy"):
        whole = (store / name).read_bytes()
        (store / name).write_bytes(whole.replace(b'"tiny"', b'"other"') + b"\n")
        with pytest.raises(RunError, match=rf"other settings \(stores\.speech\.{name} [^;]*\)"):
            evaluate(["none"], **settings, resume=True)
        (store / name).write_bytes(whole)
    evaluate(["none"], **settings, resume=True)
    assert digests(found.root) == before
    (store / "features.npy").unlink()
    with pytest.raises(CorpusError, match=r"is damaged .*features\.npy.*; prepare it again"):
        evaluate(["none"], **settings, resume=True)


def test_a_damaged_chunk_is_named(bundle, tmp_path):
    settings = {"bundle": bundle, **SMALL, "out": tmp_path / "out"}
    evaluate(["none"], **settings)
    (chunk, *_) = sorted((tmp_path / "out" / "chunks").rglob("*.npz"))
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:1000])
    with pytest.raises(RunError, match=r"npz is damaged .*delete it and give --resume"):
        evaluate(["none"], **settings, resume=True)
    chunk.unlink()
    evaluate(["none"], **settings, resume=True)
    assert chunk.read_bytes() == whole


def test_the_command_prints_a_column_a_cell(call, bundle, tmp_path):
    done = call(
        "evaluate", "--bundle", bundle, "--prior", "none", "--samples", 2, "--steps", 1,
        "--block-size", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["prior", "none", "none"]
    assert lines[1].split() == ["objective", "untouched", "softmax"]
    assert lines[2].split() == ["samples", "8", "8"]
    assert lines[3].count("%") == 2
    assert lines[-1] == f"page: {tmp_path / 'out' / 'index.html'}"
    again = call("evaluate", "--bundle", bundle, "--samples", 0, "--out", tmp_path / "other")
    assert again.status == 2
    assert "0 is not in the range x>=1" in again.err
    assert HOSTILE in json.loads((tmp_path / "out" / "manifest.json").read_text())["words"]
