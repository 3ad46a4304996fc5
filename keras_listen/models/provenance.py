"""Versions of libraries and plugins, and where models come from, recorded in what is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from .. import __version__
from ..plugins import default_registry


@dataclass(frozen=True)
class Origin:
    """Where a classifier that a user brings comes from.

    Attributes:
        files: SHA-256 by name of the files that it was read from.
        checked: what doctor found out on recordings, for manifests; None if it was never checked.
        note: what should be said before results are trusted; None if nothing.
    """

    files: Mapping[str, str]
    checked: Mapping[str, Any] | None = None
    note: str | None = None


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
