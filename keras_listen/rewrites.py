"""What priors may offer as `rewritten`; see `models.rewrites`."""

from .models.rewrites import Rewritten

__all__ = ["Rewritten"]
