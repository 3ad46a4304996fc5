"""Augment features on the fly, without recomputing them from sound.

Features can be shifted and stretched in time, warped along the mel axis (as by another vocal
tract), made louder or softer, mixed with the corpus's background recordings, and masked in a strip
of frames and of bands.

References:
    Park et al., "SpecAugment", Interspeech 2019, https://arxiv.org/abs/1904.08779
    Jaitly and Hinton, "Vocal Tract Length Perturbation", ICML workshop 2013
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features import FeatureSpec


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the changes to features.

    Attributes:
        shift: largest shift in time, in frames either way.
        stretch: largest relative change of speed.
        warp: largest relative change along the mel axis.
        gain_db: largest change of level, in dB either way.
        noise_db: range of the level of background noise against its own full level, in dB.
        noise_share: share of the utterances that noise is mixed into.
        mask_frames, mask_mels: longest masked strip, in frames and in bands.
        whole_frames: shift by whole frames, so that features stay as sharp as they are.
    """

    shift: int = 12
    stretch: float = 0.0
    warp: float = 0.0
    gain_db: float = 6.0
    noise_db: tuple[float, float] = (-60.0, -20.0)
    noise_share: float = 0.7
    mask_frames: int = 0
    mask_mels: int = 10
    whole_frames: bool = False

    def apply(
        self,
        features: np.ndarray,
        spec: FeatureSpec,
        noise: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Return changed copies of `features` [shape=(batch, frames, mels), in [0, 1]].

        Args:
            features: as in a store.
            spec: of the features and of the noise.
            noise: background features [shape=(any, mels)]; with fewer rows than frames, none is
                mixed in.
            generator: source of all draws.
        """
        features = self._warp(features, generator)
        features = self._gain(features, spec, generator)
        if len(noise) >= features.shape[1]:
            features = self._mix(features, spec, noise, generator)
        return self._mask(features, generator).astype(np.float32)

    def _warp(self, features: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        batch, frames, mels = features.shape
        shift = generator.uniform(-self.shift, self.shift, (batch, 1))
        if self.whole_frames:
            shift = np.round(shift)
        speed = 1 + generator.uniform(-self.stretch, self.stretch, (batch, 1))
        tract = 1 + generator.uniform(-self.warp, self.warp, (batch, 1))
        middle = (frames - 1) / 2
        where = (np.arange(frames) - middle - shift) * speed + middle
        features = interpolate(features, where, axis=1)
        return interpolate(features, np.minimum(np.arange(mels) * tract, mels - 1), axis=2)

    def _gain(
        self, features: np.ndarray, spec: FeatureSpec, generator: np.random.Generator
    ) -> np.ndarray:
        gain = generator.uniform(-self.gain_db, self.gain_db, (len(features), 1, 1)).astype(
            np.float32
        )
        # Values on the floor stay there: they are padding or inaudible.
        return np.where(features > 0, np.clip(features - gain / np.float32(spec.floor_db), 0, 1), 0)

    def _mix(
        self,
        features: np.ndarray,
        spec: FeatureSpec,
        noise: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        batch, frames, _ = features.shape
        starts = generator.integers(0, len(noise) - frames + 1, batch)
        level = 10 ** (generator.uniform(*self.noise_db, batch) / 10)
        level *= generator.uniform(size=batch) < self.noise_share
        chosen = np.flatnonzero(level)
        if not chosen.size:
            return features
        added = np.stack([noise[start : start + frames] for start in starts[chosen]])
        features = features.copy()
        features[chosen] = add_sounds(features[chosen], added, level[chosen, None, None], spec)
        return features

    def _mask(self, features: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        for axis, longest in ((1, self.mask_frames), (2, self.mask_mels)):
            size = features.shape[axis]
            lengths = generator.integers(0, longest + 1, len(features))
            starts = generator.integers(0, size - lengths + 1)
            place = np.arange(size)
            hidden = (place >= starts[:, None]) & (place < (starts + lengths)[:, None])
            features = np.where(
                hidden[:, :, None] if axis == 1 else hidden[:, None, :], 0, features
            )
        return features


#: For autoencoders, which should reproduce sounds rather than repair them.
GENTLE = Augmentation(noise_share=0.0, mask_mels=0, gain_db=4.0, stretch=0.1, warp=0.05)
#: For autoencoders whose reconstructions keep the harmonics of a voice.
SHARP = Augmentation(noise_share=0.0, mask_mels=0, gain_db=4.0, whole_frames=True)


def add_sounds(
    features: np.ndarray, added: np.ndarray, level: np.ndarray, spec: FeatureSpec
) -> np.ndarray:
    """Mix features of two independent sounds, whose powers add.

    Args:
        features, added: of the same shape [in [0, 1]].
        level: factor of the power of `added`, above 0.
        spec: of both.

    Returns:
        features of the mixture [of the same shape, at most 1].
    """
    # Power is 10^(dB / 10), and a feature is dB scaled; the reference cancels out.
    scale = np.float32(-spec.floor_db * np.log(10) / 10)
    other = added * scale + np.log(level, dtype=np.float32)
    return np.minimum(np.logaddexp(features * scale, other) / scale, 1)


def interpolate(features: np.ndarray, where: np.ndarray, *, axis: int) -> np.ndarray:
    """Interpolate `features` along `axis` at fractional positions; beyond the ends is silence.

    Args:
        features: [shape=(batch, frames, mels)].
        where: positions for each sample [shape=(batch, length)].
        axis: 1 or 2.
    """
    size = features.shape[axis]
    below = np.floor(where).astype(int)
    share = (where - below).astype(np.float32)
    inside = (where >= 0) & (where <= size - 1)

    def take(index: np.ndarray) -> np.ndarray:
        index = np.clip(index, 0, size - 1)
        expanded = index[:, :, None] if axis == 1 else index[:, None, :]
        return np.take_along_axis(features, expanded, axis)

    weight = share[:, :, None] if axis == 1 else share[:, None, :]
    kept = inside[:, :, None] if axis == 1 else inside[:, None, :]
    return (take(below) * (1 - weight) + take(below + 1) * weight) * kept
