"""What authors of priors may extend; the built-in priors are in `maximization.priors`."""

from .maximization.priors import Identity, Latent

__all__ = ["Identity", "Latent"]
