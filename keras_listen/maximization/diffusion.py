"""A prior that speaks: a latent diffusion model, guided by the objective.

An ascent begins at noise and follows the model's way to speech, from more noise to less. At each
step the gradient of the objective, taken at what the model expects the speech to be, moves that a
little; the noise falls along a fixed schedule until the last step.

References:
    Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models",
    NeurIPS 2022, https://arxiv.org/abs/2206.00364: the schedule, and the way as Euler steps.
    Bansal et al., "Universal Guidance for Diffusion Models", CVPR workshops 2023,
    https://arxiv.org/abs/2302.07121: guidance at the clean estimate.
    Meng et al., "SDEdit", ICLR 2022, https://arxiv.org/abs/2108.01073: starts from recordings.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import tensorflow as tf

from ..errors import ParameterError
from ..models.denoisers import open_denoiser
from ..seeds import normal
from .latent import Latent

if TYPE_CHECKING:
    from ..models.bundle import BundlePart

#: Noise at the end of the way, in deviations of the latents.
END = 0.05
#: Exponent of the schedule: it takes more steps where there is less noise.
_RHO = 7.0


class Diffusion(Latent):
    """Latents of speech with noise, which a denoiser takes away step by step.

    A latent [shape=(batch, frames / 2, channels + 1)] has deviation 1 without the noise; its last
    channel is the deviation of the noise that is in it. It is decoded without that noise, as far as
    the denoiser can tell, and the gradient is that of the denoised latent.

    Args:
        autoencoder: component with the models `encoder` and `decoder`, of any number of frames.
        denoiser: component with a denoiser of its latents that is told their noise.
        noise: deviation of the noise that an ascent from noise starts with.
        edit: deviation of the noise that the first step of an ascent from a recording adds: the
            more, the less of it is kept.

    Attributes:
        files: checksums of the denoiser's component by its name, for manifests.

    Raises:
        BundleError: the denoiser was fitted to another autoencoder.
        ParameterError: an argument is out of its range.
    """

    step_size = 0.15

    def __init__(
        self, autoencoder: BundlePart, denoiser: BundlePart, noise: float = 10.0, edit: float = 1.0
    ):
        for what, value in (("noise", noise), ("edit", edit)):
            if not END < value <= 100:
                raise ParameterError(f"{what} is {value}; expected more than {END} and at most 100")
        super().__init__(autoencoder)
        self._denoiser = open_denoiser(denoiser, autoencoder)
        self._mean, self._deviation = (
            denoiser.arrays[f"latent_{name}"] for name in ("mean", "deviation")
        )
        self.noise, self.edit = float(noise), float(edit)
        self.files = {denoiser.name: denoiser.files}
        self.latent_shape = (*self.latent_shape[:-1], self.latent_shape[-1] + 1)
        self.steps: int | None = None
        self._for_steps: dict[int, Self] = {}
        self._denoised: tuple[Any, Any] = (None, None)

    def for_steps(self, steps: int) -> Self:
        """Return the same prior for an ascent of so many steps; the same object each time."""
        if steps not in self._for_steps:
            other = copy.copy(self)
            other.steps = steps
            self._for_steps[steps] = other
        return self._for_steps[steps]

    def start(self, targets: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return noise for each row of `seeds` [shape=(batch, frames / 2, channels + 1)]."""
        *length, channels = self.latent_shape
        drawn = normal(seeds, (*length, channels - 1), self.noise)
        return np.concatenate([drawn, np.full_like(drawn[..., :1], self.noise)], axis=-1)

    def encode(self, features: Any) -> Any:
        """Return the latent of features, with hardly any noise in it."""
        clean = (super().encode(features) - self._mean) / self._deviation
        return tf.concat([clean, tf.fill(tf.shape(clean[..., :1]), END)], axis=-1)

    def decode(self, z: Any) -> Any:
        """Return the features of the denoised latent [shape=(batch, frames, mels, 1)]."""
        noisy = z[..., :-1]
        # The slope of the denoiser is left out: it costs as much again, and guides no better.
        clean = noisy + tf.stop_gradient(self.denoise(z) - noisy)
        return super().decode(clean * self._deviation + self._mean)

    def denoise(self, z: Any) -> Any:
        """Return latents without noise [shape=(batch, frames / 2, channels)]."""
        known, denoised = self._denoised
        # Within one step, decode and move need the same.
        if known is not z or tf.executing_eagerly():
            denoised = self._denoiser([z[..., :-1], z[:, 0, -1:]], training=False)
            self._denoised = z, denoised
        return denoised

    def move(self, z: Any, *, step: Any, seeds: Any) -> Any:
        """Return a step on the way to less noise; to more, where it starts from a recording.

        Of an ascent whose length is unknown, the noise falls by a tenth in each step.
        """
        noise = z[:, :1, -1:]
        edits = (step == 0) & (noise < 1.01 * END)
        lower = self._less(noise, step)
        after = tf.where(edits, self.edit, lower)
        way = (self.denoise(z) - z[..., :-1]) * (1 - lower / noise)
        added = tf.cond(
            tf.reduce_any(edits),
            lambda: tf.where(edits, self.edit * _draw(seeds, tf.shape(way)[1:]), way),
            lambda: way,
        )
        return tf.concat([added, tf.broadcast_to(after, tf.shape(z[..., -1:])) - z[..., -1:]], -1)

    def _less(self, noise: Any, step: Any) -> Any:
        """Return the noise after a step."""
        if self.steps is None:
            return tf.maximum(0.9 * noise, tf.minimum(END, noise))
        left = tf.cast(tf.maximum(self.steps - step, 1), tf.float32)
        root = noise ** (1 / _RHO)
        return tf.maximum((root + (END ** (1 / _RHO) - root) / left) ** _RHO, 0.99 * END)

    @property
    def rewritten(self) -> Self:
        """The prior itself: one-dimensional convolutions are fast as they are."""
        return self


def _draw(seeds: Any, shape: Any) -> Any:
    """Return normal noise drawn from each row of `seeds` [shape=(batch, *shape)]."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal(shape, seed),
        tf.cast(seeds, tf.int64),
        fn_output_signature=tf.float32,
    )
