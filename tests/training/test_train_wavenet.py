"""Training a WaveNet on recordings, from files to a bundle that speaks."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import soundfile

from keras_listen.errors import CorpusError, ParameterError, SpecError
from keras_listen.features import FeatureSpec, extract
from keras_listen.models.bundle import create_bundle, load_bundle
from keras_listen.training.recordings import gather
from keras_listen.training.train_wavenet import SMALL, VocoderRecipe, read_config, train_wavenet
from keras_listen.vocoders.wavenet import wavenet

TINY = dataclasses.replace(
    SMALL,
    layers=4,
    stacks=2,
    residual_channels=8,
    gate_channels=8,
    skip_channels=8,
    context_layers=1,
    context_channels=8,
)
RECIPE = VocoderRecipe(
    steps=30, batch_size=2, crop_frames=3, warmup=5, checkpoint=10, averaging=0.9
)


@pytest.fixture(scope="module")
def recordings_folder(sound, tmp_path_factory):
    """Twelve tones, at two depths, beside files that cannot be used."""
    root = tmp_path_factory.mktemp("recordings")
    (root / "deep" / "er").mkdir(parents=True)
    for number in range(12):
        folder = root if number % 2 else root / "deep" / "er"
        soundfile.write(folder / f"tone{number}.wav", sound("up", number), 16000)
    soundfile.write(root / "silent.wav", np.zeros(8000), 16000)
    (root / "text.wav").write_text("no sound")
    (root / "_background_noise_").mkdir()
    soundfile.write(root / "_background_noise_" / "hiss.wav", sound("stop", 1), 16000)
    return root


def component_weights(bundle) -> list[np.ndarray]:
    return bundle.component("wavenet").model().get_weights()


class TestRecordings:
    def test_samples_stand_beside_their_features(self, recordings_folder, tmp_path):
        spec = FeatureSpec()
        found = gather([recordings_folder], tmp_path / "r", spec)
        assert sorted(found.names) == sorted(
            f"tone{i}" if i % 2 else f"deep-er-tone{i}" for i in range(12)
        )
        assert len(found.features) == len(found.samples) == found.starts[-1]
        samples, features = found.crop(0, 0, int(found.starts[1]), 0)
        # The stored sound is padded on the left; what follows gives the features again.
        again = extract(samples[768:], spec)[: len(features) - 3]
        np.testing.assert_allclose(again, features[: len(again)], atol=0.02)
        assert np.abs(samples).max() == pytest.approx(spec.peak, abs=1e-3)

    def test_a_crop_beyond_the_ends_meets_silence(self, recordings_folder, tmp_path):
        found = gather([recordings_folder], tmp_path / "r", FeatureSpec())
        length = int(found.starts[2] - found.starts[1])
        samples, features = found.crop(1, length - 2, 4, 1)
        assert features.shape == (6, 80)
        assert samples.shape == (4 * 256,)
        assert not features[3:].any()
        assert not samples[2 * 256 :].any()
        inside = found.features[found.starts[2] - 3 : found.starts[2]]
        assert np.array_equal(features[:3], inside)

    def test_what_cannot_be_used_is_listed_with_its_reason(self, recordings_folder, tmp_path):
        found = gather([recordings_folder], tmp_path / "r", FeatureSpec())
        reasons = {name.rpartition("/")[2]: reason for name, reason in found.skipped}
        assert set(reasons) == {"silent.wav", "text.wav"}
        assert "silent" in reasons["silent.wav"]

    def test_lists_keep_recordings_from_training(self, tiny_corpus, tmp_path):
        found = gather([tiny_corpus], tmp_path / "r", FeatureSpec())
        listed = (tiny_corpus / "validation_list.txt").read_text().split()
        stems = {name.replace("/", "-").removesuffix(".wav") for name in listed}
        assert {n for n, v in zip(found.names, found.validation, strict=True) if v} == stems
        assert len(found.names) == 72 - 18

    def test_a_second_call_takes_over_the_first(self, recordings_folder, tmp_path):
        gather([recordings_folder], tmp_path / "r", FeatureSpec())
        stamp = (tmp_path / "r" / "samples.bin").stat().st_mtime_ns
        gather([recordings_folder], tmp_path / "r", FeatureSpec())
        assert (tmp_path / "r" / "samples.bin").stat().st_mtime_ns == stamp
        gather([recordings_folder], tmp_path / "r", FeatureSpec(fmax=7000.0))
        assert (tmp_path / "r" / "samples.bin").stat().st_mtime_ns != stamp

    def test_a_missing_folder_is_named(self, tmp_path):
        with pytest.raises(CorpusError, match=r"recordings .*nowhere does not exist"):
            gather([tmp_path / "nowhere"], tmp_path / "r", FeatureSpec())

    def test_an_empty_folder_says_what_was_expected(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(CorpusError, match=r"no recording was found .*\.flac"):
            gather([tmp_path / "empty"], tmp_path / "r", FeatureSpec())

    def test_nothing_usable_gives_the_first_reason(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "x.wav").write_text("no sound")
        with pytest.raises(CorpusError, match="none of 1 files could be used; the first"):
            gather([tmp_path / "a"], tmp_path / "r", FeatureSpec())


class TestTraining:
    def test_a_net_learns_and_speaks(self, recordings_folder, tmp_path):
        rows, heard = [], []
        recipe = dataclasses.replace(RECIPE, steps=120, checkpoint=40, learning_rate=5e-3)
        bundle = train_wavenet(
            [recordings_folder],
            tmp_path / "b",
            config=TINY,
            recipe=recipe,
            compact=True,
            announce=rows.append,
            heard=lambda *what: heard.append(what),
        )
        assert [row["step"] for row in rows] == [40, 80, 120]
        # Better than before, and far better than a net that knows nothing.
        assert rows[-1]["val_loss"] < min(rows[0]["val_loss"], math.log(256) - 0.3)
        step, _, sound, features, _ = heard[-1]
        assert step == 120
        assert len(sound) == (len(features) - 3) * 256
        component = bundle.component("wavenet")
        assert component.about["config"] == TINY.to_dict()
        assert component.files.keys() == {"model.keras", "curves.csv"}
        assert not (tmp_path / "b" / ".training" / "wavenet").exists()
        vocoder = wavenet(load_bundle(tmp_path / "b"))
        sounds = vocoder.synthesize(features[None, :20], np.zeros((1, 2), np.uint32))
        assert sounds.shape == (1, 17 * 256)
        assert 0 < np.abs(sounds).max() < 10

    def test_an_interrupted_training_equals_an_undisturbed_one(self, recordings_folder, tmp_path):
        def train(name, announce=lambda row: None):
            return train_wavenet(
                [recordings_folder], tmp_path / name, config=TINY, recipe=RECIPE, announce=announce
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
        for a, b in zip(component_weights(whole), component_weights(resumed), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        assert (
            load_bundle(tmp_path / "cut").component("wavenet").about["provenance"]
            == (whole.component("wavenet").about["provenance"])
        )

    def test_a_finished_one_is_kept(self, recordings_folder, tmp_path):
        first = train_wavenet([recordings_folder], tmp_path / "b", config=TINY, recipe=RECIPE)
        before = first.component("wavenet").files
        rows = []
        again = train_wavenet(
            [recordings_folder], tmp_path / "b", config=TINY, recipe=RECIPE, announce=rows.append
        )
        assert again.component("wavenet").files == before
        assert not rows

    @pytest.mark.parametrize(
        "changes",
        [
            {"output": "logistics", "out_channels": 6},
            {"output": "softmax", "out_channels": 32, "preemphasis": 0.0},
            {"output": "gaussian", "out_channels": 2, "mulaw": True, "dropout": 0.05},
            {"upsampling": "transposed", "upsample_scales": (16, 16), "skip_scaling": "mean"},
        ],
        ids=lambda changes: "-".join(map(str, changes.values())),
    )
    def test_every_kind_of_net_trains(self, recordings_folder, tmp_path, changes):
        rows = []
        recipe = dataclasses.replace(RECIPE, steps=60, checkpoint=30, learning_rate=5e-3)
        train_wavenet(
            [recordings_folder],
            tmp_path / "b",
            config=dataclasses.replace(TINY, **changes),
            recipe=recipe,
            announce=rows.append,
        )
        assert rows[1]["val_loss"] < rows[0]["val_loss"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"conditioning_channels": 40}, "conditioned on 40 bands, the features have 80"),
            ({"upsample_scales": (128,)}, "multiply to 128, the features' hop_length is 256"),
            ({"speakers": 2, "speaker_channels": 2}, "speakers is not supported"),
        ],
    )
    def test_a_net_for_other_features_is_refused(
        self, recordings_folder, tmp_path, changes, message
    ):
        config = dataclasses.replace(TINY, **changes)
        with pytest.raises(ParameterError, match=message):
            train_wavenet([recordings_folder], tmp_path / "b", config=config)

    def test_a_bundle_of_other_features_is_refused(self, recordings_folder, tmp_path):
        create_bundle(tmp_path / "b", (), FeatureSpec(fmax=7000.0))
        with pytest.raises(SpecError, match="fmax"):
            train_wavenet([recordings_folder], tmp_path / "b", config=TINY, spec=FeatureSpec())

    def test_the_rate_rises_stays_and_falls(self):
        recipe = VocoderRecipe(steps=1000, warmup=10, learning_rate=1.0)
        rates = [recipe.rate(step) for step in (0, 9, 500, 799, 900, 999)]
        np.testing.assert_allclose(rates, [0.1, 1, 1, 1, 0.5, 0.005])


class TestSettings:
    def test_a_file_changes_what_it_names(self, tmp_path):
        (tmp_path / "h.json").write_text(json.dumps({"layers": 20, "upsample_scales": [16, 16]}))
        config = read_config(tmp_path / "h.json")
        assert config == dataclasses.replace(SMALL, layers=20, upsample_scales=(16, 16))
        assert read_config(None) == SMALL

    @pytest.mark.parametrize("text", ["{", "[1]", "3"])
    def test_a_damaged_file_is_named(self, tmp_path, text):
        (tmp_path / "h.json").write_text(text)
        with pytest.raises(ParameterError, match=r"cannot read the settings .*h\.json"):
            read_config(tmp_path / "h.json")
