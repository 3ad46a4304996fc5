"""Draw the figures of a debugging run: the published maps, and the confusion matrix.

References:
    Soomro et al., Interspeech 2019, figure 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..output.plots import literal, save_both
from .debug_set import DebugSet, Points
from .tsne import Choice, Map, choose_shown, fit_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Color = tuple[float, float, float, float]

#: Share of a map's span below which an arrow of figure 4(a) is left out, as published.
_SHORT = 0.01
#: Names in a legend at most.
_LEGEND = 20


def draw_figures(
    root: Path,
    debug_set: DebugSet,
    points: Points,
    wrong: np.ndarray,
    confusion: Sequence[Sequence[int]],
    *,
    commands: int | None,
    speakers_shown: int | None,
    seed: int,
) -> None:
    """Draw the published figures, each with a fit of its own, and the confusion matrix.

    Args:
        root: the output folder.
        debug_set, points: of the debugging run.
        wrong: mask of the misclassified points [shape=(points,), bool].
        confusion: see `draw_confusion`.
        commands, speakers_shown: how many of them are wanted; as published where None.
        seed: of the fits.
    """
    words = np.array([sample.word for sample in debug_set.samples])
    speakers = debug_set.speakers
    draw_confusion(root / "confusion", confusion, debug_set.experiment.classifier.words)
    if wrong.any():
        asked = {"commands": commands or 3, "shown": speakers_shown or 80}
        choice = choose_shown(words, speakers, wrong, **asked)
        at = choice.chosen
        title = f"Misclassified utterances{_shown(choice, **asked)}"
        places = fit_map(points.before[at], points.after[at], seed)
        draw_commands(root / "figure-4a", places, words[at], choice, title)
    asked = {"commands": commands or 2, "shown": speakers_shown or 2}
    choice = choose_shown(words, speakers, np.ones(len(words), bool), **asked)
    at = choice.chosen
    title = f"All utterances{_shown(choice, **asked)}"
    places = fit_map(points.before[at], points.after[at], seed)
    draw_speakers(
        root / "figure-4b", places, words[at], speakers[at], wrong[at], choice, title
    )  # fmt: skip


def _shown(choice: Choice, commands: int, shown: int) -> str:
    """Return the title's part on how many words and speakers a figure shows."""
    text = (
        f" of {len(choice.words)} words by {len(choice.speakers)} speakers: "
        f"{len(choice.chosen)} utterances"
    )
    if choice.raised:
        text += f"\n({commands} words and {shown} speakers were asked for, too few for a map)"
    return text


def _draw_groups(
    axis: Axes, places: Map, groups: Sequence[str], names: Sequence[str], arrows: np.ndarray
) -> None:
    """Draw each group in its colour, with arrows where the mask `arrows` says so."""
    groups = np.asarray(groups)
    for color, name in zip(_colors(len(names)), names, strict=True):
        mine = groups == name
        _scatter(axis, places.before[mine], "o", color)
        _scatter(axis, places.after[mine], "^", color)
        _arrows(axis, places, mine & arrows, color)


def draw_commands(
    stem: Path, places: Map, words: Sequence[str], choice: Choice, title: str
) -> None:
    """Draw figure 4(a) as `stem`.png and .pdf: where misclassified utterances of some words go.

    Args:
        stem: path without a suffix.
        places: of the chosen utterances alone.
        words: of each of them.
        choice: which they are.
        title: says what is shown.
    """
    figure, axis = _plain(title)
    _draw_groups(axis, places, words, choice.words, _moved(places))
    _legend(axis, choice.words)
    save_both(figure, stem)


def draw_speakers(
    stem: Path,
    places: Map,
    words: Sequence[str],
    speakers: Sequence[str],
    misclassified: np.ndarray,
    choice: Choice,
    title: str,
) -> None:
    """Draw figure 4(b) as `stem`.png and .pdf: all utterances of some words by some speakers.

    A number beside each maximized point stands for its word; misclassified ones are circled.

    Args:
        stem: path without a suffix.
        places: of the chosen utterances alone.
        words, speakers: of each of them.
        misclassified: mask of them [shape=(utterances,), bool].
        choice: which they are.
        title: says what is shown.
    """
    figure, axis = _plain(title)
    _draw_groups(axis, places, speakers, choice.speakers, np.ones(len(speakers), bool))
    for (x, y), word in zip(places.after, words, strict=True):
        number = str(choice.words.index(word) + 1)
        axis.annotate(number, (x, y), (4, 3), textcoords="offset points", fontsize=7)
    circled = places.before[misclassified]
    axis.scatter(*circled.T, s=110, facecolors="none", edgecolors="black", linewidths=1.2)
    _legend(axis, choice.speakers, circled=True)
    numbers = ", ".join(f"{i} {word}" for i, word in enumerate(choice.words[:_LEGEND], 1))
    axis.set_xlabel(literal(numbers), fontsize=8, wrap=True)
    save_both(figure, stem)


def draw_confusion(stem: Path, confusion: np.ndarray, words: Sequence[str]) -> None:
    """Draw the confusion matrix as `stem`.png and .pdf.

    Args:
        stem: path without a suffix.
        confusion: counts [shape=(words, words)]; rows are the words said.
        words: in the order of rows and columns.
    """
    from matplotlib.figure import Figure

    confusion = np.asarray(confusion)
    size = 2.5 + 0.3 * min(len(words), 70)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axis = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    every = -(-len(words) // 70)
    names = [literal(word) for word in words]
    axis.set_xticks(range(0, len(words), every), names[::every], rotation=90)
    axis.set_yticks(range(0, len(words), every), names[::every])
    axis.set(xlabel="heard by the classifier", ylabel="word said")
    if len(words) <= 40:
        for (i, j), number in np.ndenumerate(confusion):
            if number:
                color = "white" if shares[i, j] > 0.5 else "black"
                axis.text(j, i, str(number), ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(image, ax=axis, label="share of the word's utterances", shrink=0.8)
    save_both(figure, stem)


def _plain(title: str) -> tuple[Figure, Axes]:
    """Return a figure and its axis without ticks: units of t-SNE mean nothing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 6.4), layout="constrained")
    axis = figure.subplots()
    axis.set(xticks=[], yticks=[])
    axis.set_title(literal(title), fontsize=9, wrap=True)
    return figure, axis


def _colors(count: int) -> list[Color]:
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](i) for i in range(count)]
    return [colormaps["nipy_spectral"](x) for x in np.linspace(0.05, 0.95, count)]


def _scatter(axis: Axes, places: np.ndarray, marker: str, color: Color) -> None:
    filled = {"facecolors": "none", "edgecolors": [color]} if marker == "o" else {"color": [color]}
    axis.scatter(*places.T, marker=marker, s=26, linewidths=1.1, **filled)


def _moved(places: Map) -> np.ndarray:
    """Return the mask of ways of at least a hundredth of the map [shape=(utterances,), bool]."""
    everything = np.concatenate([places.before, places.after])
    span = np.ptp(everything, axis=0)
    return (np.abs(places.after - places.before) >= _SHORT * span).any(axis=1)


def _arrows(axis: Axes, places: Map, mask: np.ndarray, color: Color) -> None:
    for start, end in zip(places.before[mask], places.after[mask], strict=True):
        style = {"arrowstyle": "->", "color": color, "alpha": 0.45, "linewidth": 0.8}
        axis.annotate("", end, start, arrowprops=style | {"shrinkA": 3, "shrinkB": 3})


def _legend(axis: Axes, names: Sequence[str], *, circled: bool = False) -> None:
    from matplotlib.lines import Line2D

    plain = {"linestyle": "", "color": "grey"}
    handles = [
        Line2D([], [], marker="s", label=literal(name), **plain | {"color": color})
        for name, color in list(zip(names, _colors(len(names)), strict=True))[:_LEGEND]
    ]
    handles += [
        Line2D([], [], marker="o", markerfacecolor="none", label="original", **plain),
        Line2D([], [], marker="^", label="maximized", **plain),
    ]
    if circled:
        ring = {"markerfacecolor": "none", "markersize": 11, "color": "black", "linestyle": ""}
        handles.append(Line2D([], [], marker="o", label="misclassified", **ring))
    axis.legend(handles=handles, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
