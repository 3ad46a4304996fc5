"""Training a WaveNet of frames on recordings, from files to a bundle that speaks."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import soundfile

from keras_listen.errors import ParameterError
from keras_listen.features import FeatureSpec, mel_basis, normalize_magnitude
from keras_listen.models.bundle import create_bundle, load_bundle
from keras_listen.training.recordings import gather
from keras_listen.training.sources import make_sources
from keras_listen.training.train_frames import (
    RECIPE,
    FramesTraining,
    MagnitudeLoss,
    config_for,
    train_frames,
)
from keras_listen.vocoders.pitch import Pitch, estimate_pitch
from keras_listen.vocoders.wavenet import wavenet
from keras_listen.vocoders.wavenet.source import source_of
from keras_listen.vocoders.wavenet.spectrum import SpectrumConfig, to_scale

SPEC = FeatureSpec()
TINY = {
    "layers": 2,
    "stacks": 1,
    "residual_channels": 8,
    "gate_channels": 8,
    "skip_channels": 8,
    "side_channels": 4,
    "maps": 1,
    "detail_layers": 1,
    "detail_channels": 2,
}
SHORT = dataclasses.replace(
    RECIPE, steps=30, batch_size=2, crop_frames=8, warmup=5, checkpoint=10, averaging=0.9
)


@pytest.fixture(scope="module")
def folder(sound, tmp_path_factory):
    """Nine short sounds."""
    root = tmp_path_factory.mktemp("recordings")
    for number in range(9):
        soundfile.write(root / f"tone{number}.wav", sound("up", number)[4000:12000], 16000)
    return root


def weights_of(bundle) -> list[np.ndarray]:
    return bundle.component("wavenet").model().get_weights()


class TestSources:
    def test_each_is_the_sound_of_its_features(self, folder, tmp_path):
        recordings = gather([folder], tmp_path / "r", SPEC)
        sources = make_sources(recordings, tmp_path / "s", SPEC)
        sharp = 0
        for number in range(9):
            place = slice(recordings.starts[number], recordings.starts[number + 1])
            features, given = recordings.features[place], sources.given(number)
            hertz = estimate_pitch(features, SPEC)
            np.testing.assert_allclose(sources.hertz[place], hertz, rtol=1e-6)
            same = np.array_equal(given, features)
            sharp += same
            assert same or given.std() < features.std()
            pitch = Pitch(hertz, "estimated" if same else "invented")
            if not hertz.any():
                pitch = Pitch(hertz, "none")
            seed = np.array([0, number], np.uint32)
            whole = source_of(given, pitch, SPEC, seed)[: features.shape[0] * 256]
            np.testing.assert_allclose(sources.samples[place].reshape(-1), whole, atol=2e-3)
        assert 4 <= sharp < 9  # a quarter is blurred

    def test_an_interrupted_call_is_continued(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr("keras_listen.training.sources._CHUNK", 2)
        monkeypatch.setattr("keras_listen.training.sources.os.cpu_count", lambda: 1)
        recordings = gather([folder], tmp_path / "r", SPEC)
        whole = make_sources(recordings, tmp_path / "whole", SPEC)
        made = []

        def interrupted(*arguments):
            if len(made) == 5:
                raise KeyboardInterrupt
            made.append(arguments)
            return source_of(*arguments)

        monkeypatch.setattr("keras_listen.training.sources.source_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_sources(recordings, tmp_path / "cut", SPEC)
        monkeypatch.setattr(
            "keras_listen.training.sources.source_of",
            lambda *arguments: made.append(arguments) or source_of(*arguments),
        )
        resumed = make_sources(recordings, tmp_path / "cut", SPEC)
        assert np.array_equal(whole.samples, resumed.samples)
        assert np.array_equal(whole.hertz, resumed.hertz)
        assert len(made) < 5 + 9
        make_sources(recordings, tmp_path / "cut", SPEC)
        assert len(made) < 5 + 9

    def test_a_crop_beyond_the_end_meets_silence(self, folder, tmp_path):
        recordings = gather([folder], tmp_path / "r", SPEC)
        sources = make_sources(recordings, tmp_path / "s", SPEC)
        length = int(recordings.lengths[0])
        samples, hertz = sources.crop(0, length - 2, 5)
        assert samples.shape == (5 * 256,)
        assert np.array_equal(samples[:512], sources.samples[length - 2 : length].reshape(-1))
        assert not samples[512:].any()
        assert not hertz[2:].any()


class TestTraining:
    def test_targets_stand_beside_their_features(self, folder, tmp_path):
        recordings = gather([folder], tmp_path / "r", SPEC)
        sources = make_sources(recordings, tmp_path / "s", SPEC)
        config = SpectrumConfig.from_dict(config_for(SPEC).to_dict() | TINY)
        training = FramesTraining(config, SHORT, sources, SPEC, 0, tmp_path / "w")
        inputs, wanted = training.crops([3, 4], [2, 9], np.random.default_rng(0))
        assert wanted.shape == (2, 8, 384 + 80)
        magnitude = 10 ** (2 * wanted[..., :384])
        again = normalize_magnitude(magnitude @ mel_basis(SPEC)[:, :384].T, SPEC)
        np.testing.assert_allclose(again, wanted[..., 384:], atol=0.01)
        assert inputs["source"].shape == inputs["comb"].shape == (2, 8, 384)

    def test_a_net_learns_and_speaks(self, folder, tmp_path):
        rows, heard = [], []
        recipe = dataclasses.replace(SHORT, steps=60, checkpoint=20, learning_rate=2e-3)
        bundle = train_frames(
            [folder],
            tmp_path / "b",
            changes=TINY,
            recipe=recipe,
            compact=True,
            announce=rows.append,
            heard=lambda *what: heard.append(what),
        )
        assert [row["step"] for row in rows] == [20, 40, 60]
        assert min(row["loss"] for row in rows) < 0.95 * rows[0]["loss"]
        step, _, sound, features, _ = heard[-1]
        assert step == 60
        assert len(sound) == (len(features) - 3) * 256
        about = bundle.component("wavenet").about
        assert about["kind"] == "wavenet-frames"
        assert about["config"] == config_for(SPEC).to_dict() | TINY
        assert about["provenance"]["recordings"] == 9
        assert not (tmp_path / "b" / ".training" / "wavenet").exists()
        vocoder = wavenet(load_bundle(tmp_path / "b"))
        sounds = vocoder.synthesize(features[None, :20], np.zeros((1, 2), np.uint32))
        assert sounds.shape == (1, 17 * 256)
        assert 0 < np.abs(sounds).max() < 10

    def test_an_interrupted_training_equals_an_undisturbed_one(self, folder, tmp_path):
        def train(name, announce=lambda row: None):
            return train_frames(
                [folder], tmp_path / name, changes=TINY, recipe=SHORT, announce=announce
            )

        def interrupt(row):
            if row["step"] == 20:
                raise KeyboardInterrupt

        whole = train("whole")
        with pytest.raises(KeyboardInterrupt):
            train("cut", interrupt)
        rows = []
        resumed = train("cut", rows.append)
        assert [row["step"] for row in rows] == [30]
        for a, b in zip(weights_of(whole), weights_of(resumed), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        again = train("cut", rows.append)
        assert len(rows) == 1
        assert again.component("wavenet").files == resumed.component("wavenet").files

    def test_the_loss_is_zero_for_the_truth_and_grows_with_the_distance(self):
        draws = np.random.default_rng(0)
        magnitude = draws.random((2, 6, 384)) + 0.01
        features = normalize_magnitude(magnitude @ mel_basis(SPEC)[:, :384].T, SPEC)
        wanted = np.concatenate([to_scale(magnitude), features], axis=2).astype(np.float32)
        loss = MagnitudeLoss(SPEC, 384)
        losses = [
            float(keras.ops.convert_to_numpy(loss(wanted, to_scale(magnitude * 10 ** (db / 20)))))
            for db in (0, 1, 4)
        ]
        assert losses[0] == pytest.approx(0, abs=1e-4)
        # 1 dB is 1/40 in decibel and by bands, and 0.3 dB is 3.5 % of compressed magnitudes.
        assert losses[1] == pytest.approx(2 / 40 + 10 ** (0.3 / 20) - 1, rel=0.2)
        assert losses[2] > 3.5 * losses[1]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"bands": 40}, "conditioned on 40 bands, the features have 80; set bands to that"),
            ({"bins": 600}, "predicts 600 bins, the features' transform has 513; set bins to at"),
            ({"context_layers": 2}, "of a WaveNet of samples.*--predict samples"),
        ],
    )
    def test_a_net_for_other_features_is_refused(self, folder, tmp_path, changes, message):
        with pytest.raises(ParameterError, match=message):
            train_frames([folder], tmp_path / "b", changes=changes)

    def test_features_whose_frames_hardly_overlap_are_refused(self, folder, tmp_path):
        create_bundle(tmp_path / "b", (), dataclasses.replace(SPEC, hop_length=600))
        with pytest.raises(ParameterError, match="hop_length is 600; a WaveNet of frames needs"):
            train_frames([folder], tmp_path / "b")

    @pytest.mark.parametrize(
        ("changes", "bins"),
        [({}, 384), ({"fmax": 11025.0}, 513), ({"n_fft": 512, "hop_length": 128}, 192)],
    )
    def test_the_network_ends_above_the_highest_band(self, changes, bins):
        spec = dataclasses.replace(SPEC, **changes)
        config = config_for(spec)
        assert config.bins == bins
        assert not mel_basis(spec)[:, bins:].any()
