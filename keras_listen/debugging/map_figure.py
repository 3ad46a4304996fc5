"""Build the interactive map of a debugging run's page: Bokeh's figure and its points."""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from .results import NO_WORD

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource, GlyphRenderer
    from bokeh.plotting import figure

#: Shown of a point when the pointer is on it.
_HOVER = (
    ("word", "@word"),
    ("speaker", "@speaker"),
    ("predicted", "@predicted (@probability{0.000})"),
    ("after", "@predicted_after"),
    ("file", "@file"),
)
_LABELS = ("word", "predicted", "predicted_after", "predicted_reconstruction")
_TEXTS = ("id", "file")
_NUMBERS = (
    *("probability", "probability_predicted", "probability_reconstruction", "probability_after"),
    "distance",
)
_PLACES = ("x_before", "y_before", "x_after", "y_after")
_COUNTS = ("first_step", "misclassified", "mended", "ticket")
#: Columns of points.csv that the page reads.
COLUMNS = (*_LABELS, "speaker", *_TEXTS, *_NUMBERS, *_PLACES, *_COUNTS)
#: Columns of the drawn points; the page's script fills them.
_DRAWN = (
    *("id", "file", "word", "speaker", "predicted", "probability", "predicted_after"),
    *(*_PLACES, "color"),
)
_NAMES = re.compile(r'"p\d+"|"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"')


def bokeh_script() -> str:
    """Return BokehJS for figures, without widgets, tables and WebGL.

    WebGL would need scripts that are made while the page runs, which its policy forbids.
    """
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", minified=True, components=["bokeh"]).js_raw)


def point_table(rows: Sequence[Mapping[str, str]], words: Sequence[str]) -> dict[str, Any]:
    """Return the points column by column, words and speakers as numbers into lists of them.

    Args:
        rows: of points.csv.
        words: the classifier's, in its order; predictions that are none of them follow.
    """
    labels = {label: [row[label] or NO_WORD for row in rows] for label in _LABELS}
    named = list(dict.fromkeys([*words, *chain.from_iterable(labels.values())]))
    speakers = sorted({row["speaker"] for row in rows})
    table: dict[str, Any] = {"words": named, "speakers": speakers, "colors": _colors(len(named))}
    table["count"] = len(rows)
    for label in _LABELS:
        table[label] = _places(labels[label], named)
    table["speaker"] = _places([row["speaker"] for row in rows], speakers)
    table |= {text: [row[text] for row in rows] for text in _TEXTS}
    table |= {name: [int(row[name] or 0) for row in rows] for name in _COUNTS}
    for name in (*_NUMBERS, *_PLACES):
        table[name] = [round(float(row[name] or "nan"), 4) for row in rows]
    return table


def figure_item(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure as BokehJS takes it, without points, which are in the page already.

    Args:
        table: from `point_table`.
    """
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource

    source = ColumnDataSource({name: [] for name in _DRAWN}, name="points")
    plot = _plot(_span(table, "x"), _span(table, "y"))
    _draw(plot, source)
    return _renumbered(json_item(plot, "map"))


def _plot(x_range: tuple[float, float], y_range: tuple[float, float]) -> figure:
    from bokeh.plotting import figure

    plot = figure(
        name="plot",
        sizing_mode="stretch_both",
        tools="pan,wheel_zoom,box_zoom,reset,save",
        active_scroll="wheel_zoom",
        x_range=x_range,
        y_range=y_range,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color="#80808080",
        toolbar_location="above",
        # After a movement of so many ms all points are drawn again; during it, every tenth.
        lod_timeout=250,
    )
    plot.toolbar.logo = None
    # Axes of t-SNE have no unit, and their numbers say nothing.
    plot.axis.visible = False
    plot.grid.grid_line_color = "#80808030"
    return plot


def _draw(plot: figure, source: ColumnDataSource) -> None:
    from bokeh.models import HoverTool, TapTool

    plot.segment(
        *_PLACES,
        source=source,
        line_color="color",
        line_alpha=0.25,
        nonselection_line_alpha=0.1,
        selection_line_alpha=1,
        selection_line_width=2,
        name="moves",
    )
    points = [_markers(plot, source, when) for when in ("after", "before")]
    _draw_rings(plot, source)
    plot.add_tools(HoverTool(renderers=points, tooltips=list(_HOVER), point_policy="snap_to_data"))
    plot.add_tools(TapTool(renderers=points))


def _markers(plot: figure, source: ColumnDataSource, when: str) -> GlyphRenderer:
    return plot.scatter(
        f"x_{when}",
        f"y_{when}",
        source=source,
        marker={"before": "circle", "after": "triangle"}[when],
        size=6,
        fill_color="color",
        line_color=None,
        alpha={"before": 0.9, "after": 0.6}[when],
        nonselection_alpha=0.3,
        name=when,
    )


def _draw_rings(plot: figure, source: ColumnDataSource) -> None:
    # Of all points only the misclassified ones are outlined: outlines cost as much as markers. The
    # page's script says which they are, and in which colour.
    from bokeh.models import CDSView, IndexFilter

    plot.scatter(
        *_PLACES[:2],
        source=source,
        view=CDSView(filter=IndexFilter([])),
        marker="circle",
        size=9,
        fill_color=None,
        line_width=1.5,
        nonselection_line_alpha=0.3,
        name="rings",
    )


def _span(table: Mapping[str, Any], axis: str) -> tuple[float, float]:
    values = [v for when in ("before", "after") for v in table[f"{axis}_{when}"] if v == v]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _renumbered(item: dict[str, Any]) -> dict[str, Any]:
    # Bokeh counts its models through the whole process and gives documents random names: equal
    # folders would have unequal pages.
    numbers: dict[str, str] = {}

    def numbered(match: re.Match) -> str:
        return numbers.setdefault(match.group(), f'"m{len(numbers)}"')

    return json.loads(_NAMES.sub(numbered, json.dumps(item)))


def _places(values: Sequence[str], among: Sequence[str]) -> list[int]:
    place = {value: i for i, value in enumerate(among)}
    return [place[value] for value in values]


def _colors(count: int) -> tuple[str, ...]:
    # Steps of the golden angle keep neighbours apart, however many there are; every second colour
    # is darker. Both luminances have a contrast of 3 and more to white and to black.
    return tuple(_color((0.58 + i * 0.618034) % 1, (0.27, 0.14)[i % 2]) for i in range(count))


def _color(hue: float, luminance: float) -> str:
    """Return the colour of a hue that has a relative luminance, as WCAG defines it."""
    low, high = 0.0, 1.0
    for _ in range(12):
        lightness = (low + high) / 2
        parts = colorsys.hls_to_rgb(hue, lightness, 0.75)
        low, high = (lightness, high) if _luminance(parts) < luminance else (low, lightness)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def _luminance(parts: Sequence[float]) -> float:
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
