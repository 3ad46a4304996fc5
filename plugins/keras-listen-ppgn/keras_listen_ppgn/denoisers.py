"""The choice of a denoiser for an autoencoder."""

from __future__ import annotations

import logging

from keras_listen import Bundle
from keras_listen.models.denoisers import denoiser_name, open_denoiser

log = logging.getLogger("keras_listen.ppgn")

ROUNDTRIP = "roundtrip"
_REMEDY = "fit it again with: keras-listen-ppgn fit"


def name_of(weights: str) -> str:
    """Return the name of the component that `fit` writes for an autoencoder."""
    return f"ppgn-{weights}"


def choose(bundle, component, denoiser: str = ""):
    """Return the denoiser to use with an autoencoder, None for the round trip, and its files.

    Args:
        bundle: bundle of the autoencoder.
        component: the autoencoder.
        denoiser: "roundtrip" or a folder. If empty, the one that `fit` added to the bundle is used,
            else the bundle's own, `ae-denoiser` for `ae`, else the round trip.

    Returns:
        the Keras model or None, and the checksums of its files by the component's name.

    Raises:
        BundleError: the denoiser is missing, or was fitted to another autoencoder.
    """
    if denoiser == ROUNDTRIP:
        return None, {}
    source = Bundle(denoiser) if denoiser else bundle
    known, mine = source.names(), name_of(component.name)
    if mine in known or (denoiser and denoiser_name(component.name) not in known):
        fitted = source.component(mine)
        return open_denoiser(fitted, component, _REMEDY), {mine: fitted.files}
    if (shared := denoiser_name(component.name)) in known:
        fitted = source.component(shared)
        return open_denoiser(fitted, component), {shared: fitted.files}
    log.warning(
        "no denoiser was fitted to %s of the bundle %s, so ppgn decodes and encodes instead, which "
        "pulls less; fit one with: keras-listen-ppgn fit STORE %s",
        component.name,
        bundle.root,
        bundle.root,
    )
    return None, {}
