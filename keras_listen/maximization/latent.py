"""The latent space of a decoder: what most priors are, and those of plugins may be."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..errors import ParameterError
from ..seeds import normal

if TYPE_CHECKING:
    # Importing it takes time that listing priors does not need.
    from ..models.bundle import BundlePart


class Latent:
    """A decoder's latent [shape=(batch, units)]; decoded features lie in [0, 1].

    Priors of plugins may extend it, with a `move` for instance; see docs/plugins.md.

    Args:
        component: of a bundle, with the models `encoder` and `decoder`; an encoder with two outputs
            gives mean and log-variance.
        start_deviation: standard deviation of the noise that an ascent starts from.

    Attributes:
        spec: of the features.
        latent_shape: of the latent of one sample, (units,).

    Raises:
        BundleError: the component has no encoder or no decoder.
        ParameterError: `start_deviation` is out of its range.
    """

    bounded = True
    step_size = 0.1

    def __init__(self, component: BundlePart, start_deviation: float = 0.1):
        self.spec, self.start_deviation = component.spec, required_deviation(start_deviation)
        self._encoder, self._decoder = component.model("encoder"), component.model("decoder")
        self._decode = lambda z: self._decoder(z, training=False)
        self.latent_shape = self._shape_of_latent()

    def _shape_of_latent(self) -> tuple[int, ...]:
        shape = tuple(self._decoder.input_shape[1:])
        if None in shape:
            # Networks of any number of frames: that of the features decides.
            shape = tuple(self._encoder.compute_output_shape((1, *self.spec.shape))[1:])
        return shape

    def start(self, targets: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return noise for each row of `seeds` [shape=(batch, units)]."""
        return normal(seeds, self.latent_shape, self.start_deviation)

    def encode(self, features: Any) -> Any:
        """Return the latent of features, for a VAE its mean."""
        encoded = self._encoder(features, training=False)
        return encoded[0] if isinstance(encoded, (list, tuple)) else encoded

    def decode(self, z: Any) -> Any:
        """Return features [shape=(batch, frames, mels, 1), in [0, 1]]."""
        decoded = self._decode(z)
        if decoded.shape[1] is None or decoded.shape[1] > self.spec.frames:
            # Networks of any number of frames give an even one.
            decoded = decoded[:, : self.spec.frames]
        return decoded

    @cached_property
    def rewritten(self) -> Self:
        """The same prior with a faster decoder, see `models.rewrites`."""
        # Here, because it imports TensorFlow, and listing priors shall take no seconds.
        from ..models.rewrites import Rewritten

        other = copy.copy(self)
        other._decode = Rewritten(self._decoder)
        other.refresh = other._decode.refresh
        return other


def required_deviation(value: float) -> float:
    """Return a deviation that a user gave.

    Raises:
        ParameterError: it is below 0 or infinite.
    """
    if not 0 <= value < float("inf"):
        raise ParameterError(f"start_deviation is {value}; expected at least 0")
    return value
