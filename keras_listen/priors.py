"""Classes for priors of plugins; they are defined in `maximization.priors`."""

from .maximization.priors import Identity, Latent

__all__ = ["Identity", "Latent"]
