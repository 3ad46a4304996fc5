"""Intervals, tests and agreement: values worked out by hand, and behaviour on simulated raters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulated_study import KINDS, Spread, judged

from keras_listen.listening_test.analyse.contrasts import compare_conditions
from keras_listen.listening_test.analyse.mean_opinion import Draws, conditions
from keras_listen.listening_test.analyse.statistics import (
    agreement,
    coincidences,
    difference_interval,
    holm,
    mean_interval,
    ordinal_alpha,
    signed_rank,
    spearman,
    spearman_interval,
    split_half,
)

NONE = np.nan


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_alpha_of_the_example_that_its_author_published():
    scores = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
            [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
        ]
    )
    pairs = coincidences(scores, (1, 2, 3, 4, 5)).sum(axis=0)
    # The published matrix: 40 values that can be paired, and 0.815.
    assert pairs.sum() == pytest.approx(40)
    assert pairs[0].tolist() == pytest.approx([7, 4 / 3, 1 / 3, 1 / 3, 0])
    assert ordinal_alpha(pairs) == pytest.approx(0.815, abs=5e-4)
    found = agreement(scores, (1, 2, 3, 4, 5), draws(), 500)
    assert found["recordings"] == 11  # the last was judged once
    assert found["low"] < 0.815 < found["high"] <= 1


def test_alpha_by_hand():
    # Pairs: 1-1 twice, 1-2 and 2-1 once. Ranks of 1 and 2 lie 3/2 + 1/2 = 2 apart.
    # Observed 2 * 4, expected 2 * 3 * 1 * 4: alpha = 1 - 3 * 8 / 24.
    assert ordinal_alpha(
        coincidences(np.array([[1, 1], [1, 2]]), (1, 2)).sum(axis=0)
    ) == pytest.approx(0)
    assert agreement(np.array([[1, 4], [1, 4.0]]), (1, 2, 3, 4), draws(), 50)["alpha"] == 1


@pytest.mark.parametrize(
    "scores", [[[3.0, 4, 5]], [[2.0, 2], [2, 2]]], ids=["one rater", "all same"]
)
def test_agreement_that_is_undefined(scores):
    assert agreement(np.array(scores), (1, 2, 3, 4, 5), draws(), 50) is None


def test_signed_rank_by_hand():
    # Ranks 1 to 4 are positive, 5 is negative. Of 32 signs, 10 have a sum of at most 5.
    found = signed_rank([1, 2, 3, 4, -5])
    assert found["statistic"] == 5
    assert found["p"] == pytest.approx(20 / 32)
    assert found["effect"] == pytest.approx((10 - 5) / 15)
    assert (found["pairs"], found["positive"], found["negative"]) == (5, 4, 1)


def test_signed_rank_leaves_out_what_is_equal():
    found = signed_rank([0, 0.1 + 0.2 - 0.3, 2])
    assert (found["pairs"], found["positive"], found["p"]) == (3, 1, 1)
    assert signed_rank([0, 0]) == {
        **{"pairs": 2, "positive": 0, "negative": 0},
        **{"statistic": 0, "p": 1, "effect": 0},
    }
    assert signed_rank([]) is None


def test_signed_rank_with_ties_counts_their_shared_ranks():
    # Ranks 2, 2, 2, 4.5, 4.5, 6; down 2. Of 64 signs a sum of at most 2 have: none, one of three.
    found = signed_rank([1, 1, -1, 3, 3, 4])
    assert found["statistic"] == 2
    assert found["p"] == pytest.approx(2 * 4 / 64)


def test_signed_rank_agrees_with_scipy_where_it_is_exact_and_where_it_is_not():
    for count in (12, 35, 60):
        d = draws(count).normal(0.3, 1, count)
        method = "exact" if count <= 50 else "approx"
        assert signed_rank(d)["p"] == pytest.approx(
            stats.wilcoxon(d, method=method).pvalue, rel=1e-6
        )


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []


def test_spearman_by_hand():
    x, y = np.array([1, 2, 3, 4, 5]), np.array([2, 1, 4, 3, 5])
    # Squared differences of ranks add up to 4: 1 - 6 * 4 / (5 * 24).
    assert spearman(x, y)[0] == pytest.approx(0.8)
    assert np.isnan(spearman(x, np.full(5, 2))[0])


def test_spearman_within_groups_is_not_that_over_all():
    x, y = np.array([1, 2, 10, 11]), np.array([11, 12, 1, 2])
    assert spearman(x, y)[0] == pytest.approx(-0.6)
    assert spearman(x, y, np.array([0, 0, 1, 1]))[0] == pytest.approx(1)


def test_spearman_of_weights_is_that_of_copies():
    generator = draws(3)
    x, y = generator.integers(0, 6, 30), generator.normal(size=30)
    weights = generator.integers(0, 4, (5, 30))
    for weight, found in zip(weights, spearman(x, y, weights=weights), strict=True):
        expected = stats.spearmanr(np.repeat(x, weight), np.repeat(y, weight)).statistic
        assert found == pytest.approx(expected)


def test_spearman_interval_is_over_clusters():
    generator = draws(5)
    # 20 recordings of each of 6 words that are alike but for their word: six cases, not 120.
    word = np.repeat(np.arange(6), 20)
    x, y = generator.normal(size=6)[word], generator.normal(size=6)[word]
    by_word = spearman_interval(x, y, word, draws(), 400)
    by_recording = spearman_interval(x, y, np.arange(120), draws(), 400)
    assert by_word[1] - by_word[0] > 2 * (by_recording[1] - by_recording[0])
    assert spearman_interval(x, y, np.zeros(120, int), draws(), 10) is None


def test_halves_of_raters_step_up_to_all():
    # Two raters are two halves: r = 0.8 by hand, above; stepped up 1.6 / 1.8.
    two = np.array([[1.0, 2, 3, 4, 5], [2, 1, 4, 3, 5]])
    assert split_half(two, draws(), 3) == pytest.approx(1.6 / 1.8)
    assert split_half(two, draws(), 3, np.array([0, 0, 1, 1, 1])) < 0.8
    assert split_half(two[:1], draws(), 3) is None
    assert split_half(np.array([[1.0, 2, 3], [3, 2, 1]]), draws(), 3) == 0


def test_halves_of_raters_tell_what_other_raters_would_say():
    # Of 10 raters with as much chance as truth, means correlate with those of 10 others by 10/11.
    truth = draws(1).normal(size=400)
    scores = truth + draws(2).normal(size=(20, 400))
    expected = spearman(scores[:10].mean(axis=0), scores[10:].mean(axis=0))[0]
    assert split_half(scores[:10], draws(3), 50) == pytest.approx(expected, abs=0.03)
    assert expected == pytest.approx(10 / 11, abs=0.03)


def test_mean_interval():
    assert mean_interval(np.array([[4.0]]), draws(), 100) is None
    assert mean_interval(np.full((3, 4), 2.0), draws(), 100) == (2, 2)
    # Two raters who differ by 2 everywhere: whoever is drawn twice decides.
    low, high = mean_interval(np.array([[2.0] * 50, [4.0] * 50]), draws(), 400)
    assert (low, high) == (2, 4)
    # One who judged little is no half of the mean.
    scores = np.array([[1.0] * 9, [5.0] + [NONE] * 8])
    assert mean_interval(scores, draws(), 400)[1] <= 5


def test_difference_interval_draws_the_same_raters_for_both():
    # One rater is stricter by 2 in both conditions: that adds nothing to their difference.
    strict = np.array([[1.0, 1, 1], [3, 3, 3]])
    ones = np.ones((2, 3))
    low, high = difference_interval((strict + 1, ones), (strict, ones), draws(), 200)
    assert (low, high) == pytest.approx((1, 1))


SMALL = {"words": [f"w{i:02d}" for i in range(16)], "takes": 1, "raters": 8}


def test_a_known_effect_is_found():
    # In the middle of the scale nothing is cut off, so the difference is that of the qualities.
    quality = {(1, "generated"): 2.5, (3, "generated"): 3.5}
    settings = {"quality": quality, "raters": 10, "spread": Spread(0.3, 0.3, 0.2, 0.1, 0.4)}
    judgements = judged(4, **settings)
    (found,) = compare_conditions(judgements, Draws(0, 500))
    assert (found["condition"], found["against"]) == (KINDS[3][2], KINDS[0][2])
    assert found["low"] < 1 < found["high"]
    assert found["high"] - found["low"] < 0.5
    assert found["by_word"]["p_adjusted"] < 1e-4
    assert found["by_rater"]["p_adjusted"] == pytest.approx(2 / 2**10)  # all ten one way
    assert found["by_word"]["effect"] > 0.9
    for row, mean in zip(conditions(judgements, Draws(0, 500)), (2.5, 3.5), strict=True):
        assert row["low"] < mean < row["high"]


def test_without_an_effect_none_is_found():
    quality = {(1, "generated"): 3.0, (3, "generated"): 3.0}
    studies = [judged(seed, quality=quality, **SMALL) for seed in range(80)]
    found = [compare_conditions(j, Draws(seed, 200))[0] for seed, j in enumerate(studies)]
    p = np.array([row["by_word"]["p"] for row in found])
    assert (p < 0.05).mean() <= 0.12  # of 80, more than 9 below 0.05 are rarer than 1 in 100
    assert stats.kstest(p, "uniform").pvalue > 0.01
    covered = np.mean([row["low"] <= 0 <= row["high"] for row in found])
    assert covered >= 0.88


def wrongly_found(spread: Spread, **settings) -> dict[str, float]:
    """Return how often each way finds a difference where no prior is better."""
    quality = {(1, "generated"): 3.0, (3, "generated"): 3.0}
    settings = SMALL | {"quality": quality, "spread": spread} | settings
    studies = [judged(seed, **settings) for seed in range(60)]
    found = [compare_conditions(j, Draws(seed, 200))[0] for seed, j in enumerate(studies)]
    shares = {by: np.mean([row[by]["p"] < 0.05 for row in found]) for by in ("by_word", "by_rater")}
    return shares | {"interval": np.mean([not row["low"] <= 0 <= row["high"] for row in found])}


def test_raters_who_differ_in_their_liking_fool_the_test_over_words_alone():
    found = wrongly_found(Spread(0.2, 0.2, 0.2, 0.8, 0.4))
    assert found["by_word"] > 0.3
    assert found["by_rater"] <= 0.12
    assert found["interval"] <= 0.2  # of eight raters it is somewhat too narrow


def test_recordings_that_differ_fool_the_test_over_raters_alone():
    found = wrongly_found(Spread(0.2, 0.8, 0.2, 0.0, 0.4), raters=12)
    assert found["by_rater"] > 0.3
    assert found["by_word"] <= 0.12
    assert found["interval"] <= 0.12


def test_intervals_of_means_cover_what_they_should():
    quality = {(1, "generated"): 3.0}
    held = []
    for seed in range(80):
        (row,) = conditions(judged(seed, quality=quality, **SMALL), Draws(seed, 200))
        held.append(row["low"] <= 3 <= row["high"])
    assert np.mean(held) >= 0.85
