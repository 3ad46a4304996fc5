"""Listening tests' recordings from settings to files: that they are what they are said to be."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import soundfile
from helpers import HOSTILE, WORDS, assert_one_line, dense, digests, interrupted, listen, read_table

from keras_listen import load_bundle, make_study
from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.store import Store
from keras_listen.errors import CorpusError, ListenError, ParameterError, RunError, SpecError
from keras_listen.experiment.referees import MatchedReferee
from keras_listen.experiment.samples import Sample
from keras_listen.experiment.settings import SharedSettings
from keras_listen.features import FeatureSpec, extract_fitted
from keras_listen.listening_test.folder import open_study
from keras_listen.listening_test.items import COLUMNS, read_items, read_manifest
from keras_listen.listening_test.make import record as speaking
from keras_listen.listening_test.make.conditions import (
    Condition,
    _all_options,
    make_conditions,
    parse_combination,
)
from keras_listen.listening_test.make.plan import Plan
from keras_listen.listening_test.make.proxies import active_level, spectral_flatness
from keras_listen.listening_test.make.real_speech import RealSpeech
from keras_listen.listening_test.make.record import (
    LEVEL,
    Recording,
    cut_pieces,
    estimating_time_left,
    synthesize_recordings,
)
from keras_listen.listening_test.make.referee_panel import PanelScores, RefereePanel
from keras_listen.maximization.settings import AscentSettings
from keras_listen.models.bundle import create_bundle
from keras_listen.output.files import csv_text
from keras_listen.output.progress import quiet
from keras_listen.plugins import default_registry
from keras_listen.seeds import derive
from keras_listen.testing.factory import component_of
from keras_listen.vocoders.griffin_lim import GriffinLim
from keras_listen.vocoders.voicing import voiced_share

#: Words of the store; the bundle knows a fourth, hostile one.
SPOKEN = ("down", "stop", "up")
OPTIONS = ("vocoder.griffin-lim.iterations=1",)
SMALL = {"vocoder": "griffin-lim", "options": OPTIONS, "block_size": 6, "seed": 5, "steps": 5}
FEW = {**SMALL, "per_word": 2, "tries": 8, "anchors": 2}
NAMES = {"prior": "ae", "objective": "softmax", "vocoder": "griffin-lim"}


@pytest.fixture(scope="module")
def made(bundle, tiny_store, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "made"
    more = ["prior=ae,objective=logit,steps=9,step_size=0.5,start=noise,label=far"]
    return make_study(tiny_store.root, out, bundle=bundle, **FEW, real=True, combinations=more)


def of(rows, **cells) -> list[dict[str, str]]:
    """Return the rows with these cells."""
    return [row for row in rows if all(row[name] == value for name, value in cells.items())]


def sound(root: Path, row: dict[str, str]) -> np.ndarray:
    return soundfile.read(root / row["audio_url"])[0]


def settings(bundle: Path, **more):
    return {"bundle": bundle, **FEW, **more}


def test_the_table_can_be_read_back(made):
    rows = read_items(made.root)
    assert rows == made.items == read_table(made.root / "manifest.csv")
    assert tuple(rows[0]) == COLUMNS
    assert COLUMNS[:6] == (
        "experiment", "timestamp", "class_label", "audio_url", "pred_1_class", "pred_2_class"
    )  # fmt: skip
    assert len({row["name"] for row in rows}) == len(rows)
    assert all(row["timestamp"] == row["name"] for row in rows)
    assert open_study(made.root).rows == tuple(rows)
    assert {path.stem for path in (made.root / "audio").iterdir()} == {r["name"] for r in rows}
    manifest = read_manifest(made.root)
    assert manifest["study"] == made.id
    assert manifest["conditions"]["6"] == "noise far"


def test_names_say_neither_word_nor_condition(made):
    for row in made.items:
        assert len(row["name"]) == 12
        assert set(row["name"]) <= set("0123456789abcdef")


def test_every_recording_has_one_format_and_level(made):
    wanted = 10 ** (LEVEL / 20)
    for row in made.items:
        about = soundfile.info(made.root / row["audio_url"])
        assert (about.samplerate, about.channels, about.subtype) == (22050, 1, "PCM_16")
        assert about.frames == 22272
        y = sound(made.root, row)
        assert np.abs(y).max() <= 1
        assert active_level(y, 22050) == pytest.approx(wanted, rel=0.01)


def test_only_what_reached_its_word_is_heard(made):
    spoken = [row for row in made.items if row["stage"] in ("generated", "after")]
    assert len(spoken) > 10
    assert all(row["pred_1_class"] == row["class_label"] for row in spoken)
    counts = Counter((row["experiment"], row["class_label"], row["stage"]) for row in made.items)
    for number in ("2", "4"):
        for word in SPOKEN:
            assert counts[number, word, "before"] == counts[number, word, "after"]
    assert counts["1", HOSTILE, "generated"] == 2
    assert counts["5", "up", ""] == 2


def test_starts_from_noise_are_those_of_a_run(made, bundle, tmp_path):
    same = {"objective": "softmax", "vocoder": "griffin-lim", "options": OPTIONS}
    same |= {"steps": 5, "seed": 5, "block_size": 6, "bundle": bundle}
    for number, prior in (("1", "none"), ("3", "ae")):
        run = listen(prior=prior, samples=8, **same, out=tmp_path / prior)
        for word in WORDS:
            reached = [r for r in run.rows if (r["word"], r["predicted"]) == (word, word)][:2]
            rows = of(made.items, experiment=number, class_label=word)
            assert len(rows) == len(reached)
            for row, other in zip(rows, reached, strict=True):
                y, _ = soundfile.read(run.root / f"{other['id']}.wav")
                scale = float(row["gain"]) / float(other["gain"])
                # Both were rounded to 16 bits, the run's before it was scaled.
                rounding = (1 + scale) * 2**-15
                np.testing.assert_allclose(sound(made.root, row), y * scale, atol=rounding)
                assert row["pred_2_class"] == other["referee_predicted"]
                assert row["cycle_class"] == other["cycle_predicted"]


def test_before_is_the_recording_or_its_decoded_encoding(made, bundle, tiny_store):
    component = load_bundle(bundle).component("ae")
    rows = {u.file: int(r) for u, r in zip(tiny_store.utterances, tiny_store.rows, strict=True)}
    speaks = GriffinLim(FeatureSpec(), 1)
    for number in ("2", "4", "5"):
        for row in of(made.items, experiment=number, stage="" if number == "5" else "before"):
            features = tiny_store.features[rows[row["source"]]]
            if number == "4":
                latent = component.model("encoder")(features[None, ..., None])
                features = np.asarray(component.model("decoder")(latent))[0, ..., 0]
            seed = derive(5, row["class_label"], rows[row["source"]])
            y = speaks.synthesize(features[None], seed[None])[0]
            found = sound(made.root, row)
            np.testing.assert_allclose(found, y * float(row["gain"]), atol=2e-3)
            assert row["source"].startswith(row["class_label"])
            assert row["speaker"] in ("3c000001", "3c000002")


def test_both_class_to_class_experiments_try_the_same_utterances(made):
    for word in ("down", "up"):
        second, fourth = (
            [row["source"] for row in of(made.items, experiment=n, class_label=word, stage="after")]
            for n in ("2", "4")
        )
        assert len(second) == 2
        assert set(second) & set(fourth)
    speakers = {row["speaker"] for row in of(made.items, experiment="2", class_label="down")}
    assert len(speakers) == 2, "new voices come first"


def test_proxies_are_those_of_the_sounds(made, bundle):
    models, spec = load_bundle(bundle), FeatureSpec()
    heard = np.stack([extract_fitted(sound(made.root, row), spec) for row in made.items])[..., None]
    own, other = (judge.predict(heard) for judge in (models.classifier, models.referee))
    for row, first, second in zip(made.items, own, other, strict=True):
        label = WORDS.index(row["class_label"])
        # 16 bits move quiet bands a little.
        assert float(row["cycle_probability"]) == pytest.approx(first[label], abs=0.1)
        assert float(row["referee_probability"]) == pytest.approx(second[label], abs=0.1)
        assert row["cycle_success"] == str(int(row["cycle_class"] == row["class_label"]))
        assert row["referee_success"] == str(int(row["referee_class"] == row["class_label"]))
        assert float(row["referees_agreeing"]) == int(row["referee_success"])
        flat = spectral_flatness(sound(made.root, row), spec)
        assert float(row["spectral_flatness"]) == pytest.approx(flat, abs=0.02)
        assert 0 <= float(row["speech_band_share"]) <= 1
        assert (row["feature_distance"] != "") == (row["class_label"] in SPOKEN)


def test_missing_anchors_are_said(made):
    assert len(of(made.items, role="item")) == len(made.items)
    assert made.notes[0].startswith("0 clear and as many unclear anchors instead of 2")


def test_what_is_missing_is_listed(made):
    listed = {(r["experiment"], r["word"]): r for r in read_table(made.root / "unreached.csv")}
    for number in "123456":
        for word in WORDS:
            stage = {"5": "", "2": "after", "4": "after"}.get(number, "generated")
            found = len(of(made.items, experiment=number, class_label=word, stage=stage))
            assert ((number, word) in listed) == (found < 2)
            if found < 2:
                assert int(listed[number, word]["found"]) == found
    assert listed["3", "stop"]["tries"] == "8"
    assert listed["3", "stop"]["reason"] == "was not reached"
    assert listed["4", "stop"]["tries"] == "6", "the split has no more"
    assert listed["2", HOSTILE]["reason"] == "too few utterances in the split"
    assert listed["2", HOSTILE]["tries"] == "0"


def test_conditions_are_counted_from_the_table(made):
    rows = read_table(made.root / "conditions.csv")
    assert [(r["experiment"], r["stage"]) for r in rows] == [
        ("1", "generated"), ("2", "before"), ("2", "after"), ("3", "generated"), ("4", "before"),
        ("4", "after"), ("5", ""), ("6", "generated"),
    ]  # fmt: skip
    for row in rows:
        mine = of(made.items, experiment=row["experiment"], stage=row["stage"])
        assert int(row["recordings"]) == len(mine)
        for name, column in (("cycle", "cycle_success"), ("referee", "referee_success")):
            rate = np.mean([int(r[column]) for r in mine])
            assert float(row[name]) == pytest.approx(rate, rel=1e-4)
            assert float(row[f"{name}_low"]) <= rate <= float(row[f"{name}_high"])
        flat = np.mean([float(r["spectral_flatness"]) for r in mine])
        assert float(row["spectral_flatness"]) == pytest.approx(flat, rel=1e-4)
    # 8 starts of each of 3 words that were given up, and 2 of the other.
    assert of(rows, experiment="3")[0]["tries"] == "26"


def test_a_killed_study_is_finished_as_if_undisturbed(made, bundle, tiny_store, tmp_path):
    more = ["prior=ae,objective=logit,steps=9,step_size=0.5,start=noise,label=far"]
    same = settings(bundle, real=True, combinations=more)
    out = tmp_path / "study"
    for resume, label, number in ((False, "maximize", 9), (True, "speak", 7)):
        track = interrupted(number, label)
        with pytest.raises(KeyboardInterrupt):
            make_study(tiny_store.root, out, **same, resume=resume, track=track)
        with pytest.raises(RunError, match="no finished listening test"):
            read_items(out)
    make_study(tiny_store.root, out, **same, resume=True)
    assert digests(out) == digests(made.root)


def test_a_lost_or_damaged_recording_is_made_again(bundle, tiny_store, tmp_path):
    same = settings(bundle, words=["up"])
    study = make_study(tiny_store.root, tmp_path / "study", **same)
    before = digests(study.root)
    lost, damaged = (study.root / item["audio_url"] for item in study.items[:2])
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"is missing \(and 1 more\)"):
        open_study(study.root)
    make_study(tiny_store.root, study.root, **same, resume=True)
    assert digests(study.root) == before


def test_a_recording_depends_on_no_other_word(made, bundle, tiny_store, tmp_path):
    study = make_study(tiny_store.root, tmp_path / "study", **settings(bundle, words=["up"]))
    mine = of(study.items, role="item")
    assert {row["class_label"] for row in mine} == {"up"}
    for row in mine:
        (same,) = of(made.items, name=row["name"])
        url = row["audio_url"]
        assert (study.root / url).read_bytes() == (made.root / url).read_bytes()
        measured = [name for name in COLUMNS if name != "feature_distance"]
        assert [row[name] for name in measured] == [same[name] for name in measured]
    assert study.id != made.id
    other = make_study(tiny_store.root, tmp_path / "b", **settings(bundle, words=["up"], seed=6))
    assert not {r["name"] for r in other.items} & {r["name"] for r in study.items}


def test_thirty_five_words_give_630_recordings(tmp_path):
    words = [f"word{i:02d}" for i in range(35)]
    spec, generator = FeatureSpec(), np.random.default_rng(0)
    store = tmp_path / "store"
    store.mkdir()
    np.save(store / "features.npy", generator.uniform(size=(140, 90, 80)).astype(np.float32))
    np.save(store / "noise.npy", np.zeros((0, 80), np.float32))
    lines = [
        f"{i},{words[i % 35]}/s{i}_nohash_0.wav,{words[i % 35]},s{i},testing" for i in range(140)
    ]
    (store / "index.csv").write_text("row,file,word,speaker,split\n" + "\n".join(lines) + "\n")
    about = {"schema": 1, "spec": spec.to_dict(), "words": words}
    (store / "store.json").write_text(json.dumps(about), encoding="utf-8")
    bundle = create_bundle(tmp_path / "bundle", words, spec)
    inputs = keras.Input((90, 80, 1))
    x = keras.layers.AveragePooling2D(10, data_format="channels_last")(inputs)
    initial = keras.initializers.RandomNormal(seed=1)
    last = keras.layers.Dense(35, "softmax", kernel_initializer=initial)
    model = keras.Model(inputs, last(keras.layers.Flatten()(x)))
    bundle.add("classifier", {"model": model})
    latent = keras.Input((72,))
    decoded = keras.layers.Activation("sigmoid")(keras.layers.Reshape((9, 8, 1))(latent))
    decoded = keras.layers.UpSampling2D(10, data_format="channels_last")(decoded)
    encoder = keras.Model(inputs, keras.layers.Flatten()(x))
    bundle.add("ae", {"encoder": encoder, "decoder": keras.Model(latent, decoded)})
    speaks = {"vocoder": "griffin-lim", "options": OPTIONS, "objective": "logit", "steps": 60}
    study = make_study(store, tmp_path / "study", bundle=bundle.root, **speaks, anchors=0)
    assert not study.unreached
    counts = Counter((row["experiment"], row["stage"]) for row in study.items)
    assert counts == {
        ("1", "generated"): 105, ("2", "before"): 105, ("2", "after"): 105,
        ("3", "generated"): 105, ("4", "before"): 105, ("4", "after"): 105,
    }  # fmt: skip
    assert len(study.items) == 630
    # Without a referee there is nothing to say of one.
    assert {row["referee_class"] for row in study.items} == {""}
    assert {row["feature_distance"] for row in study.items} == {""}


def test_nothing_reached_is_an_error(bundle, tiny_store, tmp_path):
    same = settings(bundle, words=["stop"], steps=0, tries=2)
    with pytest.raises(RunError, match=r"no word was reached.*unreached.csv.*--tries"):
        make_study(tiny_store.root, tmp_path / "study", **same)
    rows = read_table(tmp_path / "study" / "unreached.csv")
    assert [row["experiment"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["tries"] for row in rows} == {"2"}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"words": ["upp"]}, ParameterError, "did you mean 'up'"),
        ({"words": [HOSTILE]}, CorpusError, "no utterance of .* in the split testing"),
        ({"split": "test"}, ParameterError, "did you mean 'testing'"),
        ({"per_word": 0}, ParameterError, "per word is 0; expected at least 1"),
        ({"tries": 1}, ParameterError, "tries is 1; expected at least as many .* 2"),
        ({"anchors": -1}, ParameterError, "anchors is -1"),
        ({"block_size": 0}, ParameterError, "block size is 0"),
        ({"vocoder": "none", "options": ()}, ParameterError, "people listen to sounds"),
        ({"vocoder": "wavenett", "options": ()}, ParameterError, "did you mean 'wavenet'"),
        ({"prior": "aee"}, ParameterError, "did you mean 'ae'"),
        ({"prior": "none"}, ParameterError, "experiments 3 and 4 is none, as that of 1 and 2"),
        ({"options": ["prior.vae.pull=0.1"]}, ParameterError, "no recording of the listening test"),
        ({"vocoder": "none"}, ParameterError, "the vocoder is none, but people listen to sounds"),
        ({"combinations": ["vocoder=none"]}, ParameterError, "the vocoder is none, but people"),
        ({"options": ["vocoder.griffin-lim.iteration=1"]}, ParameterError, "iterations"),
        ({"combinations": ["prior=vae"]}, ListenError, "vae"),
        ({"combinations": ["prior"]}, ParameterError, "expected KEY=VALUE"),
        ({"combinations": [""]}, ParameterError, "a combination is empty"),
        ({"combinations": ["prior=ae,prior=none"]}, ParameterError, "each key once"),
        ({"combinations": ["priors=ae"]}, ParameterError, "did you mean 'prior'"),
        ({"combinations": ["start=noises"]}, ParameterError, "did you mean 'noise'"),
        ({"combinations": ["steps=many"]}, ParameterError, "type int"),
        ({"combinations": ["stop_at=2"]}, ParameterError, "stop_at is 2"),
        ({"combinations": ["prior.pul=1"]}, ParameterError, "did you mean 'pull'"),
        ({"combinations": ["prior=ae"]}, ParameterError, "two conditions are called 'noise ae'"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    given, error, message, bundle, tiny_store, tmp_path
):
    with pytest.raises(error, match=message):
        make_study(tiny_store.root, tmp_path / "study", **{**settings(bundle), **given})
    assert not (tmp_path / "study").exists()


def test_an_objective_without_words_is_refused(bundle, tiny_store, tmp_path):
    layer = load_bundle(bundle).classifier.model.layers[-1].name
    neuron = {"objective": "neuron", "objective.layer": layer, "objective.unit": 0}
    with pytest.raises(ParameterError, match="neuron has no words that could be heard"):
        make_study(tiny_store.root, tmp_path / "s", **settings(bundle, combinations=[neuron]))
    assert not (tmp_path / "s").exists()


def test_a_store_must_fit(bundle, tiny_store, tmp_path):
    with pytest.raises(CorpusError, match="is no store"):
        make_study(tmp_path / "nowhere", tmp_path / "study", **settings(bundle))
    other = shutil.copytree(tiny_store.root, tmp_path / "store")
    about = json.loads((other / "store.json").read_text(encoding="utf-8"))
    about["spec"]["fmax"] = 7000.0
    (other / "store.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(SpecError, match=r"fmax 7000.0 instead of 7600.0"):
        make_study(other, tmp_path / "study", **settings(bundle))
    empty = replace(tiny_store, utterances=(), rows=np.zeros(0, np.int64))
    with pytest.raises(CorpusError, match="has no testing utterance"):
        Plan((), ("up",), 1, 1, empty, "testing", None, 0)
    assert not (tmp_path / "study").exists()


def test_a_folder_in_use_is_not_touched(made, bundle, tiny_store):
    before = digests(made.root)
    same = settings(bundle)
    another = "or name another folder as OUT"
    said = f"is not empty; give --resume to continue the listening test in it, {another}"
    with pytest.raises(RunError, match=f"{said}$"):
        make_study(tiny_store.root, made.root, **same)
    with pytest.raises(RunError, match=r"manifest\.csv is a file; name another folder as OUT$"):
        make_study(tiny_store.root, made.root / "manifest.csv", **same)
    with pytest.raises(
        RunError,
        match=r"^the listening test in .* was started with other settings \(command\.combinations "
        r"[^;]*; command\.real True, now False\); repeat them, or start a new listening test in "
        r"another folder$",
    ):
        make_study(tiny_store.root, made.root, **same, resume=True)
    missing = r"^there is no listening test to resume in .*/empty; leave --resume"
    with pytest.raises(RunError, match=missing):
        make_study(tiny_store.root, made.root.parent / "empty", **same, resume=True)
    assert digests(made.root) == before


def test_a_combination_says_in_what_it_differs():
    text = "prior=vae,prior.pull=0.02,steps=150,keep_best=yes"
    found = parse_combination(text, NAMES)
    assert found.names == {**NAMES, "prior": "vae"}
    assert found.ascent == {"steps": 150, "keep_best": True}
    assert found.options == {("prior", "pull"): "0.02"}
    assert found.starts == ("noise", "class")
    assert found.label == "vae prior.pull=0.02 steps=150 keep_best=yes"
    mapping = {"prior": "vae", "prior.pull": 0.02, "steps": 150, "keep_best": True}
    assert parse_combination(mapping, NAMES).ascent == found.ascent
    plain = parse_combination("vocoder=wavenet, start=class, label=net", NAMES)
    assert (plain.starts, plain.label, plain.names["vocoder"]) == (("class",), "net", "wavenet")
    other = parse_combination("prior=keras-listen-ppgn:ppgn,vocoder=wavenet", NAMES)
    assert other.names["prior"] == "keras-listen-ppgn:ppgn"
    assert other.label == "keras-listen-ppgn:ppgn wavenet"


def test_options_are_told_together_by_whichever_name_they_were_given():
    def wide(bundle, *, width: float, depth: int = 1, tall: bool = False):
        """Has an option that it needs."""

    options = {("prior", "under-test:wide"): {"width": "1"}, ("prior", "wide"): {"depth": 3}}
    found = _all_options({"prior": component_of("prior", wide)}, options)
    assert found == {"prior.width": 1.0, "prior.depth": 3, "prior.tall": False}


def test_a_condition_is_the_same_from_python_and_from_text(bundle):
    given = ({"gain": 6, "vocoder.momentum": 0, "label": "x"}, "gain=6,vocoder.momentum=0,label=x")
    asked = [[parse_combination(each, NAMES)] for each in given]
    shared = SharedSettings(block_size=6)
    made = [make_conditions(load_bundle(bundle), each, shared=shared)[0] for each in asked]
    assert made[0].identity == made[1].identity


def test_a_condition_climbs_as_all_do_but_for_its_own_settings(bundle):
    shared = SharedSettings(AscentSettings(steps=7, stop_at=0.9, keep_best=True), block_size=6)
    asked = [
        parse_combination(text, NAMES)
        for text in ("label=plain", "stop_at=none,shift=2,label=own", "steps=9,label=longer")
    ]
    made = make_conditions(load_bundle(bundle), asked, shared=shared)
    plain, own, longer = (condition.experiment.ascent for condition in made[::2])
    assert (plain.steps, plain.stop_at, plain.keep_best, plain.transforms) == (7, 0.9, True, ())
    assert (own.steps, own.stop_at, own.keep_best) == (7, None, True)
    assert [shift.frames for shift in own.transforms] == [2]
    assert (longer.steps, longer.stop_at) == (9, 0.9)
    assert made[0].settings["stop_at"] == 0.9
    assert made[2].settings["stop_at"] is None


@pytest.mark.parametrize("name", ["griffin-lim", "keras-listen:griffin-lim"])
def test_an_option_of_its_own_wins_however_the_shared_one_is_spelled(bundle, name):
    asked = [parse_combination(text, NAMES) for text in ("label=a", "vocoder.iterations=3,label=b")]
    shared = SharedSettings(options=(f"vocoder.{name}.iterations=1",), block_size=6)
    made = make_conditions(load_bundle(bundle), asked, shared=shared)
    found = {each.label: each.settings["vocoder.iterations"] for each in made}
    assert found == {"noise a": 1, "class a": 1, "noise b": 3, "class b": 3}


class Slow(GriffinLim):
    """Tells how far it is, as those do that take long."""

    def __init__(self):
        super().__init__(FeatureSpec(), 1)
        self.report = lambda done: None

    def seconds_for(self, sounds, frames):
        return 90.0

    def synthesize(self, features, seeds):
        made = super().synthesize(features, seeds)
        for y in made:
            for part in np.array_split(y, 10):
                self.report(len(part))
        return made


def some_recordings(vocoder, count: int) -> list[Recording]:
    rng = np.random.default_rng(1)
    return [
        Recording(f"r{k}", {}, Sample("up", "up", "", k), features, vocoder)
        for k, features in enumerate(rng.random((count, 90, 80), np.float32))
    ]


def test_how_long_all_recordings_take_is_said_soon(monkeypatch, caplog):
    """Also of the pieces that are still to come; of what is quick nothing."""
    caplog.set_level("INFO", "keras_listen")
    clock = itertools.count()
    monkeypatch.setattr(speaking, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    slow = Slow()
    left = cut_pieces(some_recordings(slow, 21), block_size=4)
    assert [len(piece.recordings) for piece in left] == [16, 5]
    track = estimating_time_left(left, quiet)
    for total in (1600, 20):
        with track(total=total, label="vocode", unit="x") as advance:
            for _ in range(total):
                advance()
    # After 36 of 1,600 s of the first 16.
    assert caplog.messages == ["21 recordings are left to speak, which takes about 34 min"]


def test_what_is_reported_at_once_is_counted_before_anything_is_said(monkeypatch, caplog):
    """The WaveNet speaks 16 together and reports them in one go: here eight, each 600 s."""
    caplog.set_level("INFO", "keras_listen")
    times = iter([0, *[600] * 8, *[1200] * 8])
    monkeypatch.setattr(speaking, "time", SimpleNamespace(monotonic=lambda: next(times)))
    left = cut_pieces(some_recordings(Slow(), 21), block_size=4)
    with estimating_time_left(left, quiet)(total=16, label="vocode", unit="x") as advance:
        for _ in range(16):
            advance()
    assert caplog.messages == ["5 recordings are left to speak, which takes about 6 min"]


def test_a_vocoder_that_cannot_say_how_long_it_takes_is_not_counted():
    """It is spoken without progress, in small pieces."""
    found = cut_pieces(some_recordings(SimpleNamespace(report=print), 5), block_size=4)
    assert [(len(piece.recordings), piece.reports) for piece in found] == [(4, False), (1, False)]
    assert cut_pieces(some_recordings(Slow(), 5), block_size=4)[0].reports


def test_a_study_says_how_long_speaking_takes(bundle, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "keras_listen")
    monkeypatch.setattr(speaking, "TELLING", -1)
    monkeypatch.setattr(speaking, "COUNTED", 0)
    recordings = some_recordings(Slow(), 5) + some_recordings(GriffinLim(FeatureSpec(), 1), 2)
    recordings = [replace(each, name=f"r{i}") for i, each in enumerate(recordings)]
    panel = RefereePanel(load_bundle(bundle).classifier, {}, 1)
    synthesize_recordings(recordings[:4] + recordings[5:], tmp_path, panel, 0)
    told = [message.partition(",")[0] for message in caplog.messages[1:]]
    assert told == ["4 recordings are left to speak"]
    # Gone on with: the first four are there.
    caplog.clear()
    synthesize_recordings(recordings, tmp_path, panel, 0)
    told = [message.partition(",")[0] for message in caplog.messages[1:]]
    assert told == ["1 recordings are left to speak"]


def test_settings_are_in_the_manifest_and_in_names(made):
    """Other settings are other recordings, whatever they are called."""
    settings = read_manifest(made.root)["settings"]
    assert list(settings) == ["1", "2", "3", "4", "5", "6"]
    plain = {"steps": 5, "step_size": None, "optimizer": "normalized", "shift": 0, "gain": 0.0}
    plain |= {"stop_at": None, "keep_best": False, "vocoder.iterations": 1}
    assert {name: settings["1"][name] for name in plain} == plain
    assert settings["6"].items() - settings["3"].items() == {("steps", 9), ("step_size", 0.5)}
    assert settings["3"].keys() == settings["6"].keys() > settings["1"].keys()
    condition = Condition(1, "noise ae", "noise", NAMES, settings["1"], made_by("griffin-lim"))
    others = [
        replace(condition, settings=settings["6"]),
        replace(condition, label="noise"),
        replace(condition, names=NAMES | {"prior": "vae"}),
        replace(condition, experiment=made_by("wavenet")),
        replace(condition, models={"ae": {"decoder.keras": "12ab"}}),
    ]
    assert condition.identity not in {other.identity for other in others}
    assert condition.identity == replace(condition, number=7).identity


def made_by(vocoder: str) -> SimpleNamespace:
    """Return as much of an experiment as tells its vocoder's name."""
    return SimpleNamespace(components={"vocoder": default_registry().find("vocoder", vocoder)})


def test_a_combinations_own_options_win(bundle, tiny_store, tmp_path):
    more = ["vocoder=griffin-lim,vocoder.iterations=2,start=noise,label=two"]
    study = make_study(
        tiny_store.root, tmp_path / "s", **settings(bundle, words=["up"], combinations=more)
    )
    (two,) = {row["experiment"] for row in study.items if row["condition"] == "noise two"}
    assert two == "5"
    first, fifth = (of(study.items, experiment=number) for number in ("3", "5"))
    assert [row["class_label"] for row in first] == [row["class_label"] for row in fifth]
    # The same features, spoken with other care.
    assert [row["pred_2_class"] for row in first] == [row["pred_2_class"] for row in fifth]
    for one, other in zip(first, fifth, strict=True):
        difference = sound(study.root, one) - sound(study.root, other)
        assert np.abs(difference).max() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",role,", ",part,"), "has no column 'role'"),
        (lambda text: text.replace(",item,", ",thing,", 1), "line 2: the role is 'thing'"),
        (lambda text: text.replace(",generated,", ",later,", 1), "the stage is 'later'"),
        (lambda text: text.replace("audio/", "../", 1), "the audio_url is '../"),
        (lambda text: text[: text.rindex(",")], "cut short"),
        (lambda text: text + text.splitlines()[-1] + "\n", "twice"),
        (lambda text: text.splitlines()[0] + "\n", "has no recording"),
        (lambda text: "\x00\x01", "cannot be read|no column"),
    ],
)
def test_a_damaged_table_is_refused(made, tmp_path, change, message):
    text = (made.root / "manifest.csv").read_text(encoding="utf-8")
    (tmp_path / "manifest.csv").write_text(change(text), encoding="utf-8")
    with pytest.raises(RunError, match=message):
        read_items(tmp_path)


def test_damaged_recordings_and_manifests_are_refused(made, tmp_path):
    with pytest.raises(RunError, match="there is no listening test in"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="is no manifest of a listening test"):
        read_manifest(tmp_path)
    shutil.copytree(made.root, tmp_path / "copy")
    path = tmp_path / "copy" / made.items[0]["audio_url"]
    whole = path.read_bytes()
    for contents in (b"", b"no sound", whole[:1000]):
        path.write_bytes(contents)
        with pytest.raises(RunError, match=r"(cannot be played|is cut short).*--resume"):
            open_study(tmp_path / "copy")


def test_the_command_says_what_it_made(call, bundle, tiny_store, tmp_path):
    chosen = ("--bundle", bundle, "--vocoder", "griffin-lim", "-o", OPTIONS[0], "--steps", 5)
    chosen += ("--words", "up,stop", "--per-word", 1, "--tries", 3, "--anchors", 1, "--seed", 5)
    more = ("--with", "objective=logit,start=noise", "--real")
    done = call("study", "make", tiny_store.root, tmp_path / "out", *chosen, *more)
    assert done.status == 0, done.err
    assert done.out.splitlines()[0].split()[:3] == ["experiment", "recordings", "cycle"]
    assert "6 noise ae logit" in done.out
    assert "fewer recordings of stop (0 of 1): was not reached" in done.out
    manifest = read_manifest(tmp_path / "out")
    assert done.out.splitlines()[-1].startswith(f"study {manifest['study']}: ")
    assert manifest["command"]["combinations"] == ["objective=logit,start=noise"]
    assert_one_line(
        call("study", "make", tiny_store.root, tmp_path / "x", *chosen, "--words", "nope"),
        "no word of this classifier is called 'nope'",
    )


def found_chunks(root: Path, number: int) -> list[dict[str, np.ndarray]]:
    """Return the arrays of all starts that were tried in a condition, chunk by chunk."""
    return [dict(np.load(path)) for path in sorted(root.glob(f"chunks/found-{number:02d}-*.npz"))]


def test_a_combination_takes_back_what_all_are_given(call, bundle, tiny_store, tmp_path):
    chosen = ("--bundle", bundle, "--vocoder", "griffin-lim", "-o", OPTIONS[0], "--steps", 5)
    chosen += ("--words", "down,up", "--per-word", 2, "--tries", 8, "--anchors", 0, "--seed", 5)
    given = ("--block-size", 6, "--stop-at", 1e-6, "--with", "stop_at=none,start=class,label=free")
    done = call("study", "make", tiny_store.root, tmp_path / "out", *chosen, *given)
    assert done.status == 0, done.err
    manifest = read_manifest(tmp_path / "out")
    assert manifest["command"]["stop_at"] == 1e-6
    assert [manifest["settings"][str(n)]["stop_at"] for n in range(1, 6)] == [1e-6] * 4 + [None]
    # Every word has this probability from the start, so that nothing moves but what is free to.
    for number, moves in ((2, False), (4, False), (5, True)):
        chunks = found_chunks(tmp_path / "out", number)
        ways = [chunk["features_after"] - chunk["features_before"] for chunk in chunks]
        assert sum(map(len, ways)) > 0
        assert (np.abs(np.concatenate(ways)).max() > 0.1) == moves


def test_how_to_climb_reaches_the_recordings(bundle, tiny_store, tmp_path):
    same = settings(bundle, words=["up"], anchors=0)
    given = {"optimizer": "adam", "shift": 1, "gain": 1.0, "keep_best": True}
    plain, changed = (
        make_study(tiny_store.root, tmp_path / name, **same, **more).root
        for name, more in (("plain", {}), ("changed", given))
    )
    before, after = (read_manifest(root) for root in (plain, changed))
    assert after["command"] == before["command"] | given
    assert not set(given) & set(before["command"])
    for number in "1234":
        assert given.items() <= after["settings"][number].items()
    # The same starts, that end elsewhere.
    plain, changed = (found_chunks(root, 4)[0] for root in (plain, changed))
    both = plain["reached"] & changed["reached"]
    assert both.any()
    starts, ends = (
        [chunk[f"features_{stage}"][both[chunk["reached"]]] for chunk in (plain, changed)]
        for stage in ("before", "after")
    )
    np.testing.assert_array_equal(*starts)
    assert np.abs(ends[0] - ends[1]).max() > 1e-3


def test_manifests_name_only_settings_of_the_ascent_that_were_given(made, bundle, tiny_store):
    command = read_manifest(made.root)["command"]
    names = {one.name for one in fields(AscentSettings)}
    assert names & set(command) == {"steps"}
    with pytest.raises(RunError, match=r"command\.optimizer None, now 'adam'"):
        make_study(
            tiny_store.root,
            made.root,
            **settings(bundle, real=True, combinations=command["combinations"]),
            optimizer="adam",
            resume=True,
        )


@pytest.fixture(scope="module")
def real_store(real_speech, tmp_path_factory) -> Store:
    """A dozen real testing utterances of each of three words."""
    root = tmp_path_factory.mktemp("real") / "corpus"
    files = []
    for word in ("no", "stop", "yes"):
        utterances = [u for u in read_corpus(real_speech).utterances if u.word == word]
        files += [u.file for u in utterances if u.split == "testing"][:12]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real_speech / file, root / file)
    (root / "testing_list.txt").write_text("\n".join(files) + "\n", encoding="utf-8")
    (root / "validation_list.txt").write_text("", encoding="utf-8")
    return prepare(read_corpus(root), root.parent / "store", workers=1).store


@pytest.mark.parametrize(
    "vocoder", ["griffin-lim", pytest.param("wavenet", marks=pytest.mark.slow)]
)
def test_real_words_are_heard_again(real_store, tmp_path, vocoder):
    words = ["no", "yes"] if vocoder == "wavenet" else []
    chosen = {"words": words or list(real_store.words), "per_word": 2, "vocoder": vocoder}
    study = make_study(real_store.root, tmp_path / "study", **chosen, anchors=2)
    assert not study.unreached
    count = 2 * len(chosen["words"])
    assert Counter(r["role"] for r in study.items) == {"item": 6 * count, "clear": 2, "unclear": 2}
    clear, unclear = (of(study.items, role=role) for role in ("clear", "unclear"))
    used = {row["source"] for row in of(study.items, role="item")}
    for row in clear:
        assert row["source"] not in used
        assert row["pred_1_class"] == row["pred_2_class"] == row["class_label"]
        assert (row["cycle_success"], row["referees_agreeing"]) == ("1", "1")
    assert [row["class_label"] for row in unclear] == [row["class_label"] for row in clear]
    for row in unclear:
        assert (row["source"], row["prior"], row["experiment"], row["vocoder"]) == ("",) * 4
        assert row["referees_agreeing"] == "0"
        assert 0.5 < float(row["spectral_flatness"]) < 0.62
        assert 0.3 < float(row["speech_band_share"]) < 0.4
    rows = {(row["experiment"], row["stage"]): row for row in study.conditions}
    assert rows[3, "generated"]["cycle"] == rows[4, "after"]["cycle"] == 1
    # Without a prior other networks hear the word as little as by chance.
    assert rows[1, "generated"]["residual"] < rows[2, "before"]["residual"]
    noise = np.mean([float(row["feature_distance"]) for row in unclear])
    assert noise > 1.5 * rows[2, "before"]["feature_distance"]
    assert rows[1, "generated"]["kernel"] > rows[2, "before"]["kernel"]
    assert rows[2, "before"]["distances_by"] == "residual"


#: Words of a user's model: three that the bundle's referee knows, and one that it does not.
BROUGHT = ("up", "stop", "down", "marvin")


@pytest.fixture(scope="module")
def brought(tmp_path_factory) -> Path:
    """A listen.toml of a linear classifier of averages of log-mel bands."""
    root = tmp_path_factory.mktemp("brought")
    inputs = keras.Input((98, 40, 1))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D((14, 8))(inputs))
    keras.Model(inputs, dense(len(BROUGHT), 9, activation="softmax")(x)).save(root / "model.keras")
    about = f'model = "model.keras"\nwords = {json.dumps(BROUGHT)}\n\n[frontend]\nname = "mel"\n'
    (root / "listen.toml").write_text(about, encoding="utf-8")
    return root / "listen.toml"


def test_words_that_a_referee_does_not_know_are_no_failures(bundle, brought, tiny_store, tmp_path):
    few = {**SMALL, "steps": 8, "per_word": 1, "tries": 2, "anchors": 0}
    study = make_study(
        tiny_store.root, tmp_path / "study", bundle=bundle, classifier=brought, **few
    )
    [unknown] = of(study.items, experiment="1", class_label="marvin")
    assert unknown["pred_1_class"] == unknown["cycle_class"] == "marvin"
    told = ("class", "probability", "success")
    empty = ["pred_2_class", "referees_agreeing", *(f"referee_{name}" for name in told)]
    assert [unknown[name] for name in empty] == [""] * 5
    others = [row for row in of(study.items, experiment="1") if row is not unknown]
    assert others
    assert all(row["referee_success"] in ("0", "1") for row in others)
    row = study.conditions[0]
    rate = np.mean([int(row["referee_success"]) for row in others])
    assert (row["recordings"], row["referee"]) == (len(others) + 1, rate)
    assert row["cycle"] == np.mean(
        [int(row["cycle_success"]) for row in of(study.items, experiment="1")]
    )
    assert "referee does not know marvin; its cells and rates leave these out" in study.notes
    assert read_manifest(study.root)["checked"] is None


def test_clear_anchors_ask_the_referees_that_know_the_word():
    words, twins = ["up", "marvin", "marvin"], SimpleNamespace(words=("marvin", "up"))
    own = np.array([[0.9, 0.0, 0.0, 0.1], [0.2, 0.0, 0.0, 0.8], [0.1, 0.0, 0.0, 0.9]], np.float32)
    deaf = np.array([[0.7, 0.3, 0.0, 0.0], [0.0] * 4, [0.0] * 4], np.float32)
    knowing = np.array([[0.6, 0.0, 0.0, 0.4], [0.3, 0.0, 0.0, 0.7], [0.9, 0.0, 0.0, 0.1]])
    classifier = SimpleNamespace(words=BROUGHT, decide=lambda found: found.argmax(axis=-1))
    stranger = MatchedReferee(SimpleNamespace(words=("up", "bed")), BROUGHT)

    def chosen(referees, scores) -> list[int]:
        panel = RefereePanel(classifier, referees, 4)
        utterances = {i: SimpleNamespace(word=word, file=f"{i}") for i, word in enumerate(words)}
        places = {word: [i for i in utterances if words[i] == word] for word in set(words)}
        store = SimpleNamespace(utterances=utterances)
        plan = SimpleNamespace(
            words=("up", "marvin"), utterances=places.get, store=store, panel=panel
        )
        speech = RealSpeech(plan, set())
        speech.scores = PanelScores(own, np.reshape(scores, (-1, 3, 4)), np.zeros((3, 0)))
        return speech.choose_clearest(3)

    # Nobody but the classifier knows marvin, so that nobody confirms it.
    assert chosen({"stranger": stranger}, [deaf]) == [0]
    # The other referee hears it in the first of the two.
    other = MatchedReferee(twins, BROUGHT)
    assert chosen({"stranger": stranger, "other": other}, [deaf, knowing]) == [1, 0]
    # Without referees the classifier is all there is.
    assert sorted(chosen({}, [])) == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("griffin-lim", {}, {}),
        ("griffin-lim", {"pitch": "none", "expand": "1", "start": "random"}, {}),
        ("griffin-lim", {"pitch": "auto"}, {"vocoder.pitch": "auto"}),
        ("griffin-lim", {"expand": "1.3"}, {"vocoder.expand": 1.3}),
        ("griffin-lim", {"start": "gradient"}, {"vocoder.start": "gradient"}),
        ("wavenet", {"pitch": "invented"}, {"vocoder.pitch": "invented"}),
    ],
)
def test_options_of_vocoders_that_came_later_are_settings_where_they_change_something(
    name, given, kept
):
    vocoder = {"vocoder": default_registry().find("vocoder", name)}
    found = _all_options(vocoder, {("vocoder", name): given})
    later = ("vocoder.pitch", "vocoder.expand", "vocoder.start")
    assert {path: value for path, value in found.items() if path in later} == kept
    assert len(found) > len(kept)


def test_each_recording_has_its_voicing_and_pitch(bundle, tiny_store, made, tmp_path):
    assert {row["pitch"] for row in made.items} == {""}
    for row in made.items[::7]:
        share = voiced_share(sound(made.root, row), 22050)
        assert float(row["voiced_share"]) == pytest.approx(share, abs=0.011)
    options = ["vocoder.griffin-lim.pitch=invented", "vocoder.griffin-lim.iterations=1"]
    few = {"bundle": bundle, **FEW, "words": ["up"], "options": options}
    study = make_study(tiny_store.root, tmp_path / "study", **few)
    items = [row for row in study.items if row["role"] == "item"]
    assert {row["pitch"] for row in items} <= {"invented", "none"}
    for row in items:
        assert (float(row["pitched_share"]) > 0) == (row["pitch"] == "invented")


def test_a_table_from_before_is_read_with_empty_cells(made, tmp_path):
    rows = read_table(made.root / "manifest.csv")
    older = [{k: v for k, v in row.items() if k not in COLUMNS[-3:]} for row in rows]
    shutil.copytree(made.root, tmp_path / "study")
    (tmp_path / "study" / "manifest.csv").write_text(csv_text(older))
    assert read_items(tmp_path / "study") == [
        row | {"voiced_share": "", "pitch": "", "pitched_share": ""} for row in rows
    ]
