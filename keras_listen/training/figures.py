"""Draw figures of a training: curves, confusion matrices, and a vocoder's sounds."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..features import FeatureSpec, extract
from ..models.bundle import Bundle
from ..output.files import make_folder
from ..output.plots import save_figure
from ..vocoders.synthesis import mel_distance, write_wav


def draw_training(bundle: Bundle) -> Path:
    """Draw every component's curves and confusion matrix into `<bundle>/pictures`; return that."""
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
    """Draw loss and metric of training and validation by epoch or step, from a `curves.csv`.

    Draws nothing where no column has a counterpart of the validation split.
    """
    from matplotlib.figure import Figure

    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    unit = next(iter(rows[0]))
    reached = [int(row[unit]) for row in rows]
    metrics = [k for k in rows[0] if f"val_{k}" in rows[0]]
    if not metrics:  # of a component that another program made
        return
    figure = Figure(figsize=(4.5 * len(metrics), 3.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(metrics)))
    for axis, metric in zip(axes, metrics, strict=True):
        axis.plot(reached, [float(row[metric]) for row in rows], label="training")
        axis.plot(reached, [float(row[f"val_{metric}"]) for row in rows], label="validation")
        axis.set(xlabel=unit, ylabel=metric.replace("_", " "), title=name)
        axis.legend()
    save_figure(figure, target)


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
    save_figure(figure, target)


def write_heard(
    folder: Path, step: int, name: str, sound: np.ndarray, features: np.ndarray, spec: FeatureSpec
) -> None:
    """Write a sound from a vocoder in training, and draw its features beside the given ones.

    Args:
        folder: created where it is missing.
        step, name: of the checkpoint and the recording; they name the files.
        sound: [shape=(samples,)].
        features: the vocoder's input [shape=(frames, mels)].
        spec: of the features.
    """
    from matplotlib.figure import Figure

    stem = make_folder(folder) / f"{step:06d}-{name}"
    write_wav(stem.with_suffix(".wav"), np.clip(sound, -1, 1), spec.sample_rate)
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    distance = mel_distance(features, sound, spec)
    titles = (f"{name}, given", f"after {step} steps, distance {distance:.1f} dB")
    for axis, values, title in zip(axes, (features, extract(sound, spec)), titles, strict=True):
        image = axis.imshow(values.T, origin="lower", aspect="auto", vmin=0, vmax=1)
        axis.set(xlabel="frame", title=title)
    axes[0].set_ylabel("mel band")
    figure.colorbar(image, ax=axes)
    save_figure(figure, stem.with_suffix(".png"))
