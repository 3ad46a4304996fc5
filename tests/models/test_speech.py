"""Distances to real speech of a word: values, what is missing, and what is damaged."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from keras_listen.errors import BundleError
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import Bundle, embedded_path, load_bundle
from keras_listen.models.speech import SPEECH, SpeechPrototypes, coarse_shape, coarsen, find_speech

SPEC = FeatureSpec()
#: Frames and bands that are averaged into one coarse value of the default features.
BLOCK = np.ones((3, 4))


def fine(coarse: np.ndarray) -> np.ndarray:
    """Return features whose coarse ones are given, in dB below the loudest [shape=(1, 90, 80)]."""
    return (0.9 + np.kron(coarse, BLOCK) / 100).astype(np.float32)[None]


@pytest.fixture
def pattern() -> np.ndarray:
    """Coarse features: 20 dB of differences, the loudest value in the middle."""
    coarse = np.random.default_rng(0).uniform(-20, -1, (30, 20))
    coarse[15, 10] = 0
    return coarse


def test_coarse_features_are_means_of_blocks_below_the_loudest(pattern):
    assert coarse_shape(SPEC) == (30, 20)
    np.testing.assert_allclose(coarsen(fine(pattern), SPEC)[0], pattern, atol=1e-4)
    features = np.random.default_rng(1).uniform(0.5, 1, (2, 90, 80)).astype(np.float32)
    db = 100 * features.reshape(2, 30, 3, 20, 4).mean(axis=(2, 4))
    wanted = np.maximum(db - db.max(axis=(1, 2), keepdims=True), -50)
    np.testing.assert_allclose(coarsen(features, SPEC), wanted, atol=1e-4)


def test_a_prototype_is_at_no_distance_whatever_its_level(pattern):
    speech = SpeechPrototypes(["yes"], pattern[None, None], SPEC)
    for level in (0, -0.1, -0.3):
        (distance,) = speech.distances(fine(pattern) + np.float32(level), ["yes"])
        assert distance == pytest.approx(0, abs=0.02)


def test_a_difference_of_known_size_is_the_distance(pattern):
    # Everything but the loudest value is 3 dB softer.
    softer = np.where(pattern < 0, pattern - 3, 0)
    speech = SpeechPrototypes(["yes"], pattern[None, None], SPEC)
    (distance,) = speech.distances(fine(softer), ["yes"])
    assert distance == pytest.approx(3 * np.sqrt(599 / 600), abs=1e-3)


def test_features_are_moved_by_up_to_nine_frames_and_the_nearest_prototype_counts(pattern):
    wide = np.full((30, 20), -40.0)
    wide[10:20] = pattern[10:20]
    other = np.full((30, 20), -40.0)
    other[:, 3] = 0
    speech = SpeechPrototypes(["yes"], np.stack([other, wide])[None], SPEC)
    for places, near in ((0, True), (3, True), (-3, True), (6, False)):
        (distance,) = speech.distances(fine(np.roll(wide, places, axis=0)), ["yes"])
        assert (distance < 0.1) == near


def test_what_is_more_than_50_db_below_the_loudest_counts_alike():
    near, far = (np.full((30, 20), each) for each in (-55.0, -85.0))
    near[0, 0] = far[0, 0] = 0
    speech = SpeechPrototypes(["yes"], coarsen(fine(near), SPEC)[None], SPEC)
    assert speech.distances(fine(far), ["yes"])[0] == pytest.approx(0, abs=1e-3)


def test_each_sample_is_compared_with_its_own_word_and_unknown_words_have_no_distance(pattern):
    speech = SpeechPrototypes(["no", "yes"], np.stack([pattern - 9, pattern])[:, None], SPEC)
    both = np.concatenate([fine(pattern)] * 3)
    no, maybe, yes = speech.distances(both, ["no", "maybe", "yes"])
    assert (no, yes) == (pytest.approx(9, abs=1e-3), pytest.approx(0, abs=0.02))
    assert np.isnan(maybe)


def test_bits_do_not_depend_on_what_else_is_compared():
    speech, _ = find_speech(load_bundle(), SPEC)
    features = np.random.default_rng(0).uniform(0, 1, (5, 90, 80)).astype(np.float32)
    words = ["yes", "no", "yes", "yes", "up"]
    apart = [speech.distances(features[i : i + 1], words[i : i + 1])[0] for i in range(5)]
    np.testing.assert_array_equal(speech.distances(features, words), apart)


def test_silence_has_a_distance():
    speech, _ = find_speech(load_bundle(), SPEC)
    (distance,) = speech.distances(np.zeros((1, 90, 80), np.float32), ["yes"])
    assert 10 < distance < 50


@pytest.mark.parametrize(
    "changed", [{"frames": 7}, {"n_mels": 13}, {"frames": 1, "n_mels": 1}, {"hop_length": 1024}]
)
def test_features_of_other_shapes_become_coarse(changed):
    spec = dataclasses.replace(SPEC, **changed)
    features = np.random.default_rng(0).uniform(0, 1, (3, *spec.shape[:2])).astype(np.float32)
    found = coarsen(features, spec)
    assert found.shape == (3, *coarse_shape(spec))
    assert np.isfinite(found).all()
    assert (found.max(axis=(1, 2)) == 0).all()


def test_the_embedded_bundle_tells_real_speech_from_other_words():
    component = load_bundle().component(SPEECH)
    figures = component.figures
    assert figures["split"] == "testing"
    assert figures["utterances"] == 1089
    assert figures["distance_db"] < figures["distance_db_of_other_words"] - 1
    assert figures["nearest_is_own"] > 0.5
    assert 0.2 < figures["voiced_share"] < 0.4
    assert sum(path.stat().st_size for path in component.root.iterdir()) < 400e3


def test_a_bundle_from_before_has_none_and_says_how_to_fit_it(bundle):
    speech, note = find_speech(Bundle(bundle), SPEC)
    assert speech is None
    assert note == (
        f"the bundle {bundle} has no component speech, so nothing is compared with real speech; "
        f"fit it with: keras-listen train STORE {bundle} --only speech"
    )


def test_other_features_than_the_components_are_named():
    speech, note = find_speech(load_bundle(), dataclasses.replace(SPEC, frames=45))
    assert speech is None
    assert note.endswith("has other features (frames), so nothing is compared with real speech")


def test_prototypes_of_another_shape_are_refused(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy")
    shutil.copytree(embedded_path() / SPEECH, tmp_path / "copy" / SPEECH)
    with pytest.raises(BundleError, match="--only speech") as caught:
        find_speech(Bundle(tmp_path / "copy"), SPEC)
    assert "prototypes of the shape (17, 16, 30, 20)" in str(caught.value)
    assert "\n" not in str(caught.value)
