"""Versions of libraries and plugins, recorded in every file that is made."""

from __future__ import annotations

from importlib import metadata

from .. import __version__
from ..plugins import default_registry


def versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that results depend on."""
    found = {"keras-listen": __version__}
    for name in ("tensorflow", "keras", "numpy", "librosa"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def made_with() -> dict[str, dict[str, str]]:
    """Return the versions of libraries and of all plugins, for a manifest or a provenance.

    The manifest itself records which components were used, see `plugins.Component.identity`.
    """
    return {"versions": versions(), "plugins": default_registry().versions()}
