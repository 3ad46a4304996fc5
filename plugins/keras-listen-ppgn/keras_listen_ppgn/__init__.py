"""A prior with a learned pull towards the latents of real speech, after Plug & Play networks.

At each step of the ascent a latent z becomes

    z + [the engine's normalised step] + pull * (R(z) - z) + N(0, noise)

where R is a denoising autoencoder of latents. It removes from a latent what latents of real speech
do not have, so `R(z) - z` points up the gradient of their density.

References:
    Nguyen et al., "Plug & Play Generative Networks", CVPR 2017, https://arxiv.org/abs/1612.00005
    Alain and Bengio, "What Regularized Auto-Encoders Learn from the Data-Generating Distribution",
    2014, https://arxiv.org/abs/1211.4246
"""

from __future__ import annotations

from typing import Annotated

from keras_listen import hookimpl

__all__ = ["fit", "ppgn"]

#: Version of the plugin hooks that this was written for.
KERAS_LISTEN_API = 1


def ppgn(
    bundle,
    *,
    weights: Annotated[str, "component of the bundle with encoder and decoder"] = "ae",
    denoiser: Annotated[
        str, "folder made by keras-listen-ppgn fit --out, or roundtrip; the bundle's by default"
    ] = "",
    pull: Annotated[float, "share of its way to the denoised latent, at each step"] = 0.3,
    noise: Annotated[float, "standard deviation of the noise added to a latent at each step"] = 0.0,
    start_deviation: Annotated[float, "standard deviation of the noise of starts"] = 0.1,
):
    """An autoencoder's decoder, its latents pulled towards those of real speech."""
    from .denoisers import choose
    from .prior import PlugAndPlay

    component = bundle.component(weights)
    model, files = choose(bundle, component, denoiser)
    prior = PlugAndPlay(
        component, denoiser=model, pull=pull, noise=noise, start_deviation=start_deviation
    )
    prior.files = files  # for the manifest
    return prior


@hookimpl
def register_priors(register) -> None:
    natural = {"steps": 60, "step_size": 0.05, "shift": 16, "gain": 6.0, "options": {"pull": 0.2}}
    register("ppgn", ppgn, presets={"natural": natural})


def __getattr__(name: str):
    # Lazily, because fitting imports Keras, which listing plugins must not.
    if name != "fit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .fitting import fit

    return fit
