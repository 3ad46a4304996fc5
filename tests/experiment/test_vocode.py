"""keras-listen vocode: recordings and features to sound, with any vocoder."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import soundfile
from helpers import assert_one_line, interrupted, listen, watched, write_small_bundle

from keras_listen import load_features, vocode
from keras_listen.errors import BundleError, ReadError, RunError, SpecError
from keras_listen.experiment.experiment import make_vocoder
from keras_listen.features import FeatureSpec, count_samples, extract, extract_fitted
from keras_listen.models.bundle import create_bundle, load_bundle
from keras_listen.seeds import derive
from keras_listen.training.train_wavenet import SMALL
from keras_listen.vocoders.synthesis import mel_distance, synthesize
from keras_listen.vocoders.voicing import voiced_share
from keras_listen.vocoders.wavenet.network import build_wavenet
from keras_listen.vocoders.wavenet.pitch import estimate

SPEC = FeatureSpec()
TINY = dataclasses.replace(
    SMALL,
    layers=2,
    stacks=1,
    residual_channels=8,
    gate_channels=8,
    skip_channels=8,
    context_layers=1,
    context_channels=8,
)


@pytest.fixture
def inputs(sound, tmp_path):
    """Two recordings of different lengths and a file of features."""
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "up.wav", sound("up", 1), 16000)
    soundfile.write(folder / "half.wav", sound("down", 2)[:8000], 16000)
    np.save(folder / "given.npy", extract(sound("down", 3), SPEC)[:30])
    return folder


@pytest.fixture(scope="module")
def wavenet_bundle(tmp_path_factory):
    """A bundle whose WaveNet is small and untrained."""
    bundle = create_bundle(tmp_path_factory.mktemp("bundle") / "b", (), SPEC)
    keras.utils.set_random_seed(0)
    about = {"kind": "wavenet", "config": TINY.to_dict()}
    bundle.add("wavenet", {"model": build_wavenet(TINY)}, about=about)
    return bundle.root


def sound_of(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def test_names_lengths_and_distances(call, inputs, tmp_path):
    done = call("vocode", inputs, "--vocoder", "griffin-lim", "--out", "out")
    assert done.status == 0, done.err
    out = tmp_path / "out"
    names = {"up.wav", "half.wav", "given.wav", "vocoded.csv", "manifest.json"}
    assert {p.name for p in out.iterdir()} == names
    with open(out / "vocoded.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    given = np.load(inputs / "given.npy")
    assert rows["given"]["frames"] == "30"
    made = sound_of(out / "given.wav")
    assert len(made) == count_samples(30, SPEC)
    distance = float(rows["given"]["mel_distance_db"])
    assert distance == pytest.approx(mel_distance(given, made, SPEC), abs=0.5)
    assert 0 < distance < 8
    assert "given.wav" in done.out
    assert f"{distance:.2f} dB" in done.out


def test_a_wavenet_of_another_bundle_speaks(call, inputs, wavenet_bundle, tmp_path):
    option = f"vocoder.wavenet.weights={wavenet_bundle}"
    done = call("vocode", inputs, "-o", option, "--out", "out")
    assert done.status == 0, done.err
    assert "vocoding 3 sounds takes about" in done.err
    assert "audio sample" in done.err
    assert len(sound_of(tmp_path / "out" / "given.wav")) == count_samples(30, SPEC)


def test_a_damaged_model_that_does_not_speak_is_not_in_the_way(inputs, wavenet_bundle, tmp_path):
    root = shutil.copytree(wavenet_bundle, tmp_path / "damaged")
    with open(root / "wavenet" / "model.keras", "ab") as file:
        file.write(b"x")
    given = {"vocoder": "griffin-lim", "bundle": root}
    assert len(vocode([inputs / "given.npy"], tmp_path / "out", **given)) == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["components"]["vocoder"]["name"] == "griffin-lim"
    assert (manifest["vocoder"], manifest["command"]["bundle"]) == ({}, str(root))


def test_a_sound_is_the_same_alone_and_beside_longer_ones(inputs, wavenet_bundle, tmp_path):
    vocode([inputs], tmp_path / "all", bundle=wavenet_bundle)
    vocode([inputs / "given.npy"], tmp_path / "one", bundle=wavenet_bundle)
    alone = (tmp_path / "one" / "given.wav").read_bytes()
    assert (tmp_path / "all" / "given.wav").read_bytes() == alone
    vocode([inputs / "given.npy"], tmp_path / "other", bundle=wavenet_bundle, seed=1)
    assert (tmp_path / "other" / "given.wav").read_bytes() != alone


def test_griffin_lim_sounds_are_the_same_alone_and_together(inputs, tmp_path):
    vocode([inputs], tmp_path / "all", vocoder="griffin-lim")
    vocode([inputs / "half.wav"], tmp_path / "one", vocoder="griffin-lim")
    first, second = (tmp_path / name / "half.wav" for name in ("all", "one"))
    assert first.read_bytes() == second.read_bytes()


def test_two_files_of_one_name_are_both_kept(inputs, sound, tmp_path):
    (tmp_path / "more").mkdir()
    soundfile.write(tmp_path / "more" / "UP.wav", sound("stop", 4), 16000)
    spoken = vocode(
        [inputs / "up.wav", tmp_path / "more" / "UP.wav"], tmp_path / "out", vocoder="griffin-lim"
    )
    assert [one.path.name for one in spoken] == ["up.wav", "UP_2.wav"]
    assert not np.array_equal(*(sound_of(one.path)[:20000] for one in spoken))


def test_features_out_of_range_are_clipped_with_a_note(call, tmp_path):
    features = np.full((20, 80), 0.5, np.float32)
    features[:5] = 1.5
    np.save(tmp_path / "f.npy", features)
    done = call("vocode", "f.npy", "--vocoder", "griffin-lim", "--out", "out")
    assert done.status == 0
    assert "25.0 % lie outside [0, 1] and are clipped" in done.err


def broken(folder, sound):
    """Write files that cannot be vocoded."""
    np.save(folder / "wide.npy", np.zeros((20, 40), np.float32))
    np.save(folder / "flat.npy", np.zeros(80, np.float32))
    np.save(folder / "empty.npy", np.zeros((0, 80), np.float32))
    np.save(folder / "short.npy", np.zeros((3, 80), np.float32))
    np.save(folder / "nan.npy", np.full((20, 80), np.nan, np.float32))
    np.save(folder / "whole.npy", np.zeros((20, 80), np.int32))
    np.save(folder / "object.npy", np.array([{}, 1], object), allow_pickle=True)
    (folder / "text.npy").write_text("no array")
    np.savez(folder / "several.npz", a=np.zeros(3))
    (folder / "several.npz").rename(folder / "several.npy")
    (folder / "cut.npy").write_bytes((folder / "several.npy").read_bytes()[:100])
    (folder / "text.wav").write_text("no sound")
    soundfile.write(folder / "silent.wav", np.zeros(9000), 16000)
    (folder / "nothing").mkdir()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wide.npy", r"shape \(20, 40\); expected \(frames, 80\)"),
        ("flat.npy", r"shape \(80,\); expected"),
        ("empty.npy", r"shape \(0, 80\); expected .* at least one frame"),
        ("short.npy", "3 frames are too few"),
        ("nan.npy", "not finite"),
        ("whole.npy", "floating-point"),
        ("object.npy", "cannot read the features"),
        ("text.npy", "cannot read the features"),
        ("several.npy", "it is an .npz file; expected .npy"),
        ("cut.npy", "cannot read the features"),
        ("missing.npy", "cannot read the features"),
        ("text.wav", "text.wav"),
        ("silent.wav", "silent"),
        ("missing.wav", "missing.wav"),
        ("nothing", "has nothing to vocode"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(call, inputs, sound, tmp_path, name, message):
    broken(tmp_path, sound)
    done = call("vocode", inputs / "up.wav", name, "--vocoder", "griffin-lim", "--out", "out")
    assert_one_line(done, message)
    assert not (tmp_path / "out").exists()


def test_a_used_folder_and_unknown_names_are_one_line(call, inputs, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    up = inputs / "up.wav"
    assert_one_line(call("vocode", up, "--out", "used"), "is not empty; name another folder")
    done = call("vocode", up, "--vocoder", "wavnet", "--out", "out")
    assert_one_line(done, "did you mean 'wavenet'")
    done = call("vocode", up, "-o", "vocoder.griffin-lim.iterations=3", "--out", "out")
    assert_one_line(done, "the vocoder of this run is wavenet")
    assert call("vocode", up).status == 2
    assert call("vocode", "--out", "out").status == 2


class Loud:
    """A vocoder that is too loud, reports, and can be interrupted."""

    spec, causal = SPEC, True

    def __init__(self, fail_at: int = 0):
        self.report, self.fail_at, self.calls = (lambda done: None), fail_at, 0

    def seconds_for(self, sounds: int, frames: int) -> float:
        return 1.0

    def synthesize(self, features, seeds):
        self.calls += 1
        samples = count_samples(features.shape[1], SPEC)
        for _ in range(2):
            self.report(len(features) * samples // 2)
        return np.full((len(features), samples), 4.0) * np.linspace(-1, 1, samples)


def test_loud_sound_is_scaled_and_the_gain_is_told():
    sounds, gains = synthesize(Loud(), np.zeros((2, 10, 80)), np.zeros((2, 2), np.uint32))
    assert np.abs(sounds).max() == pytest.approx(1)
    np.testing.assert_allclose(gains, 0.25)


def test_progress_ends_at_its_total():
    seen = {}

    def see(done, *, total, label, unit):
        seen.update(total=total, unit=unit, count=done)

    synthesize(Loud(), np.zeros((3, 10, 80)), np.zeros((3, 2), np.uint32), watched(see))
    assert seen == {"total": 3 * 7 * 256, "unit": "audio sample", "count": 3 * 7 * 256}


def test_an_interruption_stops_the_vocoder_and_is_passed_on():
    vocoder = Loud()
    with pytest.raises(KeyboardInterrupt):
        synthesize(vocoder, np.zeros((3, 10, 80)), np.zeros((3, 2), np.uint32), interrupted(0))
    vocoder.report(1)  # the vocoder has its own report again


def test_what_goes_wrong_in_the_vocoder_comes_out():
    vocoder = Loud()
    vocoder.synthesize = lambda features, seeds: 1 / 0
    with pytest.raises(ZeroDivisionError):
        synthesize(vocoder, np.zeros((1, 10, 80)), np.zeros((1, 2), np.uint32))


def test_python_raises_what_the_command_line_prints(inputs, tmp_path):
    with pytest.raises(ReadError, match="missing"):
        vocode([tmp_path / "missing.wav"], tmp_path / "out", vocoder="griffin-lim")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is a file"):
        vocode([inputs], tmp_path / "file", vocoder="griffin-lim")


def test_the_bundle_says_which_features(wavenet_bundle):
    assert load_bundle(wavenet_bundle).component("wavenet").spec == SPEC


@pytest.mark.slow
def test_the_embedded_wavenet_speaks_words_and_pitch(real_speech):
    """Of real recordings that the classifier hears rightly, it hears nine in ten again."""
    bundle = load_bundle()
    listed = (real_speech / "testing_list.txt").read_text(encoding="utf-8").split()
    known = [name for name in listed if name.split("/")[0] in bundle.words][::18]
    files = [(real_speech / name).with_suffix(".flac") for name in known]
    labels = np.array([bundle.classifier.label(name.split("/")[0]) for name in known])
    features = np.stack([load_features(file) for file in files])
    right = bundle.classifier.predict(features[..., None]).argmax(axis=1) == labels
    assert right.sum() > 40
    vocoder, notes = make_vocoder(bundle, "wavenet", {})
    assert notes == []
    seeds = np.stack([derive(0, name, 0) for name in known])
    sounds, _ = synthesize(vocoder, features, seeds)
    again = np.stack([extract_fitted(sound, bundle.spec) for sound in sounds])
    kept = bundle.classifier.predict(again[..., None]).argmax(axis=1) == labels
    assert (kept & right).sum() / right.sum() >= 0.85  # 0.96 of 200; fewer are less certain
    assert 100 * np.abs(again - features).mean() < 5.5
    # Where the recordings' voices are certain, the sounds have them too.
    _, given = estimate(features, bundle.spec)
    _, spoken = estimate(again, bundle.spec)
    assert spoken[given > 0.95].mean() > 0.5
    assert spoken[given < 0.05].mean() < 0.25


@pytest.fixture(scope="module")
def listened_bundle(tmp_path_factory):
    """A bundle with everything that a run needs, but no WaveNet."""
    return write_small_bundle(tmp_path_factory.mktemp("listened") / "b")


def test_runs_with_a_wavenet_repeat_whatever_else_is_asked_for(
    listened_bundle, wavenet_bundle, tmp_path
):
    options = {"vocoder.wavenet.weights": wavenet_bundle}
    settings = {"bundle": listened_bundle, "steps": 1, "options": options}
    whole = listen(samples=5, out=tmp_path / "whole", **settings)
    one = listen(samples=1, words=["up"], out=tmp_path / "one", **settings)
    for name in ("up-000.wav", "up-000.npy"):
        assert (whole.root / name).read_bytes() == (one.root / name).read_bytes()
    row = next(row for row in whole.rows if row["id"] == "up-000")
    assert row == one.rows[0]
    assert row["cycle_predicted"]
    manifest = json.loads((one.root / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["vocoder"] == load_bundle(wavenet_bundle).component("wavenet").files


def test_a_wavenet_for_other_features_is_refused(listened_bundle, tmp_path):
    other = create_bundle(tmp_path / "other", (), FeatureSpec(fmax=7000.0))
    about = {"kind": "wavenet", "config": TINY.to_dict()}
    other.add("wavenet", {"model": build_wavenet(TINY)}, about=about)
    options = {"vocoder.wavenet.weights": other.root}
    with pytest.raises(SpecError, match=r"the vocoder wavenet .* fmax 7000\.0 instead of 7600\.0"):
        listen(bundle=listened_bundle, options=options, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("weights=nowhere", "nowhere is no bundle"),
        ("rows=-1", "rows is -1"),
        ("row=1", "did you mean 'rows'"),
    ],
)
def test_impossible_options_of_the_wavenet_are_one_line(call, inputs, option, message):
    done = call("vocode", inputs, "-o", f"vocoder.wavenet.{option}", "--out", "out")
    assert_one_line(done, message)


def test_a_bundle_without_a_wavenet_is_named(listened_bundle, wavenet_bundle):
    with pytest.raises(BundleError, match="no component is called 'wavenet'"):
        load_bundle(listened_bundle).component("wavenet")
    options = {("vocoder", "wavenet"): {"weights": str(listened_bundle)}}
    with pytest.raises(BundleError, match="no component is called 'wavenet'"):
        make_vocoder(load_bundle(wavenet_bundle), "wavenet", options)


@pytest.mark.parametrize("pitch", ["none", "invented"])
def test_the_table_says_voicing_and_pitch_of_each_sound(inputs, tmp_path, pitch):
    options = [f"vocoder.griffin-lim.pitch={pitch}"]
    spoken = vocode([inputs], tmp_path / "out", vocoder="griffin-lim", options=options)
    with open(tmp_path / "out" / "vocoded.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest.get("pitch", {"pitch": "none"})["pitch"] == pitch
    for one, row in zip(spoken, rows, strict=True):
        sound, rate = soundfile.read(one.path)
        assert float(row["voiced_share"]) == pytest.approx(voiced_share(sound, rate), abs=0.011)
        if pitch == "none":
            assert "pitch" not in row
            assert one.pitch is None
        else:
            assert (row["pitch"], one.pitch.origin) == ("invented", "invented")
            assert float(row["pitched_share"]) == pytest.approx(one.pitch.share, abs=1e-4)


def test_the_terminal_says_voicing_and_how_many_pitches_are_invented(call, inputs):
    options = ("--vocoder", "griffin-lim", "-o", "vocoder.griffin-lim.pitch=invented")
    done = call("vocode", inputs, *options, "--out", "out")
    assert done.status == 0
    assert done.out.splitlines()[0].split() == ["file", "frames", "mel", "distance", "voiced"]
    assert done.out.splitlines()[-1] == "the pitch of 3 of 3 sounds is invented"
