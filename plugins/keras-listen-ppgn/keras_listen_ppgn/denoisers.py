"""Denoisers of latents: the network, and the choice of one for an autoencoder."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

import keras
from keras import layers

from keras_listen import Bundle
from keras_listen.errors import BundleError

log = logging.getLogger("keras_listen.ppgn")

ROUNDTRIP = "roundtrip"
_PARTS = ("encoder.keras", "decoder.keras")


def build_denoiser(units: int, *, hidden: int = 384, seed: int = 0) -> keras.Model:
    """Build a denoiser of latents of mean 0 and deviation 1 [shape=(units,)].

    The amount of noise is not an input; the network must infer it.
    """
    inputs = x = keras.Input((units,), name="latent")
    for i in (1, 2):
        start = keras.initializers.GlorotUniform(seed=seed + i)
        x = layers.Dense(hidden, "relu", kernel_initializer=start, name=f"dense_{i}")(x)
    # With zero weights, it starts by returning the mean latent.
    outputs = layers.Dense(units, kernel_initializer="zeros", name="denoised")(x)
    return keras.Model(inputs, outputs, name="denoiser")


def name_of(weights: str) -> str:
    """Return the name of the component with the denoiser of an autoencoder's latents."""
    return f"ppgn-{weights}"


def identity(component) -> dict[str, str]:
    """Return the checksums that identify an autoencoder."""
    return {part: component.files.get(part, "") for part in _PARTS}


def packaged_path() -> Path:
    """Return the folder of the denoiser that comes with this package."""
    return Path(str(resources.files(__package__) / "fitted"))


def choose(bundle, component, denoiser: str = ""):
    """Return the denoiser to use with an autoencoder, or None for the round trip.

    Args:
        bundle: bundle of the autoencoder.
        component: the autoencoder.
        denoiser: "roundtrip" or a folder. If empty, the bundle's own is used, else the one of this
            package if it was fitted to this autoencoder, else the round trip.

    Raises:
        BundleError: the denoiser is missing, or was fitted to another autoencoder.
    """
    if denoiser == ROUNDTRIP:
        return None
    name = name_of(component.name)
    if denoiser:
        return _opened(Bundle(denoiser), name, component)
    if name in bundle.names():
        return _opened(bundle, name, component)
    packaged = Bundle(packaged_path())
    if name in packaged.names() and _fits(packaged.component(name), component):
        return packaged.component(name).model("denoiser")
    log.warning(
        "no denoiser was fitted to %s of the bundle %s, so ppgn decodes and encodes instead, which "
        "pulls less; fit one with: keras-listen-ppgn fit STORE %s",
        component.name,
        bundle.root,
        bundle.root,
    )
    return None


def _fits(fitted, component) -> bool:
    return fitted.about.get("autoencoder") == identity(component)


def _opened(bundle, name: str, component):
    """Open the denoiser of a bundle, which must have been fitted to the autoencoder."""
    fitted = bundle.component(name)
    model = fitted.model("denoiser")
    units, known = component.model("decoder").input_shape[1:], model.input_shape[1:]
    if units != known:
        raise BundleError(
            f"the denoiser {name} of {bundle.root} is for latents of {_text(known)} values, those "
            f"of {component.name} have {_text(units)}; fit it again with: keras-listen-ppgn fit"
        )
    if not _fits(fitted, component):
        raise BundleError(
            f"the denoiser {name} of {bundle.root} was fitted to another autoencoder than "
            f"{component.root}; fit it again with: keras-listen-ppgn fit"
        )
    return model


def _text(shape) -> str:
    return " x ".join(map(str, shape))
