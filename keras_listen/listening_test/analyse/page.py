"""The page of `keras-listen study analyse`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...output.files import write_text
from ...output.pages import render, template_text
from .figures import draw_figures
from .results import THRESHOLDS

#: Adjusted p-value below which a difference counts as shown.
_SIGNIFICANT = 0.05
_CLEARER = {"rating": "clearer", "word": "heard rightly more often"}
_LESS_CLEAR = {"rating": "less clear", "word": "heard rightly less often"}

Row = Mapping[str, Any]


def write_report(root: Path, results: Mapping[str, Any], manifest: Mapping[str, Any]) -> Path:
    """Draw the figures and write `index.html`; return its path."""
    captions = draw_figures(root, results)
    text = render(
        "study_analysis.html",
        scripts=[template_text("tables.js")],
        title=root.resolve().name,
        manifest=manifest,
        results=results,
        captions=captions,
        conditions=condition_rows(results["rating"]),
        heard=condition_rows(results["word"]),
        words=word_table(results["rating"]),
        words_heard=word_table(results["word"]),
        comparisons={m: [sentence(c, m) for c in _comparisons(results[m])] for m in _CLEARER},
        raters=[rater | {"why": "; ".join(rater["reasons"])} for rater in results["raters"]],
        proxies={name: proxy_rows(rows) for name, rows in results["proxies"].items()},
        published=published_rows(results["published_rule"]),
        number_of_dropped=results["counts"]["raters_dropped"],
    )
    write_text(root / "index.html", text)
    return root / "index.html"


def _comparisons(mode: Mapping[str, Any] | None) -> Sequence[Row]:
    return mode["comparisons"] if mode else []


def condition_rows(mode: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the rows of a table of conditions, with intervals as text."""
    if not mode:
        return []
    above = {row["condition"]: row for row in mode.get("words_above", [])}
    limits = [f"above_{limit}" for limit in THRESHOLDS]
    return [
        {**row, "interval": interval(row["low"], row["high"], _mode(row))}
        | {"coded_0_4": row["mean"] - 1}
        | {limit: above.get(row["condition"], {}).get(limit) for limit in limits}
        for row in mode["conditions"]
    ]


def interval(low: float | None, high: float | None, mode: str = "rating") -> str:
    """Format an interval for a table: percent in mode word, a dash for none."""
    if low is None or high is None:
        return "\N{EN DASH}"
    if mode == "word":
        return f"{100 * low:.1f} to {100 * high:.1f} %"
    return f"{low:.2f} to {high:.2f}"


def word_table(mode: Mapping[str, Any] | None) -> tuple[dict[str, tuple], list[dict[str, Any]]]:
    """Return columns and rows of a table of words by conditions.

    Columns are keyed by number, because conditions may have any name.
    """
    rows = mode["words"] if mode else []
    kind = "percent" if rows and _mode(rows[0]) == "word" else "number"
    titles = list(dict.fromkeys((row["experiment"], row["condition"]) for row in rows))
    columns = {"word": ("word", "text")}
    columns |= {str(i): (title, kind) for i, (_, title) in enumerate(titles)}
    lines: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault(row["word"], dict.fromkeys(columns) | {"word": row["word"]})
        line[str(titles.index((row["experiment"], row["condition"])))] = row["mean"]
    return columns, [lines[word] for word in sorted(lines)]


def _mode(row: Row) -> str:
    """Return the mode that a row of means belongs to."""
    return "rating" if "histogram" in row else "word"


def sentence(comparison: Row, mode: str) -> dict[str, Any]:
    """Return a comparison as a row of a table, with a sentence on what it shows."""
    words, raters = comparison["by_word"], comparison["by_rater"]
    return {
        "what": f"{comparison['condition']} against {comparison['against']}",
        "mean": comparison["mean"],
        "against_mean": comparison["against_mean"],
        "difference": comparison["difference"],
        "interval": interval(comparison["low"], comparison["high"], mode),
        "words": words["pairs"],
        "p_words": words["p_adjusted"],
        "effect_words": words["effect"],
        "raters": raters["pairs"] if raters else 0,
        "p_raters": raters["p_adjusted"] if raters else None,
        "effect_raters": raters["effect"] if raters else None,
        "shown": _shown(comparison, mode),
    }


def _shown(comparison: Row, mode: str) -> str:
    """Describe what a comparison shows, and for whom."""
    words, raters = comparison["by_word"], comparison["by_rater"]
    if words["p_adjusted"] >= _SIGNIFICANT:
        return "no difference is shown, which is not to say that there is none"
    what = (_CLEARER if comparison["difference"] > 0 else _LESS_CLEAR)[mode] + _by(comparison, mode)
    ends = comparison["low"], comparison["high"]
    beyond = None not in ends and ends[0] * ends[1] > 0
    if beyond and raters and raters["p_adjusted"] < _SIGNIFICANT:
        return f"{what}, over words and over raters"
    return f"{what} over words, for these raters; of others too little is known"


def _by(comparison: Row, mode: str) -> str:
    """Describe the size of a difference."""
    size = abs(comparison["difference"])
    return (
        f" by {size:.2f} points" if mode == "rating" else f" by {100 * size:.0f} percentage points"
    )


def proxy_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows of a table of proxies."""
    return [
        {
            **row,
            "name": row["proxy"].replace("_", " "),
            "interval": interval(row["low"], row["high"]),
            "within_interval": interval(row["within_low"], row["within_high"]),
        }
        for row in rows
    ]


def published_rows(published: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the results under the published rule, as rows of tables."""
    if published is None:
        return None
    return {
        "note": published["note"],
        "dropped": published["dropped"],
        "conditions": condition_rows(published),
        "comparisons": [sentence(row, "rating") for row in published["comparisons"]],
    }
