"""`Rewritten`, for priors that have the attribute `rewritten`; see `models.rewrites`."""

from .models.rewrites import Rewritten

__all__ = ["Rewritten"]
