"""Figures of the analysis of a listening test.

References:
    Soomro et al., Interspeech 2019, figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...output.plots import literal, save_both
from ..ratings import NOTHING
from .intelligibility import ELSE
from .mean_opinion import SCALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Labels of the scale.
LABELS = ("1 Bad", "2 Poor", "3 Fair", "4 Good", "5 Excellent")
#: Colours that people with any colour vision can distinguish (Okabe and Ito).
_ORIGINAL, _PLAIN, _PRIOR, _ANCHOR = "#777777", "#e69f00", "#0072b2", "#bbbbbb"
#: Bars of figure 3: name, experiment, stage and colour.
_FIGURE_3 = (
    ("original", 2, "before", _ORIGINAL),
    ("classifier", 2, "after", _PLAIN),
    ("decoder", 4, "after", _PRIOR),
)
_FROM_NOISE = (("classifier", 1, "generated", _PLAIN), ("decoder", 3, "generated", _PRIOR))

#: Number of words up to which figures grow; more words are set closer.
_WIDE = 150
#: Least height of a confusion matrix in inches, for the text beside it.
_LOW = 3.0

Row = Mapping[str, Any]


def draw_figures(root: Path, results: Mapping[str, Any]) -> dict[str, str]:
    """Draw all figures there are data for; return their captions by the stem of the file name."""
    captions: dict[str, str] = {}
    if rating := results["rating"]:
        captions |= _draw_ratings(root, rating)
    if word := results["word"]:
        captions |= _draw_words(root, word)
    for outcome, what in (("rating", "mean rating"), ("heard", "share that heard the word")):
        rows = [r for r in results["proxies"][outcome] if r["correlation"] is not None]
        if rows:
            stem = f"proxies-{outcome}"
            draw_proxies(root / stem, rows, what)
            captions[stem] = f"What tells the {what} without people, 95 % intervals over words"
    return captions


def _draw_ratings(root: Path, rating: Mapping[str, Any]) -> dict[str, str]:
    draw_means(root / "conditions", rating["conditions"], "mean rating", chance=None)
    draw_histograms(root / "histograms", rating["conditions"])
    captions = {
        "conditions": "Mean rating of each condition, 95 % intervals over raters and recordings",
        "histograms": "Share of each rating in each condition",
    }
    about = (
        ("figure-3", _FIGURE_3, "Mean rating of each word, from utterances (the paper's figure 3)"),
        ("from-noise", _FROM_NOISE, "Mean rating of each word, from noise"),
    )
    for stem, groups, caption in about:
        if draw_bars(root / stem, rating["words"], groups):
            captions[stem] = caption
    return captions


def _draw_words(root: Path, word: Mapping[str, Any]) -> dict[str, str]:
    heard, stems = word["hearing"], {}
    draw_means(root / "heard", word["conditions"], "heard rightly", chance=heard["chance"])
    stems["heard"] = "Share of words heard rightly, 95 % intervals over raters and recordings"
    for number, (condition, counts) in enumerate(heard["confusion"].items(), 1):
        stem = f"confusion-{number}"
        draw_confusion(root / stem, counts, heard["words"], condition)
        stems[stem] = f"What was heard: {condition}"
    return stems


def _figure(width: float, height: float) -> Figure:
    # Matplotlib takes long to import.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_means(stem: Path, rows: Sequence[Row], what: str, *, chance: float | None) -> None:
    """Draw the mean of each condition with its interval, the first at the top.

    Args:
        stem: path without a suffix.
        rows: see `keras_listen.listening_test.analyse.mean_opinion.conditions`.
        what: label of the axis.
        chance: share of right answers by guessing, for shares; None for ratings.
    """
    figure = _figure(7.2, 1.3 + 0.42 * len(rows))
    axis = figure.subplots()
    for place, row in enumerate(rows):
        color = _color(row)
        if row["low"] is not None:
            axis.plot([row["low"], row["high"]], [place, place], color=color, linewidth=3)
        axis.plot(row["mean"], place, "o", color=color, markersize=8)
        text = f"{row['mean']:.2f}" if chance is None else f"{100 * row['mean']:.0f} %"
        axis.annotate(text, (row["mean"], place), (0, 7), textcoords="offset points", ha="center")
    axis.set_yticks(range(len(rows)), [literal(row["condition"]) for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.7)
    if chance is None:
        axis.set_xlim(0.8, 5.2)
        axis.set_xticks(SCALE, LABELS)
    else:
        axis.set_xlim(-0.03, 1.05)
        axis.set_xticks(np.linspace(0, 1, 6), [f"{share} %" for share in range(0, 101, 20)])
        axis.axvline(chance, color="black", linestyle=":", linewidth=1, label="chance")
        axis.legend(loc="lower right", fontsize=8)
    axis.grid(axis="x", alpha=0.3)
    axis.set_xlabel(what)
    save_both(figure, stem)


def _color(row: Row) -> str:
    if row["experiment"] is None:
        return _ANCHOR
    if row["stage"] == "before":
        return _ORIGINAL
    return _PLAIN if row["prior"] in ("", "none") else _PRIOR


def draw_bars(stem: Path, rows: Sequence[Row], groups: Sequence[tuple]) -> bool:
    """Draw mean ratings by word, sorted by the first group with data; return whether there is one.

    Args:
        stem: path without a suffix.
        rows: see `keras_listen.listening_test.analyse.mean_opinion.words`.
        groups: name, experiment, stage and colour of each bar of a word.
    """
    means = {
        name: {r["word"]: r for r in rows if (r["experiment"], r["stage"]) == (number, stage)}
        for name, number, stage, _ in groups
    }
    groups = [group for group in groups if means[group[0]]]
    if not groups:
        return False
    words = sorted({word for mine in means.values() for word in mine})
    first = means[groups[0][0]]
    words.sort(key=lambda word: -first[word]["mean"] if word in first else 0)
    # Of few words, the legend needs more room than they.
    figure = _figure(max(4.4, 2.2 + 0.32 * min(len(words), _WIDE)), 3.8)
    axis = figure.subplots()
    width = 0.82 / len(groups)
    for number, (name, *_, color) in enumerate(groups):
        there = [i for i, word in enumerate(words) if word in means[name]]
        mine = [means[name][words[i]] for i in there]
        places = np.array(there) + (number - (len(groups) - 1) / 2) * width
        heights = [row["mean"] - 1 for row in mine]
        axis.bar(places, heights, width, bottom=1, color=color, label=name)
        ends = [(row["low"], row["high"]) for row in mine]
        drawn = [(x, *end) for x, end in zip(places, ends, strict=True) if end[0] is not None]
        if drawn:
            axis.vlines(*zip(*drawn, strict=True), color="black", linewidth=0.7, alpha=0.55)
    axis.set_xticks(range(len(words)), [literal(word) for word in words], rotation=90)
    axis.set_xlim(-0.6, len(words) - 0.4)
    axis.set_ylim(1, 5)
    axis.set_yticks(SCALE, LABELS)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=len(groups), frameon=False)
    save_both(figure, stem)
    return True


def draw_histograms(stem: Path, rows: Sequence[Row]) -> None:
    """Draw the share of each rating, a panel per condition, all on one scale."""
    columns = min(len(rows), 4)
    lines = -(-len(rows) // columns)
    figure = _figure(2.6 * columns, 2.1 * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat
    for axis in axes[len(rows) :]:
        axis.remove()
    for axis, row in zip(axes, rows, strict=False):
        axis.bar(SCALE, np.array(row["histogram"]) / row["judgements"], color=_color(row))
        axis.set_title(f"{literal(row['condition'])} ({row['judgements']})", fontsize=9)
        axis.set_ylim(0, 1)
        axis.set_xticks(SCALE, [label.replace(" ", "\n") for label in LABELS], fontsize=7)
        axis.tick_params(labelbottom=True)
        axis.set_yticks((0, 0.5, 1), ("0", "50 %", "100 %"), fontsize=8)
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
    save_both(figure, stem)


def draw_proxies(stem: Path, rows: Sequence[Row], what: str) -> None:
    """Draw each proxy's rank correlation, over all recordings and within conditions."""
    figure = _figure(7.2, 1.5 + 0.5 * len(rows))
    axis = figure.subplots()
    kinds = (
        ("correlation", "", -0.13, _PRIOR, "o", "all recordings"),
        ("within", "within_", 0.17, _PLAIN, "s", "within conditions"),
    )
    for name, prefix, shift, color, marker, label in kinds:
        mine = [(i, r) for i, r in enumerate(rows) if r[name] is not None]
        for place, row in mine:
            if row[f"{prefix}low"] is not None:
                ends = row[f"{prefix}low"], row[f"{prefix}high"]
                axis.plot(ends, [place + shift] * 2, color=color, linewidth=2)
        points = [row[name] for _, row in mine], [place + shift for place, _ in mine]
        axis.plot(*points, marker, color=color, label=label)
    axis.axvline(0, color="black", linewidth=1)
    axis.set_yticks(range(len(rows)), [row["proxy"].replace("_", " ") for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(-1.02, 1.02)
    axis.grid(axis="x", alpha=0.3)
    axis.set_xlabel(f"rank correlation (Spearman) with the {what}")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    save_both(figure, stem)


def draw_confusion(
    stem: Path, counts: Mapping[str, Mapping[str, int]], words: Sequence[str], title: str
) -> None:
    """Draw the shares of answers to each word in one condition; darker is more."""
    spoken, answers = [w for w in words if w in counts], [*words, NOTHING, ELSE]
    shares = np.array([[counts[w].get(answer, 0) for answer in answers] for w in spoken], float)
    shares /= shares.sum(axis=1, keepdims=True)
    height = max(_LOW, 1.6 + 0.24 * min(len(spoken), _WIDE))
    figure = _figure(2.6 + 0.24 * min(len(answers), _WIDE), height)
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(answers)), [literal(word) for word in answers], rotation=90)
    axis.set_yticks(range(len(spoken)), [literal(word) for word in spoken])
    axis.set(xlabel="heard", ylabel="word", title=literal(title))
    figure.colorbar(image, ax=axis, label="share of answers")
    save_both(figure, stem)
