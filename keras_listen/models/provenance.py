"""What was there when a file was made: versions of libraries and plugins."""

from __future__ import annotations

from importlib import metadata

from .. import __version__
from ..plugins import default_registry


def versions() -> dict[str, str]:
    """Return the versions of what decides results."""
    found = {"keras-listen": __version__}
    for name in ("tensorflow", "keras", "numpy", "librosa"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def made_with() -> dict[str, dict[str, str]]:
    """Return the versions of libraries and of all plugins, for a manifest or a provenance.

    Which components were in use is for the manifest to tell, see `Component.identity`.
    """
    return {"versions": versions(), "plugins": default_registry().versions()}
