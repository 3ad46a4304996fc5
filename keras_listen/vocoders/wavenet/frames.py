"""The vocoder around a WaveNet of frames: features in, sounds that line up with them out."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from ...features import FeatureSpec, count_samples, left_padding
from ...seeds import generator
from ..griffin_lim import project_with_bands, refine_magnitudes
from ..phase_gradient import find_phases, require_overlap
from ..pitch import Pitch, PitchControl, estimate_pitch
from .source import comb_of, source_of, spectrum_of
from .spectrum import SpectrumConfig, from_scale, to_scale

#: Frames that the network computes at once, beside those that they depend on.
_BLOCK = 1024
#: After the network: multiplicative updates towards the features, projections, and those of them
#: that hold its magnitudes.
_UPDATES, _PROJECTIONS, _HELD = 5, 32, 4


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
        # One sound at a time, so that its bits do not depend on the rest of the batch; threads use
        # the cores, and BLAS threads inside them would only wait for each other.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            sources = list(pool.map(self._source, features, seeds))
            magnitudes = [self._magnitudes(*source) for source in sources]
            given = [features for features, _, _ in sources]
            sounds = list(pool.map(self._with_phases, given, magnitudes, seeds))
        return np.stack([sound[left : left + samples] for sound in sounds]).astype(np.float32)

    def _source(self, features: np.ndarray, seed: np.ndarray) -> tuple:
        """Return one sound's features, pitch, and the transform of its source."""
        if self.control.pitch == "none":
            hertz = estimate_pitch(features, self.spec)
            pitch = Pitch(hertz, "estimated" if hertz.any() else "none")
        else:
            pitch = self.control.find(features)
        # An invented pitch has its ripple in the bands, or projections would take it away again; so
        # it is used as one of the features' own.
        features = self.control.voiced(features[None])[0]
        if pitch.origin == "invented":
            pitch = Pitch(pitch.hertz, "estimated")
        padded = source_of(features, pitch, self.spec, seed)
        return features, pitch, spectrum_of(padded, self.spec)

    def _magnitudes(self, features: np.ndarray, pitch: Pitch, spectrum: np.ndarray) -> np.ndarray:
        """Return predicted magnitudes [shape=(frames, 1 + n_fft // 2), not negative]."""
        magnitude, bins = np.abs(spectrum), self.config.bins
        inputs = {
            "features": features,
            "source": to_scale(magnitude[:, :bins]),
            "comb": comb_of(pitch.hertz, self.spec)[:, :bins],
        }
        reach, parts = self.config.reach, []
        # By blocks, with the frames around each that it depends on: so memory is bounded.
        for begin in range(0, len(features), _BLOCK):
            first = max(begin - reach, 0)
            piece = slice(first, begin + _BLOCK + reach)
            given = {name: array[None, piece] for name, array in inputs.items()}
            found = keras.ops.convert_to_numpy(self.model(given, training=False))[0]
            parts.append(found[begin - first : begin - first + _BLOCK])
        magnitude[:, :bins] = from_scale(np.concatenate(parts))
        return magnitude

    def _with_phases(
        self, features: np.ndarray, magnitude: np.ndarray, seed: np.ndarray
    ) -> np.ndarray:
        """Return the padded sound of predicted magnitudes."""
        spec = self.spec
        magnitude = refine_magnitudes(magnitude, features, spec, _UPDATES)
        # Phases of their own: those of the source belong to its magnitudes.
        phase = find_phases(magnitude, spec, generator(seed))
        return project_with_bands(magnitude, phase, features, spec, _PROJECTIONS, held=_HELD)
