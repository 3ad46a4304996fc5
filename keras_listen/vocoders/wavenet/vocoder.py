"""The vocoder around a WaveNet: features in, sounds that line up with them out."""

from __future__ import annotations

import keras
import numpy as np

from ...features import FeatureSpec, count_samples, left_padding
from ..pitch import PitchControl
from .generator import Generator
from .network import WaveNetConfig
from .signal import from_net


class WaveNetVocoder:
    """Generates sounds sample by sample, a whole batch at once.

    Args:
        spec: of the features.
        model: from `build_wavenet(config)`.
        config: of the network.
        rows: sounds computed together, see `Generator`.
        control: what is done about the pitch of features; nothing by default.

    Attributes:
        causal: whether silence after a sound changes nothing before it.
        report: called with the number of audio samples generated since its last call.
        files: checksums of the files that the weights came from, for the manifest.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        model: keras.Model,
        config: WaveNetConfig,
        rows: int = 0,
        control: PitchControl | None = None,
    ):
        self.spec, self.config = spec, config
        self.control = control or PitchControl(spec)
        # The pitch of a frame depends on all others, silence after a sound included.
        self.causal = self.control.pitch == "none"
        self.generator = Generator(model, config, rows)
        self.report = lambda done: None
        self.files: dict[str, str] = {}

    def seconds_for(self, sounds: int, frames: int) -> float:
        """Estimate from a short trial how long that many sounds will take, in seconds."""
        return self.generator.seconds_for(sounds, frames * self.config.hop_length)

    def synthesize(self, features: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Turn features into sounds that line up with them.

        Args:
            features: [shape=(batch, frames, mels), in [0, 1]], any number of frames.
            seeds: of the draws [shape=(batch, 2), uint32].

        Returns:
            float32 [shape=(batch, count_samples(frames))].

        Raises:
            ParameterError: there are too few frames for a sound.
        """
        features = self.control.voiced(np.asarray(features, np.float32))
        samples = count_samples(features.shape[1], self.spec)
        # As the network was trained, frame j is the sound that begins with sample j * hop_length of
        # the padded sound: the padding is generated too, and cut off.
        left = left_padding(self.spec)
        generated = self.generator.generate(features, seeds, report=self.report)
        sounds = from_net(self.config, generated, features, self.spec)
        return np.ascontiguousarray(sounds[:, left : left + samples])
