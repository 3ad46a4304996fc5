"""Rates with confidence intervals, diversity of features, and nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..models.blocks import spans

#: 97.5 % point of the normal distribution: intervals hold 95 %.
_POINT = 1.959963984540054
#: Features compared at once: the number of columns of a search's largest array.
_PIECE = 1024


@dataclass(frozen=True)
class Rate:
    """A share of samples with its 95 % interval, by Wilson.

    The interval covers other starts with the same trained models, not other trainings of the
    models.

    Attributes:
        hits, samples: counts; a rate without samples is None, as is its interval.

    References:
        Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927
    """

    hits: int
    samples: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1."""
        return self.hits / self.samples if self.samples else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper end, 0 to 1."""
        if not self.samples:
            return None
        n, share, square = self.samples, self.hits / self.samples, _POINT**2
        middle = (share + square / (2 * n)) / (1 + square / n)
        spread = math.sqrt(share * (1 - share) / n + square / (4 * n * n)) * _POINT
        half = spread / (1 + square / n)
        # Rounding must not move an end out of [0, 1], nor away from an exact 0 or 1.
        low = max(0.0, middle - half) if self.hits else 0.0
        return low, min(1.0, middle + half) if self.hits < n else 1.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.hits + other.hits, self.samples + other.samples)


class Spread:
    """Accumulates the diversity of a set of features.

    Attributes:
        count: features so far.
        total: their sum [shape=(values,), float64].
        squares: sum of their squared lengths.
    """

    def __init__(self, count: int = 0, total: np.ndarray | float = 0.0, squares: float = 0.0):
        self.count, self.total, self.squares = count, total, squares

    @classmethod
    def of(cls, features: np.ndarray) -> Spread:
        """Return the spread of features [shape=(samples, ...)]."""
        flat = np.asarray(features, np.float64).reshape(len(features), -1)
        return cls(len(flat), flat.sum(axis=0), float((flat**2).sum()))

    def __add__(self, other: Spread) -> Spread:
        return Spread(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )

    @property
    def diversity(self) -> float | None:
        """Root mean square difference of two features of the set, per value; None below two."""
        if self.count < 2:
            return None
        variance = (self.squares - (self.total**2).sum() / self.count) / (self.count - 1)
        # For equal features, rounding may give less than 0.
        return math.sqrt(max(0.0, 2 * variance / self.total.size))


class PooledSpread:
    """Pooled diversity within each of several sets of features.

    Differences between the sets do not count, so that one prototype for each set has no diversity.
    """

    def __init__(self, spreads: Iterable[Spread]):
        self._spreads = [spread for spread in spreads if spread.count > 1]

    @property
    def diversity(self) -> float | None:
        """Root mean square difference of two features of one set; None where no set has two."""
        freedom = sum(spread.count - 1 for spread in self._spreads)
        squares = sum((spread.count - 1) * spread.diversity**2 for spread in self._spreads)
        return math.sqrt(squares / freedom) if freedom else None


class Neighbours:
    """A search index of features for many nearest-neighbour queries.

    Args:
        others: features to search [shape=(any, ...)], at least one.
    """

    def __init__(self, others: np.ndarray):
        # Around their mean, where products of large numbers do not cancel.
        self._flat = np.array(others, np.float32).reshape(len(others), -1)
        self._middle = self._flat.mean(axis=0)
        self._flat -= self._middle
        self._squares = np.einsum("ij,ij->i", self._flat, self._flat)

    def nearest(self, features: np.ndarray) -> np.ndarray:
        """Return the root mean square difference of each feature from the nearest of the others.

        Args:
            features: [shape=(samples, ...)].

        Returns:
            float32 [shape=(samples,)].
        """
        x = np.asarray(features, np.float32).reshape(len(features), -1) - self._middle
        best = np.full(len(x), np.inf, np.float32)
        for span in spans(len(self._flat), _PIECE):
            # Twice the product, taken from the squares: what depends on the others alone.
            ahead = self._squares[span] - 2 * x @ self._flat[span].T
            np.minimum(best, ahead.min(axis=1), out=best)
        squares = best + np.einsum("ij,ij->i", x, x)
        return np.sqrt(np.maximum(squares, 0) / x.shape[1]).astype(np.float32)
