"""What figures share: how they are written, and how words stand in them."""

from __future__ import annotations

import warnings
from pathlib import Path

from .files import replacing


def literal(text: str) -> str:
    """Keep matplotlib from reading what stands between dollars as mathematics."""
    return text.replace("$", r"\$")


def save_figure(figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix."""
    # Without the time of drawing, equal results have equal files.
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
    with replacing(path) as beside, warnings.catch_warnings():
        # Words may have letters that no font here has; boxes stand for them.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(beside, dpi=110, metadata=metadata)


def save_both(figure, stem: Path) -> None:
    """Write a figure as PNG and as PDF."""
    for suffix in (".png", ".pdf"):
        save_figure(figure, stem.with_name(stem.name + suffix))
