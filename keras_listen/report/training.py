"""Pictures of a training: curves and confusion matrices."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..bundle import Bundle
from ..files import make_folder, replacing


def draw_training(bundle: Bundle) -> Path:
    """Draw every component's curves and confusion matrix into `<bundle>/pictures`."""
    folder = make_folder(bundle.root / "pictures")
    for name in bundle.names():
        component = bundle.component(name)
        if "curves.csv" in component.files:
            draw_curves(component.root / "curves.csv", folder / f"{name}-curves.png", name)
        if "confusion" in component.figures:
            matrix = np.array(component.figures["confusion"])
            draw_confusion(matrix, bundle.words, folder / f"{name}-confusion.png", name)
    return folder


def draw_curves(table: Path, target: Path, name: str) -> None:
    """Draw loss and metric by epoch, training beside validation, from a `curves.csv`."""
    from matplotlib.figure import Figure

    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    metrics = [k for k in rows[0] if k not in ("epoch", "epochs") and not k.startswith("val_")]
    figure = Figure(figsize=(4.5 * len(metrics), 3.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(metrics)))
    for axis, metric in zip(axes, metrics, strict=True):
        axis.plot(epochs, [float(row[metric]) for row in rows], label="training")
        axis.plot(epochs, [float(row[f"val_{metric}"]) for row in rows], label="validation")
        axis.set(xlabel="epoch", ylabel=metric.replace("_", " "), title=name)
        axis.legend()
    _save(figure, target)


def draw_confusion(matrix: np.ndarray, words: tuple[str, ...], target: Path, name: str) -> None:
    """Draw a confusion matrix: rows are spoken words, columns predicted ones, in shares of a row.

    Args:
        matrix: counts [shape=(words, words)].
        words: in the matrix's order.
    """
    from matplotlib.figure import Figure

    size = 2.5 + 0.28 * len(words)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(words)), words, rotation=90)
    axis.set_yticks(range(len(words)), words)
    axis.set(xlabel="predicted", ylabel="spoken", title=f"{name}, testing split")
    figure.colorbar(image, ax=axis, label="share of the spoken word")
    _save(figure, target)


def _save(figure, target: Path) -> None:
    with replacing(target) as beside:
        figure.savefig(beside, dpi=110)
