"""WaveNet as a vocoder: the way the published tooling listens.

References:
    van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016,
    https://arxiv.org/abs/1609.03499
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ...errors import ParameterError, Unavailable
from ...features import LENGTH_FIELDS, FeatureSpec, count_samples, left_padding
from ...hookspecs import hookimpl
from ...models.backend import start_quietly
from ...models.bundle import Bundle, load_bundle

_FALLBACK = "griffin-lim"


class WaveNetVocoder:
    """Sound sample by sample, a whole batch at once.

    Args:
        spec: of the features.
        model: from `build_wavenet(config)`.
        config: of the network.
        rows: sounds computed together, see `Generator`.

    Attributes:
        report: called with the number of audio samples done since its last call.
        files: checksums of the files that the weights came from, for the manifest.
    """

    #: Silence after a sound changes nothing before it.
    causal = True

    def __init__(self, spec: FeatureSpec, model, config, rows: int = 0):
        from .generator import Generator

        self.spec, self.config = spec, config
        self.generator = Generator(model, config, rows)
        self.report = lambda done: None
        self.files: dict[str, str] = {}

    def seconds_for(self, sounds: int, frames: int) -> float:
        """Estimate the time that so many sounds will take, from a short trial."""
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
        from .signal import from_net

        features = np.asarray(features, np.float32)
        samples = count_samples(features.shape[1], self.spec)
        # Frame j is as the net learned it the sound that begins with sample j * hop_length of the
        # padded sound: the padding is generated too, and cut off.
        left = left_padding(self.spec)
        spoken = self.generator.generate(features, seeds, report=self.report)
        sounds = from_net(self.config, spoken, features, self.spec)
        return np.ascontiguousarray(sounds[:, left : left + samples])


def wavenet(
    bundle,
    *,
    weights: Annotated[str, "folder of another bundle whose WaveNet to use"] = "",
    rows: Annotated[int, "sounds computed together; 0 chooses, 1 is quickest for one"] = 0,
):
    """Sample by sample with the bundle's WaveNet, or the embedded one."""
    if rows < 0:
        raise ParameterError(f"rows is {rows}; expected at least 1, or 0")
    if weights:
        bundle = load_bundle(weights)
    elif "wavenet" not in bundle.names():
        bundle = _embedded_for(bundle.spec)
    start_quietly(engine=False)
    from .network import WaveNetConfig

    component = bundle.component("wavenet")
    config = WaveNetConfig.from_dict(component.about["config"])
    vocoder = WaveNetVocoder(component.spec, component.model(), config, rows)
    vocoder.files = component.files
    return vocoder


def _embedded_for(spec: FeatureSpec) -> Bundle:
    """Return the embedded bundle, whose WaveNet serves others that have the same features."""
    bundle = load_bundle()
    if names := bundle.spec.differing(spec, ignore=LENGTH_FIELDS):
        raise Unavailable(
            f"the bundle has no WaveNet, and the embedded one was made for other features "
            f"({', '.join(names)})",
            fallback=_FALLBACK,
        )
    return bundle


@hookimpl
def register_vocoders(register) -> None:
    register("wavenet", wavenet)
