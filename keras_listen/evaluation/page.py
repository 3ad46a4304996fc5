"""Draw the pictures of an evaluation and write its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..experiment.chunks import read_chunk
from ..output.files import write_text
from ..output.pages import render
from ..output.plots import literal, save_both, save_figure
from .grid import Grid
from .results import ALL, GroupResults, pool_groups

#: Words whose examples are drawn at most, and words that are named along an axis: more would make
#: pictures larger than matplotlib can draw.
SHOWN, _LABELS = 40, 70


def write_report(
    root: Path,
    grid: Grid,
    manifest: Mapping[str, Any],
    counted: Mapping[str, Mapping[str, GroupResults]],
    rows: Sequence[Mapping[str, Any]],
    note: str,
) -> Path:
    """Draw heatmaps, curves and examples, and write `index.html`; return its path.

    Args:
        root: folder to write to.
        grid, manifest: of the evaluation.
        counted: from `evaluation.results.count_grid`.
        rows: from `evaluation.results.result_rows`.
        note: from `evaluation.results.note_of`.
    """
    words = grid.classifier.words
    pictures = {}
    for cell in grid.cells:
        if not cell.experiment.uses_targets:
            continue
        for name in grid.referees:
            probabilities = mean_probabilities(counted[cell.name], name, words)
            title = f"prior {cell.prior}, objective {cell.objective}"
            stem = f"heatmap-{cell.name}-{name}"
            draw_heatmap(root / stem, probabilities, words, title, name)
            pictures[stem] = f"{title}: what {name} hears"
    curves = {c.name: _mean_scores(pool_groups(counted[c.name])) for c in grid.cells}
    draw_curves(root / "curves.png", curves)
    draw_examples(root / "examples.png", root, grid)
    text = render(
        "evaluation.html",
        title=root.resolve().name,
        manifest=manifest,
        rows=rows,
        rates=[key.removesuffix(" low") for key in rows[0] if key.endswith(" low")],
        heatmaps=pictures,
        examples=any(cell.experiment.uses_targets for cell in grid.cells),
        words=len(words),
        shown=SHOWN,
        note=note,
        all_words=ALL,
    )
    write_text(root / "index.html", text)
    return root / "index.html"


def write_published_report(
    root: Path, words: Sequence[str], counted: Mapping[str, GroupResults], referee: str
) -> Path:
    """Draw the heatmap of published files and return its path.

    Args:
        root: folder to write to.
        words, counted: from `keras_listen.evaluation.published.read_published`.
        referee: its name in `counted`.
    """
    probabilities = mean_probabilities(counted, referee, words)
    draw_heatmap(root / "heatmap", probabilities, words, "published files", referee)
    return root / "heatmap.png"


def mean_probabilities(
    groups: Mapping[str, GroupResults], referee: str, words: Sequence[str]
) -> np.ndarray:
    """Return a referee's mean probabilities: rows are targets [shape=(words, words)].

    The row of a word without samples, or that the referee does not know, is NaN.
    """
    probabilities = np.full((len(words), len(words)), np.nan)
    for i, word in enumerate(words):
        if word in groups and referee in groups[word].probability_sums:
            probabilities[i] = groups[word].probability_sums[referee] / groups[word].samples
    return probabilities


def draw_heatmap(
    stem: Path, probabilities: np.ndarray, words: Sequence[str], title: str, referee: str
) -> None:
    """Draw the published figure 5 as `stem`.png and .pdf: darker is higher.

    Rows are targets, the first word at the top; columns are what the referee hears. In the figure
    that was published, both axes carry the words in reverse. Of very many words, not all are named
    at the axes.

    Args:
        stem: path without a suffix.
        probabilities: mean probabilities [shape=(words, words)].
        words: in the order of rows and columns.
        title, referee: for the heading.
    """
    from matplotlib.figure import Figure

    size = 2.5 + 0.28 * min(len(words), _LABELS)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axis = figure.subplots()
    words = [literal(word) for word in words]
    image = axis.imshow(probabilities, cmap="Greys", vmin=0, vmax=1)
    every = -(-len(words) // _LABELS)
    axis.set_xticks(range(0, len(words), every), words[::every], rotation=90)
    axis.set_yticks(range(0, len(words), every), words[::every])
    axis.set(xlabel=f"heard by {referee}", ylabel="target word", title=title)
    figure.colorbar(image, ax=axis, label="mean probability")
    save_both(figure, stem)


def _mean_scores(group: GroupResults) -> np.ndarray:
    return group.scores / group.samples


def draw_curves(path: Path, curves: Mapping[str, np.ndarray]) -> None:
    """Draw the mean objective by step of each cell; cells may have scales of their own."""
    from matplotlib.figure import Figure

    columns = min(len(curves), 4)
    lines = -(-len(curves) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flat
    for axis in axes[len(curves) :]:
        axis.remove()
    for axis, (name, scores) in zip(axes, curves.items(), strict=False):
        axis.plot(range(len(scores)), scores)
        axis.set(xlabel="step", ylabel="mean objective", title=f"{name}: {scores[-1]:.3g}")
    save_figure(figure, path)


def draw_examples(path: Path, root: Path, grid: Grid) -> None:
    """Draw the published figure 2: each word's first start and what it became, cell by cell.

    Of many words, the first `SHOWN` are drawn.
    """
    from matplotlib.figure import Figure

    cells = [cell for cell in grid.cells if cell.experiment.uses_targets]
    if not cells:
        return
    words = grid.classifier.words[:SHOWN]
    figure = Figure(figsize=(4.4 * len(cells), 1.1 * len(words)), layout="constrained")
    axes = figure.subplots(len(words), 2 * len(cells), squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for chunk in grid.chunks():
        labels, numbers = grid.plan(chunk)
        # Only chunks in which such a word begins have something to show.
        if chunk.cell not in cells or not (labels[numbers == 0] < len(words)).any():
            continue
        column = 2 * cells.index(chunk.cell)
        arrays = read_chunk(root, chunk, _EXAMPLE)
        for word, *pair in zip(*(arrays[name] for name in _EXAMPLE), strict=True):
            if word >= len(words):
                break
            for axis, values in zip(axes[word, column : column + 2], pair, strict=True):
                axis.imshow(values.T, origin="lower", aspect="auto", vmin=0, vmax=1, cmap="magma")
    for column, cell in enumerate(cells):
        axes[0, 2 * column].set_title(f"{cell.prior}, {cell.objective}\nbefore", fontsize=8)
        axes[0, 2 * column + 1].set_title("after", fontsize=8)
    for line, word in enumerate(words):
        axes[line, 0].set_ylabel(literal(word), fontsize=8)
    save_figure(figure, path)


_EXAMPLE = ("shown_word", "shown_before", "shown_after")
