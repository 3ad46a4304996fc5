"""Measure how maximization moves latents: numbers that do not depend on a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..models.blocks import spans

#: Random orders that a share of variance is compared with.
PERMUTATIONS = 199
#: Neighbours whose words are compared, and that a map should keep.
NEIGHBOURS = 10
#: Points whose distances to all others are looked at together.
_PIECE = 256


def directions(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the ways from before to after, as unit vectors; zeros where nothing moved.

    Args:
        before, after: latents [shape=(points, values)].
    """
    ways = np.asarray(after, np.float64) - before
    lengths = np.linalg.norm(ways, axis=1, keepdims=True)
    return ways / np.where(lengths > 0, lengths, 1)


def mean_cosine(ways: np.ndarray) -> float | None:
    """Return the mean cosine of two of some unit vectors [shape=(points, values)]; None below two.

    1: all go the same way; 0: they go in all directions.
    """
    count = len(ways)
    if count < 2:
        return None
    # All pairs are in the square of the sum, each of them twice, beside each with itself.
    itself = (ways**2).sum()
    return float(((ways.sum(axis=0) ** 2).sum() - itself) / (count * (count - 1)))


def explained_variance(
    ways: np.ndarray,
    groups: Sequence[str],
    *,
    within: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Return how much of the variance of directions lies between groups.

    Groups explain something by chance alone, small ones much; so the share is compared with those
    of random orders of the groups' names.

    Args:
        ways: [shape=(points, values)].
        groups: the group of each.
        within: other groups whose means are taken away first, and within which names are shuffled:
            what is left says what `groups` explain beyond them.
        seed: of the random orders.

    Returns:
        share (0 to 1), by_chance (its mean over random orders), p (the share of orders, with the
        real one, that explain as much) and groups, the number of them; None where there is nothing
        to compare: fewer than two groups, or none with two points.

    References:
        Anderson, "A new method for non-parametric multivariate analysis of variance", 2001.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    count = group.max(initial=-1) + 1
    if not 1 < count < len(group):
        return None
    outer = np.zeros(len(group), np.int64)
    if within is not None:
        _, outer = np.unique(np.asarray(within), return_inverse=True)
    ways = _centred(np.asarray(ways, np.float64), outer)
    total = (ways**2).sum()
    if not total:
        return None
    generator = np.random.default_rng(seed % 2**64)
    share = _between(ways, group) / total
    chance = [_between(ways, group[_order(outer, generator)]) / total for _ in range(PERMUTATIONS)]
    # Rounding must not make an order differ from itself.
    as_much = sum(other >= share - 1e-12 for other in chance)
    return {
        "share": float(share),
        "by_chance": float(np.mean(chance)),
        "p": (1 + as_much) / (1 + PERMUTATIONS),
        "groups": int(count),
    }


def _sums(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each group [shape=(groups, values)] and its size [shape=(groups, 1)]."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(group))
    member = csr_matrix((ones, (group, np.arange(len(group)))))
    return member @ values, np.bincount(group)[:, None]


def _centred(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    sums, sizes = _sums(values, group)
    return values - (sums / sizes)[group]


def _between(values: np.ndarray, group: np.ndarray) -> float:
    """Return the sum of squares between groups of values whose mean is 0."""
    sums, sizes = _sums(values, group)
    return float((sums**2 / sizes).sum())


def _order(outer: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a random order that leaves everything in its outer group."""
    order = np.empty(len(outer), np.int64)
    places = np.argsort(outer, kind="stable")
    order[places] = np.lexsort((generator.random(len(outer)), outer))
    return order


def nearest_latents(latents: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """Return the nearest neighbours of each point, the nearest first [shape=(points, count)].

    Of fewer points there are fewer neighbours. Ties go to the first.

    Args:
        latents: [shape=(points, values)].
        count: of neighbours.
    """
    latents = np.asarray(latents, np.float64)
    count = min(count, len(latents) - 1)
    found = np.empty((len(latents), count), np.int64)
    for rows, far in _distances(latents):
        # Sorting only what is near is some ten times faster than sorting all.
        limits = np.partition(far, count - 1, axis=1)[:, count - 1]
        for row, distances, limit in zip(rows, far, limits, strict=True):
            near = np.flatnonzero(distances <= limit)
            found[row] = near[np.argsort(distances[near], kind="stable")[:count]]
    return found


def _distances(points: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions of a few points, and their squared distances to all; to itself infinity."""
    squares = (points**2).sum(axis=1)
    for span in spans(len(points), _PIECE):
        rows = np.arange(span.start, span.stop)
        found = squares[span, None] + squares - 2 * points[span] @ points.T
        found[np.arange(len(rows)), rows] = np.inf
        yield rows, found


def label_agreement(neighbours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the share of each point's neighbours that have its label [shape=(points,)]."""
    labels = np.asarray(labels)
    return (labels[neighbours] == labels[:, None]).mean(axis=1)


def trustworthiness(latents: np.ndarray, places: np.ndarray, count: int = NEIGHBOURS) -> float:
    """Return how far neighbours on a map are neighbours indeed: 1 all, about 0.5 by chance.

    Computes the same as scikit-learn's function of that name, in pieces, so that memory does not
    grow with the square of the points.

    Args:
        latents: [shape=(points, values)].
        places: on the map [shape=(points, 2)].
        count: of neighbours, fewer than half the points.

    References:
        Venna and Kaski, "Local multidimensional scaling", 2006.
    """
    latents = np.asarray(latents, np.float64)
    points, near, excess = len(latents), nearest_latents(places, count), 0
    for rows, far in _distances(latents):
        for column in near[rows].T:
            # As many are nearer as the rank says; only ranks beyond the neighbourhood count.
            rank = (far < far[np.arange(len(rows)), column][:, None]).sum(axis=1) + 1
            excess += int(np.maximum(rank - count, 0).sum())
    return 1 - excess * 2 / (points * count * (2 * points - 3 * count - 1))


def measure_movement(
    before: np.ndarray,
    after: np.ndarray,
    distance: np.ndarray,
    words: Sequence[str],
    speakers: Sequence[str],
    wrong: np.ndarray,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all numbers of a movement, with an explanation of each.

    Args:
        before, after: latents [shape=(points, values)].
        distance: how far each moved [shape=(points,)].
        words, speakers: of each point.
        wrong: mask of the misclassified ones [shape=(points,), bool].
        seed: of random orders.
    """
    ways = directions(before, after)
    masks = {"all": np.ones(len(wrong), bool), "misclassified": wrong, "correct": ~wrong}
    words, speakers = np.asarray(words), np.asarray(speakers)
    found: dict[str, Any] = {"explanation": _EXPLANATION}
    found["distance"] = {name: _spread(distance[mask]) for name, mask in masks.items()}
    found["cosine"] = {name: mean_cosine(ways[mask]) for name, mask in masks.items()}
    found["cosine"] |= {"same_word": _same_word(ways, words)}
    for name, mask in masks.items():
        mine, said, by = ways[mask], words[mask].tolist(), speakers[mask].tolist()
        found[f"direction_{name}"] = {
            "word": explained_variance(mine, said, seed=seed),
            "speaker": explained_variance(mine, by, seed=seed),
            "speaker_within_word": explained_variance(mine, by, within=said, seed=seed),
        }
    found["neighbours"] = _neighbourhoods(before, after, words, speakers, masks)
    return found


def _spread(distances: np.ndarray) -> dict[str, float] | None:
    if not len(distances):
        return None
    ends = {"mean": distances.mean(), "median": np.median(distances), "largest": distances.max()}
    return {name: float(value) for name, value in ends.items()}


def _same_word(ways: np.ndarray, words: np.ndarray) -> float | None:
    """Return the mean over words of the cosine of two ways to the same word."""
    found = [mean_cosine(ways[words == word]) for word in np.unique(words)]
    found = [value for value in found if value is not None]
    return float(np.mean(found)) if found else None


def _neighbourhoods(
    before: np.ndarray,
    after: np.ndarray,
    words: np.ndarray,
    speakers: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Return the mean shares of neighbours of one word or speaker, before and after."""
    if len(words) < 2:
        return {}
    found: dict[str, Any] = {"count": min(NEIGHBOURS, len(words) - 1)}
    for when, latents in (("before", before), ("after", after)):
        near = nearest_latents(latents)
        for name, labels in (("word", words), ("speaker", speakers)):
            shares = label_agreement(near, labels)
            found[f"{name}_{when}"] = {
                group: float(shares[mask].mean()) if mask.any() else None
                for group, mask in masks.items()
            }
    return found


_EXPLANATION = {
    "distance": "Euclidean length of the way in the prior's latent space",
    "cosine": "mean cosine between the directions of two ways: 1 the same, 0 unrelated",
    "direction": (
        "share of the variance of directions between words, between speakers, and between speakers "
        "once the words' means are taken away; by_chance: the mean share when names are shuffled; "
        f"p: the share of {PERMUTATIONS + 1} orders, with the real one, that explain as much"
    ),
    "neighbours": (
        "mean share of a point's nearest neighbours in the latent space that are of its word, or "
        "by its speaker, among originals and among maximized ones"
    ),
}
