"""Classes for priors of plugins; they are defined in `maximization.priors`."""

from .maximization.priors import Denoised, Identity, Latent

__all__ = ["Denoised", "Identity", "Latent"]
