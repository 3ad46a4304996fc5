"""Rewritten, for a prior's `rewritten`; it is defined in `models.rewrites`."""

from .models.rewrites import Rewritten

__all__ = ["Rewritten"]
