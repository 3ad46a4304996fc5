"""The vocoder around a WaveNet of frames: features in, sounds that line up with them out."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from ...features import FeatureSpec, count_samples, left_padding
from ...seeds import generator
from ..griffin_lim import invert_mel, project, refine_magnitudes
from ..phase_gradient import find_phases, require_overlap
from ..pitch import Pitch, PitchControl, comb, estimate_pitch
from .spectrum import SpectrumConfig, from_scale, to_scale

#: Frames that the network computes at once, beside those that they depend on.
_BLOCK = 1024
#: Multiplicative updates towards the features after the network, and projections of the phases.
_UPDATES, _PROJECTIONS = 5, 32


class FramesVocoder:
    """Predicts the magnitudes of all frames at once, and finds phases that belong to them.

    Args:
        spec: of the features.
        model: from `build_spectrum(config)`.
        config: of the network.
        control: what is done about the pitch of features. That of their own is always the source of
            the network: "none" is the same as "estimated".

    Attributes:
        files: checksums of the files that the weights came from, for the manifest.

    Raises:
        ParameterError: frames overlap by less than half.
    """

    causal = False

    def __init__(
        self,
        spec: FeatureSpec,
        model: keras.Model,
        config: SpectrumConfig,
        control: PitchControl | None = None,
    ):
        require_overlap(spec, "a WaveNet of frames")
        self.spec, self.model, self.config = spec, model, config
        self.control = control or PitchControl(spec)
        self.files: dict[str, str] = {}

    def synthesize(self, features: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Turn features into sounds that line up with them.

        Args:
            features: [shape=(batch, frames, mels), in [0, 1]], any number of frames.
            seeds: of the phases of what is nearly silent [shape=(batch, 2), uint32].

        Returns:
            float32 [shape=(batch, count_samples(frames))], at the level of the features.

        Raises:
            ParameterError: there are too few frames for a sound.
        """
        from threadpoolctl import threadpool_limits

        features = np.asarray(features, np.float32)
        samples = count_samples(features.shape[1], self.spec)
        left = left_padding(self.spec)
        # One sound at a time, so that its bits do not depend on the rest of the batch.
        magnitudes = [self.magnitudes(each) for each in features]
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            sounds = list(pool.map(self._with_phases, magnitudes, seeds))
        return np.stack([sound[left : left + samples] for sound in sounds]).astype(np.float32)

    def magnitudes(self, features: np.ndarray) -> np.ndarray:
        """Return the magnitudes of one sound's features.

        Args:
            features: [shape=(frames, mels), in [0, 1]].

        Returns:
            [shape=(frames, 1 + n_fft // 2), not negative].
        """
        if self.control.pitch == "none":
            hertz = estimate_pitch(features, self.spec)
            pitch = Pitch(hertz, "estimated" if hertz.any() else "none")
        else:
            pitch = self.control.find(features)
        features = self.control.expanded(features)
        magnitude, harmonics = source_of(features, pitch, self.spec)
        bins = self.config.bins
        found = self._network(features, to_scale(magnitude[:, :bins]), harmonics[:, :bins])
        magnitude[:, :bins] = from_scale(found)
        return refine_magnitudes(magnitude, features, self.spec, _UPDATES)

    def _network(self, features, source, harmonics) -> np.ndarray:
        """Apply the network by blocks, with the frames around each that it depends on."""
        reach, parts = self.config.reach, []
        for begin in range(0, len(features), _BLOCK):
            first = max(begin - reach, 0)
            piece = slice(first, begin + _BLOCK + reach)
            inputs = {"features": features, "source": source, "comb": harmonics}
            inputs = {name: array[None, piece] for name, array in inputs.items()}
            found = keras.ops.convert_to_numpy(self.model(inputs, training=False))[0]
            parts.append(found[begin - first : begin - first + _BLOCK])
        return np.concatenate(parts)

    def _with_phases(self, magnitude: np.ndarray, seed: np.ndarray) -> np.ndarray:
        phase = find_phases(magnitude, self.spec, generator(seed))
        return project(magnitude, phase, self.spec, _PROJECTIONS)


def source_of(
    features: np.ndarray, pitch: Pitch, spec: FeatureSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Return the magnitudes that Griffin-Lim would begin with, and the comb, for the network.

    Args:
        features: of one sound, expanded [shape=(frames, mels), in [0, 1]].
        pitch: of its frames.
        spec: of the features.

    Returns:
        Magnitudes, and the comb's logarithm to base 10 [both shape=(frames, 1 + n_fft // 2)].
    """
    linear = invert_mel(features[None], spec, pitch)[0] ** (1 / spec.power)
    return linear, np.log10(comb(pitch.hertz, spec)).astype(np.float32)
