"""Confidence intervals, tests and agreement for scores that raters gave to recordings.

Scores are tables of raters by recordings, NaN where a rater did not judge a recording. Both raters
and recordings are samples: another listening test would have had others. So intervals resample
both, with replacement ("pigeonhole bootstrap").

References:
    Owen, "The pigeonhole bootstrap", 2007.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Interval = tuple[float, float]
#: Pairs up to which the signed-rank test counts all choices of signs.
_EXACT = 50


def _draw(size: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return how often each of `size` things is drawn with replacement [shape=(count, size)]."""
    return generator.multinomial(size, np.full(size, 1 / size), count).astype(np.float64)


def _ends(values: np.ndarray) -> Interval | None:
    """Return the central interval that holds 95 % of the resampled values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def mean_interval(
    scores: np.ndarray, generator: np.random.Generator, resamples: int
) -> Interval | None:
    """Return the 95 % interval of the mean of all scores; None for fewer than two scores.

    Args:
        scores: [shape=(raters, recordings)], NaN where there is none.
        generator: source of random numbers.
        resamples: number of bootstrap resamples.
    """
    there = np.isfinite(scores)
    if there.sum() < 2:
        return None
    raters = _draw(scores.shape[0], resamples, generator)
    items = _draw(scores.shape[1], resamples, generator)
    sums = ((raters @ np.where(there, scores, 0)) * items).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return _ends(sums / ((raters @ there) * items).sum(axis=1))


def difference_interval(
    a: tuple[np.ndarray, np.ndarray],
    b: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
    resamples: int,
) -> Interval | None:
    """Return the 95 % interval of the mean difference of two conditions over words.

    Raters and words are resampled, the same ones for both conditions.

    Args:
        a, b: sums and counts of scores by rater and word [shape=(raters, words)], of the same
            raters and words.
        generator: source of random numbers.
        resamples: number of bootstrap resamples.
    """
    raters = _draw(a[0].shape[0], resamples, generator)
    words = _draw(a[0].shape[1], resamples, generator)
    with np.errstate(invalid="ignore"):
        difference = (raters @ a[0]) / (raters @ a[1]) - (raters @ b[0]) / (raters @ b[1])
    there = np.isfinite(difference)
    counted = np.where(there, difference, 0) * words
    with np.errstate(invalid="ignore"):
        return _ends(counted.sum(axis=1) / (there * words).sum(axis=1))


def signed_rank(differences: Sequence[float]) -> dict[str, Any] | None:
    """Test with Wilcoxon's signed-rank test whether paired differences are centred at 0.

    Returns:
        pairs, positive and negative (numbers of differences; the rest are 0), statistic (the
        smaller sum of ranks), p (two-sided; 1 where all are 0) and effect (matched-pairs
        rank-biserial correlation, -1 to 1: the share of the ranks' sum that is positive minus the
        share that is negative; 0 where all are 0). None without a pair.

    References:
        Wilcoxon, "Individual comparisons by ranking methods", 1945. Kerby, "The simple difference
        formula", 2014.
    """
    # scipy.stats takes long to import.
    from scipy.stats import rankdata, wilcoxon

    # Means of the same ratings in another order differ in their last bits.
    d = np.round(np.asarray(differences, np.float64), 9)
    if not len(d):
        return None
    found = {"pairs": len(d), "positive": int((d > 0).sum()), "negative": int((d < 0).sum())}
    d = d[d != 0]
    if not len(d):
        return found | {"statistic": 0.0, "p": 1.0, "effect": 0.0}
    ranks = rankdata(np.abs(d))
    up, down = float(ranks[d > 0].sum()), float(ranks[d < 0].sum())
    p = _exact_p(ranks, min(up, down)) if len(d) <= _EXACT else float(wilcoxon(d).pvalue)
    return found | {"statistic": min(up, down), "p": p, "effect": (up - down) / (up + down)}


def _exact_p(ranks: np.ndarray, smaller: float) -> float:
    """Return the two-sided share of all choices of signs with so small a sum of ranks.

    Equal differences share their ranks, which neither tables of the test nor SciPy's exact method
    allow for.
    """
    twice = np.round(2 * ranks).astype(int)
    ways = np.zeros(twice.sum() + 1)
    ways[0] = 1
    for rank in twice:
        ways[rank:] += ways[:-rank].copy()
    return float(min(1.0, 2 * ways[: round(2 * smaller) + 1].sum() / ways.sum()))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple tests.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted, last = [0.0] * len(p), 0.0
    for place, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        last = max(last, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = last
    return adjusted


def coincidences(scores: np.ndarray, values: Sequence[float]) -> np.ndarray:
    """Count pairs of scores of each recording [shape=(recordings, values, values)].

    A recording with at least two scores has as much weight as it has scores; others have none.

    Args:
        scores: [shape=(raters, recordings)], NaN where there is none.
        values: possible scores, ascending.
    """
    counts = np.stack([(scores == value).sum(axis=0) for value in values], axis=1).astype(float)
    given = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs -= counts[:, :, None] * np.eye(len(values))
    usable = given > 1
    return np.where(usable[:, None, None], pairs / np.where(usable, given - 1, 1)[:, None, None], 0)


def ordinal_alpha(pairs: np.ndarray) -> np.ndarray:
    """Return Krippendorff's alpha for ordinal values: 1 agreement, 0 chance.

    NaN where it is undefined: no pairs, or all scores the same.

    Args:
        pairs: coincidences [shape=(..., values, values)].

    References:
        Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.
    """
    totals = pairs.sum(axis=-1)
    n = totals.sum(axis=-1)
    up_to = totals.cumsum(axis=-1)
    # Between the mean ranks of two values: all ranks between them, and half of each.
    middle = up_to - totals / 2
    distance = (middle[..., :, None] - middle[..., None, :]) ** 2
    observed = (pairs * distance).sum(axis=(-2, -1))
    expected = (totals[..., :, None] * totals[..., None, :] * distance).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)


def agreement(
    scores: np.ndarray, values: Sequence[float], generator: np.random.Generator, resamples: int
) -> dict[str, Any] | None:
    """Return ordinal alpha with its 95 % interval over resampled recordings.

    Returns:
        alpha, low, high, recordings (those with at least two scores); None if alpha is undefined.
    """
    pairs = coincidences(scores, values)
    alpha = float(ordinal_alpha(pairs.sum(axis=0)))
    if not np.isfinite(alpha):
        return None
    drawn = _draw(len(pairs), resamples, generator)
    low, high = _ends(ordinal_alpha(np.tensordot(drawn, pairs, 1))) or (None, None)
    rated = int((pairs.sum(axis=(1, 2)) > 0).sum())
    return {"alpha": alpha, "low": low, "high": high, "recordings": rated}


def spearman(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return rank correlations, within groups if these are given; NaN for a constant.

    Args:
        x, y: [shape=(recordings,)].
        groups: number of each recording's group, from 0; each group's mean rank is subtracted.
        weights: how often each sample has each recording [shape=(samples, recordings)]; by default
            one sample with each recording once.

    Returns:
        [shape=(samples,)].
    """
    if weights is None:
        weights = np.ones((1, len(x)))
    if groups is None:
        groups = np.zeros(len(x), np.int64)
    member = np.eye(groups.max(initial=0) + 1)[groups]
    x, y = (_centred(_ranks(values, weights), weights, member) for values in (x, y))
    squares = (weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1)
    # Rounding errors must not make a constant look as if it varied.
    constant = squares < 1e-9
    product = (weights * x * y).sum(axis=1)
    return np.where(constant, np.nan, product / np.sqrt(np.where(constant, 1, squares)))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return mean ranks of equal values, up to a constant [shape=weights.shape]."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    alike = np.add.reduceat(weights[:, np.argsort(place, kind="stable")], starts, axis=1)
    return (alike.cumsum(axis=1) - alike / 2)[:, place]


def _centred(ranks: np.ndarray, weights: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Subtract each group's mean [shape=(samples, recordings)]."""
    sizes = weights @ member
    means = (weights * ranks) @ member / np.where(sizes > 0, sizes, 1)
    return ranks - means @ member.T


def spearman_interval(
    x: np.ndarray,
    y: np.ndarray,
    clusters: np.ndarray,
    generator: np.random.Generator,
    resamples: int,
    groups: np.ndarray | None = None,
) -> Interval | None:
    """Return the 95 % interval of `spearman` over resampled clusters of recordings.

    Args:
        x, y: [shape=(recordings,)].
        clusters: number of each recording's cluster, from 0: its word.
        generator: source of random numbers.
        resamples: number of bootstrap resamples.
        groups: see `spearman`.
    """
    count = clusters.max(initial=-1) + 1
    if count < 2:
        return None
    return _ends(spearman(x, y, groups, _draw(count, resamples, generator)[:, clusters]))


def split_half(
    scores: np.ndarray,
    generator: np.random.Generator,
    splits: int,
    groups: np.ndarray | None = None,
) -> float | None:
    """Return the split-half reliability of mean scores, or None where it is undefined.

    That is how mean scores would correlate with those of as many other raters like these: the rank
    correlation of the means of two random halves of the raters, averaged over splits and stepped up
    from half of the raters to all.

    Args:
        scores: [shape=(raters, recordings)], NaN where there is none.
        generator: source of random numbers.
        splits: number of splits to average over.
        groups: groups of recordings, see `spearman`.

    References:
        Spearman, "Correlation calculated from faulty data", 1910. Brown, "Some experimental results
        in the correlation of mental abilities", 1910.
    """
    count = len(scores)
    there = np.isfinite(scores)
    found = []
    for _ in range(splits if count > 1 else 0):
        first = generator.permutation(count) < count // 2
        sums = [np.where(there[half], scores[half], 0).sum(axis=0) for half in (first, ~first)]
        counts = [there[half].sum(axis=0) for half in (first, ~first)]
        both = (counts[0] > 0) & (counts[1] > 0)
        if both.sum() > 2:
            a, b = (s[both] / n[both] for s, n in zip(sums, counts, strict=True))
            found.append(float(spearman(a, b, None if groups is None else groups[both])[0]))
    found = [value for value in found if np.isfinite(value)]
    if not found or (mean := float(np.mean(found))) <= 0:
        return None if not found else 0.0
    return 2 * mean / (1 + mean)
