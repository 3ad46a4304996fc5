"""Denoisers in bundles: which one belongs to an autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BundleError

if TYPE_CHECKING:
    import keras

    # Importing it takes time that listing priors does not need.
    from .bundle import Bundle, BundlePart

#: Kind of the components with a denoiser.
DENOISER = "denoiser"
#: Names of the components of the latent diffusion model.
AUTOENCODER, DIFFUSION = "conv-ae", "diffusion"
_PARTS = ("encoder.keras", "decoder.keras")


def denoiser_name(autoencoder: str) -> str:
    """Return the name of the component with the denoiser of an autoencoder's latents."""
    return f"{autoencoder}-{DENOISER}"


def autoencoder_identity(component: BundlePart) -> dict[str, str]:
    """Return the checksums that identify an autoencoder."""
    return {part: component.files.get(part, "") for part in _PARTS}


def is_fitted_to(denoiser: BundlePart, autoencoder: BundlePart) -> bool:
    """Return whether a denoiser was fitted to the latents of this autoencoder."""
    return denoiser.about.get("autoencoder") == autoencoder_identity(autoencoder)


def open_denoiser(
    denoiser: BundlePart, autoencoder: BundlePart, remedy: str | None = None
) -> keras.Model:
    """Open a denoiser, a Keras model from latents to latents [shape=(batch, units)].

    Args:
        denoiser: its component.
        autoencoder: whose latents it shall denoise.
        remedy: what to do if it was fitted to another one, for messages.

    Raises:
        BundleError: it was fitted to another autoencoder.
    """
    where = f"the denoiser {denoiser.name} of {denoiser.root.parent}"
    remedy = remedy or (
        f"remove it and fit it again with: {train_command(denoiser.root.parent, denoiser.name)}"
    )
    model = denoiser.model(DENOISER)
    units, known = autoencoder.model("decoder").input_shape[1:], model.inputs[0].shape[1:]
    if units != known:
        raise BundleError(
            f"{where} is for latents of {_text(known)} values, those of {autoencoder.name} have "
            f"{_text(units)}; {remedy}"
        )
    if not is_fitted_to(denoiser, autoencoder):
        raise BundleError(
            f"{where} was fitted to another autoencoder than {autoencoder.root}; {remedy}"
        )
    return model


def find_denoiser(bundle: Bundle, autoencoder: BundlePart) -> tuple[BundlePart | None, str | None]:
    """Find the denoiser of an autoencoder in its bundle.

    Returns:
        its component, or None; and then a note for the user, with the remedy.
    """
    name = denoiser_name(autoencoder.name)
    if name in bundle.names():
        return bundle.component(name), None
    return None, (
        f"the bundle {bundle.root} has no component {name}, so latents are decoded and encoded "
        f"again instead of denoised, which pulls less; fit one with: "
        f"{train_command(bundle.root, name)}"
    )


def require_diffusion(bundle: Bundle) -> None:
    """Raise BundleError unless a bundle has both components of the latent diffusion model."""
    if missing := [name for name in (AUTOENCODER, DIFFUSION) if name not in bundle.names()]:
        raise BundleError(
            f"the bundle {bundle.root} has no component {' and no '.join(missing)}, which the "
            f"prior {DIFFUSION} needs; train with: {train_command(bundle.root, ','.join(missing))}"
        )


def train_command(root: object, name: str) -> str:
    """Return the command that fits a denoiser."""
    return f"keras-listen train STORE {root} --only {name}"


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
