"""Rates with intervals, spread and distance: values from elsewhere or by hand."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from keras_listen.experiment import rates
from keras_listen.experiment.rates import Neighbours, PooledSpread, Rate, Spread


@pytest.mark.parametrize(("hits", "samples"), [(0, 10), (10, 10), (3, 17), (921, 1000)])
def test_the_interval_is_wilsons(hits, samples):
    wanted = binomtest(hits, samples).proportion_ci(0.95, method="wilson")
    assert Rate(hits, samples).interval == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert Rate(hits, samples).value == hits / samples


def test_a_rate_without_samples_is_none():
    assert Rate(0, 0).value is None
    assert Rate(0, 0).interval is None


def test_rates_add_up():
    assert Rate(1, 4) + Rate(2, 3) == Rate(3, 7)


def test_diversity_is_the_root_mean_square_of_all_pairs():
    features = np.random.default_rng(0).random((7, 5, 4))
    pairs = itertools.combinations(features, 2)
    wanted = np.sqrt(np.mean([((a - b) ** 2).mean() for a, b in pairs]))
    assert Spread.of(features).diversity == pytest.approx(wanted)
    pieces = Spread.of(features[:2]) + Spread.of(features[2:3]) + Spread.of(features[3:])
    assert pieces.diversity == pytest.approx(wanted)


def test_of_one_feature_there_is_no_diversity_and_of_equal_ones_none_left():
    assert Spread.of(np.ones((1, 4))).diversity is None
    assert Spread().diversity is None
    assert Spread.of(np.full((5, 4), 0.3)).diversity == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("piece", [1, 4, 1024])
def test_the_nearest_is_found(monkeypatch, piece):
    monkeypatch.setattr(rates, "_PIECE", piece)
    rng = np.random.default_rng(0)
    # Far from zero, where squares would cancel.
    features, others = 100 + rng.random((6, 9, 8, 1)), 100 + rng.random((11, 9, 8, 1))
    wanted = [min(np.sqrt(((f - o) ** 2).mean()) for o in others) for f in features]
    np.testing.assert_allclose(Neighbours(others).nearest(features), wanted, rtol=1e-4)
    np.testing.assert_allclose(Neighbours(others).nearest(others[3:4]), 0, atol=1e-4)


def test_a_search_leaves_what_it_was_given():
    rng = np.random.default_rng(1)
    features, others = rng.random((2, 3), np.float32), rng.random((4, 3), np.float32)
    before = features.copy(), others.copy()
    known = Neighbours(others)
    first, again = known.nearest(features), known.nearest(features)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(features, before[0])
    np.testing.assert_array_equal(others, before[1])


def test_pooled_spread_is_that_within_sets():
    random = np.random.default_rng(2)
    first, second = random.normal(size=(3, 5)), 100 + 2 * random.normal(size=(2, 5))
    spreads = [Spread.of(first), Spread.of(second), Spread.of(np.ones((1, 5))), Spread()]
    wanted = (2 * 2 * first.var(axis=0, ddof=1) + 2 * second.var(axis=0, ddof=1)).mean() / 3
    assert PooledSpread(spreads).diversity == pytest.approx(np.sqrt(wanted))
    assert PooledSpread(spreads[2:]).diversity is None
