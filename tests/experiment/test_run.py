"""Runs from start to end: what is written, that it is true, and that it is always the same.

A small bundle with random weights stands in where only the machinery matters.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from helpers import (
    HOSTILE,
    WORDS,
    dense,
    digests,
    interrupted,
    listen,
    read_table,
    sigmoid_classifier,
    small_classifier,
    write_small_bundle,
)

import keras_listen
from keras_listen import load_bundle, load_classifier, load_features
from keras_listen.errors import ModelError, ParameterError, RunError, SpecError
from keras_listen.features import FeatureSpec, extract_fitted
from keras_listen.output.pages import policy, template_text
from keras_listen.seeds import derive
from keras_listen.vocoders.griffin_lim import GriffinLim

FIRST_COLUMNS = (
    "id,word,start,score_before,score_after,probability,predicted,referee_predicted,cycle_predicted"
)
#: Sound that costs little; how good it is matters elsewhere.
QUICK = {"vocoder": "griffin-lim", "options": ["vocoder.griffin-lim.iterations=1"]}


@pytest.fixture(scope="module")
def plain(bundle, tmp_path_factory):
    """An ordinary run: two samples of each word."""
    settings = {"vocoder": "griffin-lim", "samples": 2, "steps": 3, "block_size": 4, "seed": 5}
    return listen(bundle=bundle, **settings, out=tmp_path_factory.mktemp("plain") / "run")


def test_each_sample_has_its_files(plain):
    rows = read_table(plain.root / "samples.csv")
    assert len(rows) == 2 * len(WORDS)
    assert [row["word"] for row in rows] == [word for word in WORDS for _ in range(2)]
    assert [row["id"] for row in rows][:3] == ["down-000", "down-001", "stop-000"]
    expected = {f"{row['id']}.{kind}" for row in rows for kind in ("npy", "wav", "png")}
    expected |= {"samples.csv", "manifest.json", "timing.json", "index.html"}
    assert {path.name for path in plain.root.iterdir()} == expected


def test_table_starts_with_the_promised_columns(plain):
    heading = (plain.root / "samples.csv").read_text(encoding="utf-8").partition("\n")[0]
    assert heading.startswith(FIRST_COLUMNS + ",")


def test_files_have_the_promised_formats(plain):
    from PIL import Image

    for row in read_table(plain.root / "samples.csv"):
        features = np.load(plain.root / f"{row['id']}.npy")
        assert (features.shape, features.dtype) == ((90, 80), np.float32)
        sound = soundfile.info(plain.root / f"{row['id']}.wav")
        assert (sound.samplerate, sound.channels, sound.subtype) == (22050, 1, "PCM_16")
        assert sound.frames == 22272
        with Image.open(plain.root / f"{row['id']}.png") as picture:
            picture.load()
            assert picture.size[0] > picture.size[1] > 100


def test_rows_say_what_the_models_say_of_the_written_files(plain, bundle):
    models = load_bundle(bundle)
    vocoder = GriffinLim(models.spec)
    for row in read_table(plain.root / "samples.csv"):
        features = np.load(plain.root / f"{row['id']}.npy")
        target = WORDS.index(row["word"])
        found = models.classifier.predict(features[None, ..., None])[0]
        assert row["predicted"] == WORDS[found.argmax()]
        assert float(row["probability"]) == pytest.approx(found[target], abs=1e-5)
        assert float(row["score_after"]) == pytest.approx(found[target], abs=1e-5)
        judged = models.referee.predict(features[None, ..., None])[0]
        assert row["referee_predicted"] == WORDS[judged.argmax()]
        k = int(row["id"][-3:])
        seed = derive(5, row["word"], k)[None]
        sound = vocoder.synthesize(np.clip(features, 0, 1)[None], seed)[0]
        gain = min(1.0, 1 / np.abs(sound).max())
        assert float(row["gain"]) == pytest.approx(gain, rel=1e-3)
        again = extract_fitted(gain * sound, models.spec)
        heard = models.classifier.predict(again[None, ..., None])[0]
        if np.sort(heard)[-1] - np.sort(heard)[-2] > 1e-3:
            assert row["cycle_predicted"] == WORDS[heard.argmax()]
        written, _ = soundfile.read(plain.root / f"{row['id']}.wav")
        np.testing.assert_allclose(written, gain * sound, atol=2e-3)


def test_ascent_raises_the_score(plain):
    for row in read_table(plain.root / "samples.csv"):
        assert float(row["score_after"]) > float(row["score_before"])


def test_loud_sound_is_scaled_down_and_never_clipped(plain):
    gains = [float(row["gain"]) for row in read_table(plain.root / "samples.csv")]
    assert max(gains) < 1, "the small decoder is loud"
    for row in read_table(plain.root / "samples.csv"):
        sound, _ = soundfile.read(plain.root / f"{row['id']}.wav", dtype="int16")
        assert np.abs(sound.astype(int)).max() >= 32760
        assert (np.abs(sound.astype(int)) >= 32767).sum() <= 1


def test_quiet_sound_keeps_its_level(bundle, tmp_path):
    run = listen(
        "none", bundle=bundle, words=["up"], steps=1, block_size=1, out=tmp_path / "run", **QUICK
    )
    assert [row["gain"] for row in run.rows] == ["1"]
    sound, _ = soundfile.read(run.root / "up-000.wav")
    assert 0 < np.abs(sound).max() < 1


def test_rates_count_the_rows(plain):
    rows = read_table(plain.root / "samples.csv")

    def share(*columns):
        return np.mean([all(row[c] == row["word"] for c in columns) for row in rows])

    assert plain.summary["samples"] == len(rows)
    assert plain.summary["own success"] == share("predicted")
    assert plain.summary["transfer"] == share("referee_predicted")
    assert plain.summary["joint success"] == share("predicted", "referee_predicted")
    assert plain.summary["cycle"] == share("cycle_predicted")
    assert set(plain.by_word) == set(WORDS)
    assert plain.by_word["up"]["samples"] == 2


def test_page_shows_each_sample_once_and_needs_nothing_else(plain):
    page = (plain.root / "index.html").read_text(encoding="utf-8")
    for row in read_table(plain.root / "samples.csv"):
        assert page.count(f"<b>{row['id']}</b>") == 1
    assert page.count("<audio") == page.count("<img") == 2 * len(WORDS)
    assert page.count('src="data:') == 4 * len(WORDS)
    assert not re.search(r"https?://", page)
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)


def test_page_escapes_words(plain):
    page = (plain.root / "index.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1, "the page's own one"
    assert "&lt;script&gt;alert(" in page


def test_page_has_the_style_of_all_pages_and_runs_nothing_else(plain):
    page = (plain.root / "index.html").read_text(encoding="utf-8")
    assert template_text("style.css").strip() in page
    assert policy([template_text("tables.js")]).replace("'", "&#39;") in page


def test_page_has_a_table_of_rates_that_sorts(plain, chromium):
    chromium.driver.get((plain.root / "index.html").as_uri())
    column = """return [...document.querySelectorAll('.sorts tbody tr')].map(
        row => row.cells[arguments[0]].dataset.value ?? row.cells[arguments[0]].textContent)"""
    assert chromium.run(column, 0) == list(WORDS)
    rates = [str(plain.by_word[word]["own success"]) for word in WORDS]
    assert chromium.run(column, 2) == rates
    button = chromium.find(".sorts th:nth-child(1) button")
    button.click()
    button.click()
    assert chromium.run(column, 0) == sorted(WORDS, key=str.casefold, reverse=True)
    assert chromium.complaints() == []


def test_names_of_files_are_tame(plain):
    for path in plain.root.iterdir():
        assert re.fullmatch(r"[\w.-]+", path.name)


def test_manifest_says_how_to_repeat_the_run(plain, bundle):
    manifest = json.loads((plain.root / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"]["seed"] == 5
    assert manifest["command"]["steps"] == 3
    assert manifest["block_size"] == 4
    names = {kind: about["name"] for kind, about in manifest["components"].items()}
    assert names == {"prior": "ae", "objective": "softmax", "vocoder": "griffin-lim"}
    assert manifest["notes"] == []
    assert manifest["words"] == list(WORDS)
    assert FeatureSpec.from_dict(manifest["spec"]) == FeatureSpec()
    assert set(manifest["models"]) == {"classifier", "referee", "ae"}
    for component, files in manifest["models"].items():
        for name, digest in files.items():
            data = (bundle / component / name).read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest
    assert manifest["versions"]["keras-listen"] == keras_listen.__version__
    assert set(json.loads((plain.root / "timing.json").read_text())) >= {"maximize and vocode"}


def test_the_same_command_writes_the_same_bytes(plain, bundle, tmp_path):
    settings = {"vocoder": "griffin-lim", "samples": 2, "steps": 3, "block_size": 4, "seed": 5}
    again = listen(bundle=bundle, **settings, out=tmp_path / plain.root.name)
    assert digests(again.root) == digests(plain.root)


def test_another_seed_writes_others(plain, bundle, tmp_path):
    other = listen(
        bundle=bundle, words=["up"], steps=3, block_size=4, seed=6, out=tmp_path / "run", **QUICK
    )
    ours, theirs = np.load(plain.root / "up-000.npy"), np.load(other.root / "up-000.npy")
    assert np.any(ours != theirs)


def test_a_sample_does_not_depend_on_what_else_is_asked_for(bundle, tmp_path):
    def run(name, words, samples):
        settings = {"steps": 2, "block_size": 8, "out": tmp_path / name, **QUICK}
        return listen(bundle=bundle, words=words, samples=samples, **settings)

    many = run("many", ["stop", "up"], 30)
    few = run("few", ["stop", "up"], 3)
    alone = run("alone", ["up"], 3)
    rows = {row["id"]: row for row in many.rows}
    assert len(rows) == 60
    assert few.rows == [rows[f"{word}-{k:03d}"] for word in ("stop", "up") for k in range(3)]
    assert alone.rows == few.rows[3:]
    whole = digests(many.root)
    for part in (few, alone):
        for name, digest in digests(part.root).items():
            if name.endswith((".npy", ".wav", ".png")):
                assert digest == whole[name], name


def test_runs_without_a_name_are_numbered(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "listen-007").mkdir()
    settings = {"bundle": bundle, "words": ["up"], "vocoder": "none", "steps": 0, "block_size": 1}
    roots = [listen(**settings).root.name for _ in range(2)]
    assert roots == ["listen-008", "listen-009"]
    # Without a name, what is resumed is the newest.
    assert listen(**settings, resume=True).root.name == "listen-009"


def test_griffin_lim_speaks_where_no_wavenet_knows_the_features(tmp_path, caplog):
    folder = write_small_bundle(tmp_path / "bundle", FeatureSpec(fmax=7000.0))
    run = listen(bundle=folder, words=["up"], steps=1, block_size=1, seed=5, out=tmp_path / "run")
    (note,) = run.manifest["notes"]
    assert "the embedded one was made for other features (fmax)" in note
    assert "falling back to griffin-lim" in note
    assert note in caplog.text
    assert run.manifest["components"]["vocoder"]["name"] == "griffin-lim"
    features = np.clip(np.load(run.root / "up-000.npy"), 0, 1)[None]
    wanted = GriffinLim(FeatureSpec(fmax=7000.0)).synthesize(features, derive(5, "up", 0)[None])[0]
    written, _ = soundfile.read(run.root / "up-000.wav")
    np.testing.assert_allclose(written, wanted / max(1, np.abs(wanted).max()), atol=2e-3)


def test_options_of_the_ascent_reach_the_engine(bundle, tmp_path):
    settings = {"bundle": bundle, "words": ["up"], "vocoder": "none", "block_size": 1}
    still = listen(**settings, stop_at=1e-6, steps=3, out=tmp_path / "still")
    assert still.rows[0]["score_after"] == still.rows[0]["score_before"]
    scores = {
        name: float(
            listen(**settings, steps=5, **change, out=tmp_path / name).rows[0]["score_after"]
        )
        for name, change in {
            "normalized": {},
            "adam": {"optimizer": "adam"},
            "shifted": {"shift": 4},
            "louder": {"gain": 6.0},
        }.items()
    }
    assert len(set(scores.values())) == 4
    far = {"steps": 8, "step_size": 30.0}
    last = listen(**settings, **far, out=tmp_path / "last").rows[0]
    best = listen(**settings, **far, keep_best=True, out=tmp_path / "best")
    assert best.manifest["command"]["keep_best"] is True
    assert float(best.rows[0]["score_after"]) >= float(last["score_after"])
    with pytest.raises(ParameterError, match="a gain of 1 times the features' range"):
        listen(**settings, gain=100.0, out=tmp_path / "deaf")
    assert not (tmp_path / "deaf").exists()


def test_without_a_vocoder_there_is_no_sound(bundle, tmp_path):
    run = listen(
        bundle=bundle, words=["up"], vocoder="none", steps=1, block_size=1, out=tmp_path / "run"
    )
    assert not list(run.root.glob("*.wav"))
    assert run.rows[0]["cycle_predicted"] == run.rows[0]["gain"] == ""
    assert run.summary["cycle"] is None
    assert "vocoder" not in run.manifest["components"]
    assert "<audio" not in (run.root / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def undisturbed(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    return listen(**interruptible(bundle), out=out)


def interruptible(bundle: Path) -> dict:
    return {"bundle": bundle, "words": ["up", HOSTILE], "samples": 5, "steps": 2, **QUICK} | {
        "block_size": 3
    }


@pytest.mark.parametrize("damage", ["none", "row cut short", "row half gone"])
def test_an_interrupted_run_is_finished_as_if_undisturbed(bundle, undisturbed, tmp_path, damage):
    settings, out = interruptible(bundle), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        listen(**settings, out=out, track=interrupted(4))
    finished = [row["id"] for row in read_table(out / "samples.csv")]
    assert finished == ["up-000", "up-001", "up-002", "up-003", "up-004", finished[5]]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 6, "what is finished can be looked at"
    samples = out / "samples.csv"
    if damage == "row cut short":
        # Killed while the next block was being added.
        samples.write_text(samples.read_text(encoding="utf-8") + "nonsense,u", encoding="utf-8")
    elif damage == "row half gone":
        samples.write_bytes(samples.read_bytes()[:-20])
        finished.pop()
    stamps = {name: (out / f"{name}.npy").stat().st_mtime_ns for name in finished}
    run = listen(**settings, out=out, resume=True)
    assert digests(out) == digests(undisturbed.root)
    assert run.rows == undisturbed.rows
    assert run.summary == undisturbed.summary
    assert {name: (out / f"{name}.npy").stat().st_mtime_ns for name in finished} == stamps


def test_resuming_a_finished_run_changes_nothing(bundle, undisturbed, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(undisturbed.root, out)
    listen(**interruptible(bundle), out=out, resume=True)
    assert digests(out) == digests(undisturbed.root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, r"command\.seed 0, now 3"),
        ({"steps": 4}, r"command\.steps 2, now 4"),
        ({"block_size": 2}, r"block_size 3, now 2"),
        ({"words": ["up"]}, r"command\.words"),
        ({"prior": "none"}, r"command\.prior 'ae', now 'none'"),
        ({"options": []}, r"command\.options"),
    ],
)
def test_resuming_with_other_settings_is_refused(bundle, undisturbed, change, message):
    before = digests(undisturbed.root)
    with pytest.raises(RunError, match=message):
        listen(**interruptible(bundle) | change, out=undisturbed.root, resume=True)
    assert digests(undisturbed.root) == before


def test_a_used_folder_is_refused_without_resume(bundle, undisturbed):
    with pytest.raises(RunError, match="not empty; give --resume"):
        listen(**interruptible(bundle), out=undisturbed.root)


def test_there_must_be_a_run_to_resume(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (None, tmp_path / "nowhere"):
        with pytest.raises(RunError, match="no run to resume"):
            listen(**interruptible(bundle), out=out, resume=True)


def test_one_recording_is_maximized_to_the_words_named(bundle, tiny_corpus, tmp_path):
    path = sorted((tiny_corpus / "down").iterdir())[0]
    settings = {"bundle": bundle, "prior": "none", "vocoder": "none", "block_size": 2}
    with pytest.raises(ParameterError, match="name its target with --word"):
        listen(**settings, start=path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = listen(**settings, start=path, steps=0, words=["up", "stop"], out=tmp_path / "run")
    assert [row["id"] for row in run.rows] == [f"up-{path.stem}", f"stop-{path.stem}"]
    assert {row["start"] for row in run.rows} == {str(path)}
    for row in run.rows:
        written = np.load(run.root / f"{row['id']}.npy")
        np.testing.assert_array_equal(written, load_features(path))


def test_a_folder_by_words_is_maximized_each_to_its_own(bundle, tiny_corpus, tmp_path):
    settings = {"bundle": bundle, "start": tiny_corpus, "vocoder": "none", "steps": 1}
    run = listen(**settings, samples=2, block_size=4, out=tmp_path / "two")
    assert [row["word"] for row in run.rows] == ["down", "down", "stop", "stop", "up", "up"]
    for row in run.rows:
        path = tiny_corpus / row["start"]
        assert path.parent.name == row["word"]
        # The ascent starts from the recording's encoding.
        models = load_bundle(bundle)
        encoder, decoder = (models.component("ae").model(part) for part in ("encoder", "decoder"))
        decoded = decoder(encoder(load_features(path)[None, ..., None]))
        score = models.classifier.probabilities(decoded)[0, WORDS.index(row["word"])]
        assert float(row["score_before"]) == pytest.approx(float(score), abs=1e-4)
    run = listen(**settings, words=["up"], block_size=4, out=tmp_path / "all")
    assert len(run.rows) == len(list((tiny_corpus / "up").iterdir()))
    assert {row["word"] for row in run.rows} == {"up"}


def test_a_folder_without_any_of_the_words_is_refused(bundle, tmp_path):
    (tmp_path / "start" / "tree").mkdir(parents=True)
    with pytest.raises(ParameterError, match="no recording in a folder called by one of the words"):
        listen(bundle=bundle, start=tmp_path / "start", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unusable_recordings_of_a_folder_are_left_out_and_named(
    bundle, tiny_corpus, tmp_path, caplog
):
    folder = tmp_path / "start" / "up"
    folder.mkdir(parents=True)
    good = sorted((tiny_corpus / "up").iterdir())[:2]
    shutil.copy(good[0], folder / "a.wav")
    (folder / "b.wav").write_text("no sound at all")
    shutil.copy(good[1], folder / "c.wav")
    settings = {"bundle": bundle, "prior": "none", "steps": 0, "block_size": 2, **QUICK}
    run = listen(**settings, start=folder.parent, out=tmp_path / "run")
    assert [row["id"] for row in run.rows] == ["up-a", "up-c"]
    for row, path in zip(run.rows, good, strict=True):
        written = np.load(run.root / f"{row['id']}.npy")
        np.testing.assert_array_equal(written, load_features(path))
    assert not list(run.root.glob("up-b*"))
    assert any("b.wav" in record.getMessage() for record in caplog.records)


def test_as_many_recordings_as_wanted_are_those_that_can_be_read(
    bundle, tiny_corpus, tmp_path, caplog
):
    folder = tmp_path / "start" / "up"
    folder.mkdir(parents=True)
    for name, path in zip("bdf", sorted((tiny_corpus / "up").iterdir()), strict=False):
        shutil.copy(path, folder / f"{name}.wav")
        (folder / f"._{name}.wav").write_bytes(b"\0\5\26\7")
    for name in "ac":
        (folder / f"{name}.wav").write_text("no sound at all")
    settings = {"bundle": bundle, "prior": "none", "steps": 0, "block_size": 2, **QUICK}
    run = listen(**settings, start=folder.parent, samples=2, out=tmp_path / "run")
    assert [row["id"] for row in run.rows] == ["up-b", "up-d"]
    left = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(left) == 2
    for path in folder.glob("[bdf].wav"):
        path.unlink()
    for count in (2, None):
        with pytest.raises(ParameterError, match=r"none of the 2 recordings in .* can be read as"):
            listen(**settings, start=folder.parent, samples=count, out=tmp_path / "none")
        assert not (tmp_path / "none").exists()


def test_a_neuron_has_neither_word_nor_success(bundle, tmp_path):
    layer = load_bundle(bundle).classifier.model.layers[-2].name
    run = listen(
        bundle=bundle,
        objective="neuron",
        options={"objective.neuron.layer": layer, "objective.neuron.unit": 7},
        vocoder="none",
        samples=3,
        steps=4,
        block_size=3,
        out=tmp_path / "run",
    )
    assert [row["id"] for row in run.rows] == [f"{layer}-7-{k:03d}" for k in range(3)]
    for row in run.rows:
        assert row["word"] == row["probability"] == row["first_success"] == ""
        # Flattened averages of 10 x 10 values: the eighth is of the highest bands at the start.
        features = np.load(run.root / f"{row['id']}.npy")
        average = features[:10, 70:].mean()
        assert float(row["score_after"]) == pytest.approx(average, rel=1e-4)
        assert float(row["score_after"]) > float(row["score_before"])
    assert run.summary["own success"] is None
    assert run.by_word == {}


def test_a_neuron_from_recordings_needs_no_word(bundle, tiny_corpus, tmp_path):
    layer = load_bundle(bundle).classifier.model.layers[-2].name
    recording = next(iter((tiny_corpus / "up").iterdir()))
    for place in ("up/a.wav", "up/b.wav", "no/a.wav", "c.wav"):
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording, tmp_path / "in" / place)
    settings = {
        "bundle": bundle,
        "objective": "neuron",
        "options": {"objective.neuron.layer": layer, "objective.neuron.unit": 7},
        "block_size": 4,
        "steps": 1,
        "vocoder": "none",
    }
    run = listen("none", **settings, start=tmp_path / "in", out=tmp_path / "run")
    assert [(row["id"], row["start"]) for row in run.rows] == [
        (f"{layer}-7-c", "c.wav"),
        (f"{layer}-7-no-a", "no/a.wav"),
        (f"{layer}-7-up-a", "up/a.wav"),
        (f"{layer}-7-up-b", "up/b.wav"),
    ]
    assert all(row["word"] == row["probability"] == "" for row in run.rows)
    assert run.summary["own success"] is run.summary["transfer"] is None
    start = tmp_path / "in" / "c.wav"
    one = listen("none", **settings, start=start, out=tmp_path / "one")
    assert [row["id"] for row in one.rows] == [f"{layer}-7-c"]
    with pytest.raises(ParameterError, match=r"neuron has no words; leave out the word up, or"):
        listen("none", **settings, words=["up"], start=start, out=tmp_path / "two")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParameterError, match="has no recording, and no folder with one"):
        listen("none", **settings, start=tmp_path / "empty", out=tmp_path / "two")
    (tmp_path / "empty" / "a.wav").write_text("no sound at all")
    for count in (1, None):
        with pytest.raises(ParameterError, match=r"none of the 1 recordings in .* can be read as"):
            listen(
                "none",
                **settings,
                samples=count,
                start=tmp_path / "empty",
                out=tmp_path / "two",
            )
    assert not (tmp_path / "two").exists()


def test_without_a_prior_features_leave_the_range_and_are_kept(bundle, tmp_path):
    run = listen("none", bundle=bundle, words=["up"], block_size=1, out=tmp_path / "run", **QUICK)
    features = np.load(run.root / "up-000.npy")
    outside = ((features < 0) | (features > 1)).mean()
    assert 0.2 < outside < 0.8
    (row,) = run.rows
    assert float(row["clipped_share"]) == pytest.approx(outside, rel=1e-4)
    clipped = np.clip(features, 0, 1)[None, ..., None]
    heard = load_bundle(bundle).classifier.predict(clipped)[0].argmax()
    assert row["predicted_clipped"] == WORDS[heard]


@pytest.fixture(scope="module")
def own_model(tmp_path_factory):
    """A function that writes a small classifier and its words, and returns `listen` arguments."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")

    def write(name: str, model: keras.Model) -> dict:
        model.save(folder / f"{name}.keras")
        return {"classifier": folder / f"{name}.keras", "words_file": folder / "words.txt"}

    return write


def test_own_models_with_and_without_softmax_are_the_same(bundle, own_model, tmp_path):
    runs = []
    for softmax in (True, False):
        models = own_model(f"softmax {softmax}", small_classifier(8, softmax=softmax))
        for objective in ("softmax", "logit"):
            settings = {"bundle": bundle, "words": ["up"], "vocoder": "none", "steps": 5}
            out = tmp_path / f"{objective} {softmax}"
            settings |= {"objective": objective, "samples": 2, "block_size": 2, "out": out}
            runs.append(listen(**settings, **models))
    classifier = load_classifier(models["classifier"], WORDS)
    for run in runs:
        assert set(run.manifest["models"]) >= {models["words_file"].name}
        for row in run.rows:
            features = np.load(run.root / f"{row['id']}.npy")[None, ..., None]
            found = classifier.predict(features)[0, WORDS.index("up")]
            assert float(row["probability"]) == pytest.approx(found, rel=1e-4)
    for with_softmax, without in zip(runs[:2], runs[2:], strict=True):
        for a, b in zip(with_softmax.rows, without.rows, strict=True):
            assert float(a["score_after"]) == pytest.approx(float(b["score_after"]), rel=1e-3)


def test_of_a_sigmoid_for_each_word_none_may_be_predicted(bundle, own_model, tmp_path):
    models = own_model("multi-label", sigmoid_classifier())
    settings = {"bundle": bundle, "objective": "logit", "steps": 6, "block_size": 4, "samples": 2}
    run = listen(prior="none", **settings, **models, **QUICK, out=tmp_path / "run")
    classifier = load_classifier(models["classifier"], WORDS)
    for row in run.rows:
        features = np.load(run.root / f"{row['id']}.npy")[None, ..., None]
        found = np.asarray(classifier.model(features))[0]
        np.testing.assert_allclose(
            float(row["probability"]), found[WORDS.index(row["word"])], rtol=1e-4
        )
        assert row["predicted"] == (WORDS[found.argmax()] if found.max() > 0.5 else "")
        assert (row["first_success"] != "") >= (row["predicted"] == row["word"])
    predicted = [row["predicted"] for row in run.rows]
    assert {"", "up"} <= set(predicted)
    # Whoever hears no word counts as well.
    for name, column in (("own success", "predicted"), ("cycle", "cycle_predicted")):
        assert run.summary[name] == np.mean([row[column] == row["word"] for row in run.rows])
    assert "classifier hears <span" in (page := (run.root / "index.html").read_text())
    assert "no word ✗" in " ".join(page.split())


def test_one_sigmoid_is_a_classifier_of_two_words(bundle, own_model, tmp_path):
    inputs = keras.Input((90, 80, 1))
    flat = keras.layers.Flatten()(keras.layers.AveragePooling2D(10)(inputs))
    models = own_model("single", keras.Model(inputs, dense(1, 3, activation="sigmoid")(flat)))
    models["words_file"] = tmp_path / "two.txt"
    models["words_file"].write_text("other\nup\n")
    settings = {"bundle": bundle, "vocoder": "none", "steps": 20, "block_size": 2, "samples": 1}
    run = listen(prior="none", **settings, **models, out=tmp_path / "run")
    model = load_classifier(models["classifier"], ("other", "up")).model
    for row, sign in zip(run.rows, (-1, 1), strict=True):
        p = np.asarray(model(np.load(run.root / f"{row['id']}.npy")[None, ..., None]))[0, 0]
        assert float(row["probability"]) == pytest.approx(p if sign > 0 else 1 - p, rel=1e-3)
        assert row["predicted"] == row["word"]


def test_own_model_needs_its_words(bundle, own_model, tmp_path):
    models = own_model("wordless", small_classifier(8))
    with pytest.raises(ModelError, match="--words-file"):
        listen(bundle=bundle, classifier=models["classifier"], out=tmp_path / "run")
    with pytest.raises(ModelError, match="without a classifier"):
        listen(bundle=bundle, words_file=models["words_file"], out=tmp_path / "run")


def test_a_prior_of_other_features_is_refused_naming_the_fields(bundle, own_model, tmp_path):
    (tmp_path / "spec.toml").write_text('fmin = 50.0\nmel_scale = "htk"\n')
    models = own_model("other features", small_classifier(8))
    with pytest.raises(SpecError, match=r"(?s)prior ae.*fmin.*mel_scale"):
        listen(bundle=bundle, **models, spec=tmp_path / "spec.toml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_own_features_need_no_weights_of_the_bundle(bundle, own_model, tmp_path):
    """Without a learned prior any FeatureSpec will do: noise, ascent and phase follow it."""
    (tmp_path / "spec.toml").write_text("n_mels = 40\nframes = 50\nsample_rate = 16000\n")
    spec = FeatureSpec.from_toml(tmp_path / "spec.toml")
    models = own_model("own features", small_classifier(8, spec=spec))
    run = listen(
        "none",
        bundle=bundle,
        **models,
        spec=tmp_path / "spec.toml",
        words=["up"],
        steps=1,
        block_size=1,
        out=tmp_path / "run",
        **QUICK,
    )
    assert np.load(run.root / "up-000.npy").shape == (50, 40)
    assert soundfile.info(run.root / "up-000.wav").samplerate == 16000
    # The bundle's referee hears other features and keeps silent.
    assert run.rows[0]["referee_predicted"] == ""
    assert any("referee" in note for note in run.manifest["notes"])


def test_a_model_with_code_runs_only_if_trusted(bundle, own_model, tmp_path):
    inputs = keras.Input((90, 80, 1))
    x = keras.layers.Lambda(lambda features: 2 * features, output_shape=(90, 80, 1))(inputs)
    models = own_model("lambda", keras.Model(inputs, small_classifier(8)(x)))
    settings = {"bundle": bundle, "words": ["up"], "vocoder": "none", "steps": 1, "block_size": 1}
    with pytest.raises(ModelError, match="--trust-model"):
        listen(**settings, **models, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = listen(**settings, **models, trust_model=True, out=tmp_path / "run")
    assert float(run.rows[0]["score_after"]) > float(run.rows[0]["score_before"])


def test_the_embedded_classifier_answers_from_python():
    bundle = load_bundle()
    x = np.random.default_rng(0).uniform(0, 1, (3, 90, 80, 1)).astype(np.float32)
    probabilities = np.asarray(bundle.classifier.probabilities(x))
    assert probabilities.shape == (3, len(bundle.words))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities, bundle.classifier.predict(x), atol=1e-5)
    assert bundle.referee.words == bundle.words
    assert bundle.spec == FeatureSpec()


@pytest.mark.parametrize("name", keras_listen.__all__)
def test_every_public_name_is_there(name):
    value = getattr(keras_listen, name)
    assert name == "__version__" or value.__doc__
    assert name in dir(keras_listen)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lisen'"):
        _ = keras_listen.lisen
