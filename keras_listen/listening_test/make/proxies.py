"""Objective measures: level and spectrum of a sound, Fréchet distance to real speech.

Distances are between activations of a referee's penultimate layer. One sound is compared with the
real utterances of its word, a set of sounds with as many real utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...features import FeatureSpec

#: Upper end of the speech band in Hz; telephones end there.
SPEECH_BAND = 4000.0
#: Frames of a level and the distance between them, in seconds. The 0.4 s of ITU-R BS.1770, as in
#: pyloudnorm, are too long for words.
_FRAME, _HOP = 0.05, 0.005
#: The gates of ITU-R BS.1770: the least power that counts, and the least share of the mean power,
#: 10 dB less. The first is 60 dB below the peak instead of 70 below full scale, so that a louder
#: sound has a level that is as much louder.
_ABSOLUTE, _RELATIVE = 1e-6, 0.1
#: Number of random draws of real utterances, for the distance between two sets of real ones.
DRAWS = 8


def active_level(y: np.ndarray, sample_rate: int) -> float:
    """Return the root mean square level of the active parts of a sound, without pauses.

    Silence before and after it changes nothing.

    Args:
        y: samples [shape=(samples,)].
        sample_rate: in Hz.

    References:
        ITU-R BS.1770-5, "Algorithms to measure audio programme loudness", 2023: its gates.
    """
    import librosa

    # Frames begin with the sound itself, or they would cut it differently behind silence.
    least = _ABSOLUTE * np.abs(y).max() ** 2
    loud = np.flatnonzero(np.square(y) >= least)
    y = y[loud[0] : loud[-1] + 1]
    length = min(len(y), round(_FRAME * sample_rate))
    hop = max(1, round(_HOP * sample_rate))
    power = librosa.feature.rms(y=y, frame_length=length, hop_length=hop, center=False)[0] ** 2
    power = power[power >= min(least, power.max())]
    return float(np.sqrt(power[power >= _RELATIVE * power.mean()].mean()))


def spectral_flatness(y: np.ndarray, spec: FeatureSpec) -> float:
    """Return the spectral flatness within the band of the features, 0 (tonal) to 1 (noise).

    That is the geometric over the arithmetic mean of a frame's power spectrum, averaged over frames
    by their energy: near 0 for tones, exp(-0.577) = 0.561 for white noise. NaN for silence.

    Args:
        y: samples at the spec's rate [shape=(samples,)].
    """
    import librosa

    power, frequencies = _spectrum(y, spec)
    band = power[(frequencies >= spec.fmin) & (frequencies <= spec.fmax)]
    return _average(librosa.feature.spectral_flatness(S=band, power=1.0)[0], band.sum(axis=0))


def speech_band_share(y: np.ndarray, spec: FeatureSpec) -> float:
    """Return the share of a sound's energy between the spec's fmin and 4000 Hz; NaN for silence.

    Args:
        y: samples at the spec's rate [shape=(samples,)].
    """
    power, frequencies = _spectrum(y, spec)
    inside = (frequencies >= spec.fmin) & (frequencies <= SPEECH_BAND)
    return _average(inside.astype(float), power.sum(axis=1))


def _spectrum(y: np.ndarray, spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return powers [shape=(frequencies, frames)] and frequencies in Hz."""
    import librosa

    power = np.abs(librosa.stft(y, n_fft=spec.n_fft, hop_length=spec.hop_length)) ** 2
    return power, librosa.fft_frequencies(sr=spec.sample_rate, n_fft=spec.n_fft)


def _average(values: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(values, weights=weights)) if weights.any() else float("nan")


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared Fréchet distance of the normal distributions of two sets.

    It grows with smaller sets, whatever they are of: compare only distances of sets of one size.

    Args:
        x, y: [shape=(any, units)], at least two each.

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017,
        https://arxiv.org/abs/1706.08500
        Chong and Forsyth, "Effectively Unbiased FID and Inception Score", CVPR 2020, on its bias.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    middle = x.mean(axis=0) - y.mean(axis=0)
    first, second = _root(x), _root(y)
    # The trace of the root of the covariances' product; exact for fewer sounds than units, too.
    shared = np.linalg.norm(first.T @ second, "nuc")
    return float(middle @ middle + (first**2).sum() + (second**2).sum() - 2 * shared)


def _root(x: np.ndarray) -> np.ndarray:
    """Return r [shape=(units, units)] with r @ r.T the covariance of a set."""
    values, vectors = np.linalg.eigh(np.cov(x.T, ddof=1).reshape(x.shape[1], -1))
    return vectors * np.sqrt(np.maximum(values, 0))


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the cubic kernel of each pair [shape=(x's, y's)]."""
    from sklearn.metrics.pairwise import polynomial_kernel

    return polynomial_kernel(np.asarray(x, np.float64), np.asarray(y, np.float64))


def _within(products: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean product of two different chosen elements (1 if chosen, else 0)."""
    count = chosen.sum()
    alike = chosen @ products.diagonal()
    return (chosen @ products @ chosen - alike) / (count * (count - 1))


@dataclass(frozen=True, eq=False)
class Reference:
    """Activations of real utterances in a network.

    Attributes:
        activations: [shape=(utterances, units)].
        words: of each.
    """

    activations: np.ndarray
    words: Sequence[str]

    @cached_property
    def _places(self) -> dict[str, np.ndarray]:
        words = np.array(self.words)
        return {str(word): np.flatnonzero(words == word) for word in np.unique(words)}

    @cached_property
    def _spread(self) -> Any:
        """Covariance of the utterances around the mean of their word; None where none has two."""
        from sklearn.covariance import LedoitWolf

        around = [
            self.activations[places] - self.activations[places].mean(axis=0)
            for places in self._places.values()
            if len(places) > 1
        ]
        if not around or not np.concatenate(around).any():
            return None
        return LedoitWolf(assume_centered=True).fit(np.concatenate(around).astype(np.float64))

    def distances(self, activations: np.ndarray, words: Sequence[str]) -> np.ndarray:
        """Return Mahalanobis distances of sounds from the mean real utterance of their words.

        The covariance is that within words, the same for all, estimated by Ledoit and Wolf. NaN
        where there is no real one.

        References:
            Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", 2018
        """
        found = np.full(len(words), np.nan)
        for i, word in enumerate(words):
            if self._spread is not None and word in self._places:
                middle = self.activations[self._places[word]].mean(axis=0)
                away = np.asarray(activations[i] - middle, np.float64)
                found[i] = np.sqrt(self._spread.mahalanobis(away[None])[0])
        return found

    def compare(
        self, activations: np.ndarray, words: Sequence[str], generator: np.random.Generator
    ) -> dict[str, float]:
        """Return distances of a set of sounds from real ones, and those of as many real ones.

        Real utterances of the same words are drawn and set against those that are left; so are the
        sounds. Both are means over draws, NaN where there are too few utterances.

        Returns:
            frechet and frechet_floor, kernel and kernel_floor.
        """
        names = ("frechet", "frechet_floor", "kernel", "kernel_floor")
        draws = [self._draw(words, generator) for _ in range(DRAWS)]
        if any(drawn is None for drawn in draws) or not self.activations.shape[1]:
            return dict.fromkeys(names, float("nan"))
        sounds = np.ones(len(activations))
        among = _within(_products(activations, activations), sounds)
        across = sounds @ _products(activations, self.activations) / len(sounds)
        found = []
        for drawn in draws:
            left, real = self.activations[~drawn], self.activations[drawn]
            far = [frechet_distance(x, left) for x in (activations, real)]
            found.append([*far, *self._kernels(drawn, among, across)])
        return dict(zip(names, map(float, np.mean(found, axis=0)), strict=True))

    def _kernels(self, drawn: np.ndarray, among: float, across: np.ndarray) -> tuple[float, float]:
        """Return kernel distances of sounds, and of drawn utterances, from the remaining ones.

        They are squared, by a cubic kernel, and unbiased for any size: about 0, and below it as
        often as above, for two sets of one kind.

        Args:
            drawn: [shape=(utterances,), bool].
            among: mean product of two sounds.
            across: mean product of each utterance with the sounds [shape=(utterances,)].

        References:
            Binkowski et al., "Demystifying MMD GANs", 2018, https://arxiv.org/abs/1801.01401
        """
        products, drawn, left = self._own_products, drawn.astype(float), (~drawn).astype(float)
        rest = _within(products, left)
        sounds = among + rest - 2 * (across @ left) / left.sum()
        between = drawn @ products @ left / (drawn.sum() * left.sum())
        return sounds, _within(products, drawn) + rest - 2 * between

    @cached_property
    def _own_products(self) -> np.ndarray:
        return _products(self.activations, self.activations)

    def _draw(self, words: Sequence[str], generator: np.random.Generator) -> np.ndarray | None:
        """Draw as many real utterances of each word [shape=(utterances,), bool].

        None where too few of them, or of the sounds, would be left to compare.
        """
        drawn = np.zeros(len(self.words), bool)
        for word in sorted(set(words)):
            places, wanted = self._places.get(word, ()), list(words).count(word)
            if len(places) < 2 * wanted:
                return None
            drawn[generator.choice(places, wanted, replace=False)] = True
        return drawn if len(words) > 1 else None
