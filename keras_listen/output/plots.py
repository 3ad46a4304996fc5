"""Writing of matplotlib figures, and escaping of words in them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from .files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def literal(text: str) -> str:
    """Escape dollar signs, between which matplotlib would typeset mathematics."""
    return text.replace("$", r"\$")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, atomically."""
    # Without the date of creation, equal results have equal files.
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
    with replacing(path) as beside, warnings.catch_warnings():
        # Words may have letters that no installed font has; they are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(beside, dpi=110, metadata=metadata)


def save_both(figure: Figure, stem: Path) -> None:
    """Write a figure as PNG and PDF, with these suffixes added to `stem`."""
    for suffix in (".png", ".pdf"):
        save_figure(figure, stem.with_name(stem.name + suffix))
