"""Seeds of single samples, so that a sample does not depend on which others are computed."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(run_seed: int, word: str, k: int) -> np.ndarray:
    """Return the seed of sample `k` of `word` in a run [shape=(2,), uint32]."""
    digest = hashlib.sha256(f"{run_seed}/{word}/{k}".encode()).digest()
    return np.frombuffer(digest[:8], "<u4").astype(np.uint32)


def generator(seed: np.ndarray) -> np.random.Generator:
    """Return the random generator of a sample, given its row of seeds [shape=(2,)]."""
    return np.random.Generator(np.random.Philox(np.asarray(seed, np.uint32).tolist()))


def normal(seeds: np.ndarray, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Draw normal noise for each row of `seeds`.

    Args:
        seeds: [shape=(batch, 2), uint32].
        shape: of each sample's noise.
        deviation: standard deviation.

    Returns:
        float32 [shape=(batch, *shape)].
    """
    draws = [generator(seed).normal(0.0, deviation, shape) for seed in seeds]
    return np.asarray(draws, np.float32)
