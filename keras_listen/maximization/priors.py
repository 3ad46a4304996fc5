"""Priors: latent spaces and how they are decoded to features.

References:
    Soomro et al., Interspeech 2019, sections 3.3 and 3.4: starts and step sizes.
    Nguyen et al., "Plug & Play Generative Networks", CVPR 2017, https://arxiv.org/abs/1612.00005:
    the learned pull.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np

from ..errors import BundleError, ParameterError
from ..features import FeatureSpec
from ..hookspecs import hookimpl
from ..models.denoisers import (
    AUTOENCODER,
    DIFFUSION,
    find_denoiser,
    open_denoiser,
    require_diffusion,
)
from ..seeds import normal
from .latent import Latent, required_deviation
from .presets import presets_of

if TYPE_CHECKING:
    # Importing it takes time that listing priors does not need.
    from ..models.bundle import Bundle, BundlePart


class Identity:
    """No prior: the latent is the features themselves [shape=(batch, frames, mels, 1)].

    Args:
        spec: of the features.
        start_deviation: standard deviation of the noise that an ascent starts from.
    """

    bounded = False
    step_size = 0.01

    def __init__(self, spec: FeatureSpec, start_deviation: float = 0.1):
        self.spec, self.start_deviation = spec, required_deviation(start_deviation)

    def start(self, targets: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return noise for each row of `seeds`."""
        return normal(seeds, self.spec.shape, self.start_deviation)

    def encode(self, features: Any) -> Any:
        """Return the features."""
        return features

    def decode(self, z: Any) -> Any:
        """Return the latent."""
        return z


class Pulled(Latent):
    """A decoder's latent that is pulled towards those of real speech.

    Args:
        component, start_deviation: see `Latent`.
        pull: share of its way to the mean that a latent is drawn back at each step, along units
            whose deviation is the usual one; along narrower ones more.
        mean, deviation: of the latents of real speech [shape=(units,)].
    """

    def __init__(
        self,
        component: BundlePart,
        start_deviation: float,
        pull: float = 0.0,
        mean: np.ndarray | float = 0.0,
        deviation: np.ndarray | float = 1.0,
    ):
        if not 0 <= pull < 1:
            raise ParameterError(f"pull is {pull}; expected at least 0 and below 1")
        super().__init__(component, start_deviation)
        self._mean = np.float32(mean)
        variance = np.square(np.float32(deviation))
        # The way up the density of a normal distribution; no unit overshoots its mean.
        self._pull = np.minimum(pull * np.median(variance) / np.maximum(variance, 1e-12), 1.0)

    def move(self, z: Any, *, step: Any, seeds: Any) -> Any:
        """Return the pull towards the latents of real speech [shape=(batch, units)]."""
        return self._pull * (self._mean - z)


class Denoised(Latent):
    """A decoder's latent that goes part of its way to the denoised one at each step.

    A denoiser removes from a latent what those of real speech do not have, so the difference to
    what it returns points up the gradient of their density.

    Args:
        component, start_deviation: see `Latent`.
        denoiser: Keras model from latents to latents; None to decode and encode a latent instead.
        pull: share of the difference to the denoised latent that is added at each step, from 0 to 1
            (epsilon 1 of the Plug & Play networks).

    Attributes:
        notes: for the user, where there is no denoiser.
        files: checksums of the denoiser's component by its name, for manifests.

    Raises:
        ParameterError: `pull` or `start_deviation` is out of its range.
    """

    def __init__(
        self,
        component: BundlePart,
        start_deviation: float,
        denoiser: Any = None,
        pull: float = 0.3,
    ):
        _require_share("pull", pull)
        super().__init__(component, start_deviation)
        self.denoiser, self.pull = denoiser, pull
        self.notes: tuple[str, ...] = ()
        self.files: dict[str, Any] = {}

    @classmethod
    def of(cls, bundle: Bundle, component: BundlePart, start_deviation: float, pull: float) -> Self:
        """Make one with the bundle's denoiser of an autoencoder, or with a note that it has none.

        Raises:
            BundleError: the denoiser was fitted to another autoencoder.
            ParameterError: see `Denoised`.
        """
        _require_share("learned_pull", pull)
        found, note = find_denoiser(bundle, component)
        denoiser = None if found is None else open_denoiser(found, component)
        made = cls(component, start_deviation, denoiser, pull)
        made.notes = () if note is None else (note,)
        made.files = {} if found is None else {found.name: found.files}
        return made

    def denoise(self, z: Any) -> Any:
        """Return denoised latents [shape=(batch, units)]."""
        if self.denoiser is None:
            return self.encode(self.decode(z))
        return self.denoiser(z, training=False)

    def move(self, z: Any, *, step: Any, seeds: Any) -> Any:
        """Return the way towards the denoised latents [shape=(batch, units)]."""
        return self.pull * (self.denoise(z) - z)


def _require_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ParameterError(f"{what} is {value}; expected a number from 0 to 1")


def _require_one_pull(pull: float, learned: float) -> None:
    if pull and learned:
        raise ParameterError(
            f"pull is {pull:g} and learned_pull {learned:g}, given or by the preset; both pull to "
            "real speech, so set one of them to 0"
        )


_Deviation = Annotated[float, "standard deviation of the noise an ascent starts from"]
_Weights = Annotated[str, "component of the bundle with encoder and decoder"]
_Pull = Annotated[float, "pull towards the latents of real speech, at each step"]
_Noise = Annotated[float, "deviation of the noise that an ascent starts with"]
_Edit = Annotated[float, "deviation of the noise that is added to a recording at the first step"]
_LearnedPull = Annotated[float, "share of its way to the denoised latent, at each step"]


def none(bundle: Any, *, start_deviation: _Deviation = 0.1) -> Identity:
    """No prior: climb on the features themselves."""
    return Identity(bundle.spec, start_deviation)


def ae(
    bundle: Any,
    *,
    weights: _Weights = "ae",
    start_deviation: _Deviation = 0.1,
    pull: _Pull = 0.0,
    learned_pull: _LearnedPull = 0.0,
) -> Latent:
    """The decoder of an autoencoder, as published."""
    component = bundle.component(weights)
    _require_one_pull(pull, learned_pull)
    if learned_pull:
        return Denoised.of(bundle, component, start_deviation, learned_pull)
    known = {}
    if pull:
        if "latent_mean" not in component.arrays:
            raise BundleError(
                f"component {weights} of the bundle {bundle.root} does not say how the latents of "
                "real speech are distributed; train it again, or leave the pull out"
            )
        known = {name: component.arrays[f"latent_{name}"] for name in ("mean", "deviation")}
    return Pulled(component, start_deviation, pull, **known)


def vae(
    bundle: Any,
    *,
    weights: _Weights = "vae",
    start_deviation: _Deviation = 1.0,
    pull: _Pull = 0.0,
    learned_pull: _LearnedPull = 0.0,
) -> Latent:
    """The decoder of a variational autoencoder; starts are draws from its prior, N(0, 1)."""
    _require_one_pull(pull, learned_pull)
    if learned_pull:
        return Denoised.of(bundle, bundle.component(weights), start_deviation, learned_pull)
    return Pulled(bundle.component(weights), start_deviation, pull)


def diffusion(bundle: Any, *, noise: _Noise = 10.0, edit: _Edit = 1.0) -> Latent:
    """A latent diffusion model of speech: starts are noise, and steps take it away."""
    require_diffusion(bundle)
    # Imports TensorFlow.
    from .diffusion import Diffusion

    return Diffusion(bundle.component(AUTOENCODER), bundle.component(DIFFUSION), noise, edit)


@hookimpl
def register_priors(register: Callable[..., None]) -> None:
    for name, factory in (("none", none), ("ae", ae), ("vae", vae), ("diffusion", diffusion)):
        register(name, factory, presets=presets_of("prior", name))
