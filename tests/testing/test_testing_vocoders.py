"""The check of vocoders: ours pass it, and each broken one fails for what it is."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from kit import SPEC, Voice, broken, own, small_bundle, spoken

from keras_listen import testing
from keras_listen.features import FeatureSpec
from keras_listen.vocoders.griffin_lim import GriffinLim


@pytest.fixture(scope="module")
def small():
    return small_bundle()


@pytest.mark.parametrize("vocoder", own("vocoder"))
def test_our_vocoders_keep_the_contract(vocoder):
    assert not getattr(testing.check_vocoder(vocoder), "causal", False)


def test_a_vocoder_that_keeps_the_contract_passes(small):
    assert isinstance(testing.check_vocoder(Voice, small), Voice)


def later(sounds, frames):
    return np.roll(sounds, 256 * frames, axis=1)


def by_the_batch(self, features, seeds):
    sounds = GriffinLim.synthesize(self, features, seeds)
    return sounds / np.abs(sounds).max()


def without_seeds(self, features, seeds):
    drawn = np.random.randint(0, 99, np.shape(seeds)).astype(np.uint32)
    return GriffinLim.synthesize(self, features, drawn)


def first_seed(self, features, seeds):
    return GriffinLim.synthesize(self, features, np.repeat(seeds[:1], len(seeds), axis=0))


def in_place(self, features, seeds):
    features += 1e-3
    return GriffinLim.synthesize(self, features, seeds)


def of_fixed_length(self, features, seeds):
    fixed = np.zeros((len(features), 44, features.shape[2]), np.float32)
    fixed[:, : features.shape[1]] = features[:, :44]
    return GriffinLim.synthesize(self, fixed, seeds)


def of_another(self, features, seeds):
    """Speak three voices' features in another order."""
    if len(features) == 3 and np.array_equal(features, self.known):
        return GriffinLim.synthesize(self, features[[1, 2, 0]], seeds[[1, 2, 0]])
    return GriffinLim.synthesize(self, features, seeds)


def deaf(self, features, seeds):
    self.report(100)
    return GriffinLim.synthesize(self, features, seeds)


def stubborn(self, features, seeds):
    with contextlib.suppress(Exception):
        self.report(100)
    return GriffinLim.synthesize(self, features, seeds)


REPORTING = {"report": lambda self, done: None, "seconds_for": lambda self, sounds, frames: 1.0}


BROKEN_VOCODERS = {
    "spec": (
        {"spec": property(lambda self: FeatureSpec(n_mels=30), lambda self, value: None)},
        "spec: the features of the classifier",
        "n_mels",
        "Unavailable",
    ),
    "causal no bool": ({"causal": "no"}, "causal: a bool", "'no'", "set causal = True"),
    "files of numbers": ({"files": {"a": 1}}, "files: names to checksums", "1", "SHA-256"),
    "one for all": (
        spoken(lambda sounds: sounds[0]),
        "synthesize(features, seeds)",
        "shape (",
        "np.stack(sounds)",
    ),
    "doubles": (
        spoken(lambda sounds: sounds.astype(float)),
        "synthesize(features, seeds)",
        "dtype float64",
        "np.float32",
    ),
    "not finite": (
        spoken(lambda sounds: np.log(np.minimum(sounds, 0))),
        "synthesize(features, seeds)",
        "are not finite",
        "logarithms",
    ),
    "silent": (
        spoken(np.zeros_like),
        "synthesize(features, seeds): a sound",
        "3 of 3 sounds are silent",
        "denormalize_magnitude",
    ),
    "features changed": (
        {"synthesize": in_place},
        "synthesize(features, seeds)",
        "read-only",
        "leave the features as they are",
    ),
    "seeds ignored": (
        {"synthesize": without_seeds},
        "synthesize(features, seeds): the seed decides",
        "values differ",
        "generator(row)",
    ),
    "one seed for all": (
        {"synthesize": first_seed},
        "synthesize(features, seeds): a sound does not depend on its batch-mates",
        "values differ",
        "each row of seeds",
    ),
    "level of the batch": (
        {"synthesize": by_the_batch},
        "synthesize(features, seeds): a sound does not depend on its batch-mates",
        "values differ",
        "no level",
    ),
    "late": (
        spoken(lambda sounds: later(sounds, 3)),
        "sounds: frame by frame in place",
        "3 frames too late",
        "left_padding(spec)",
    ),
    "early": (
        spoken(lambda sounds: later(sounds, -2)),
        "sounds: frame by frame in place",
        "2 frames too early",
        "left_padding(spec)",
    ),
    "too long": (
        spoken(lambda sounds: np.pad(sounds, [(0, 0), (0, 256)])),
        "sounds: as many frames as features",
        "45 frames from 44",
        "count_samples",
    ),
    "of a fixed length": (
        {"synthesize": of_fixed_length},
        "sounds of 4 frames",
        "44 frames",
        "from the features",
    ),
    "not causal": (
        {"causal": True},
        "causal: as declared",
        "values differ",
        "set causal = False",
    ),
    "half a report": (
        {"report": lambda self, done: None},
        "attribute seconds_for",
        "has none",
        "both or neither",
    ),
    "no estimate": (
        {**REPORTING, "seconds_for": lambda self, sounds, frames: "soon"},
        "seconds_for(sounds, frames)",
        "'soon'",
        "estimate the time",
    ),
    "never reporting": (
        REPORTING,
        "report(done): samples since the last call",
        "0 calls",
        "call self.report",
    ),
    "not to be stopped": (
        {**REPORTING, "synthesize": stubborn},
        "report(done): it may raise to stop",
        "went on",
        "let exceptions",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("case", BROKEN_VOCODERS)
def test_a_broken_vocoder_is_blamed_for_what_it_is(case, small):
    parts, contract, seen, mend = BROKEN_VOCODERS[case]
    error = broken(testing.check_vocoder, type("Vocoder", (Voice,), parts), small)
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


def test_a_vocoder_that_reports_as_it_should_passes(small):
    testing.check_vocoder(type("Vocoder", (Voice,), {**REPORTING, "synthesize": deaf}), small)


def test_a_vocoder_that_speaks_other_features_is_told_so(small):
    known = testing.features_like_speech(3, SPEC, 44)
    parts = {"synthesize": of_another, "known": known[::-1]}
    turned = type("Vocoder", (Voice,), parts)
    assert "batch-mates" in broken(testing.check_vocoder, turned, small).contract
    loud = spoken(lambda sounds: np.tile(sounds[:, :50], (1, sounds.shape[1] // 50 + 1)))
    buzz = broken(testing.check_vocoder, type("Vocoder", (Voice,), loud), small)
    assert buzz.contract.startswith("sounds: ")
