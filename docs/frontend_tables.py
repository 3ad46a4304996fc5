"""Write the tables of docs/frontends.md from settings and presets.

python docs/frontend_tables.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from keras_listen.models.frontends.components import FACTORIES, MICRO
from keras_listen.models.frontends.micro import MicroSettings
from keras_listen.models.frontends.presets import PRESETS
from keras_listen.models.frontends.settings import (
    MelSettings,
    MfccSettings,
    Settings,
    SpectrumSettings,
    hints_of,
)
from keras_listen.plugins.component import Component, Option
from keras_listen.plugins.option_types import type_name

PAGE = Path(__file__).with_name("frontends.md")
KINDS: dict[type[Settings], str] = {
    Settings: "waveform",
    SpectrumSettings: "spectrogram",
    MelSettings: "mel",
    MfccSettings: "mfcc",
    MicroSettings: "tflite-micro",
}


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def value(given: Any) -> str:
    return (
        "none" if given is None else str(given).lower() if isinstance(given, bool) else str(given)
    )


def described(kind: type[Settings]) -> list[Option]:
    """Return the settings that a kind adds to the kind before it."""
    known = set(hints_of(kind.__mro__[1])) if kind is not Settings else set()
    factory = MICRO if kind is MicroSettings else FACTORIES[KINDS[kind]]
    component = Component("frontend", KINDS[kind], factory, "keras-listen", "")
    return [option for option in component.options if option.name not in known]


def settings_table(kind: type[Settings]) -> str:
    """Return the table of the settings that a kind adds."""
    lines = [row("setting", "values", "default", "meaning"), "|---|---|---|---|"]
    for option in described(kind):
        values = re.sub(r"Union|Literal|pathlib\.|[\[\]']", "", type_name(option.type))
        cells = option.name, values, value(option.default), option.doc
        lines.append(row(f"`{cells[0]}`", *cells[1:]))
    return "\n".join(lines)


def presets_table() -> str:
    """Return the table of presets, with the settings that differ from their kind's defaults."""
    lines = [row("preset", "settings", "source"), "|---|---|---|"]
    for name, preset in PRESETS.items():
        changed = ", ".join(f"{key}={value(given)}" for key, given in preset.changed.items())
        lines.append(
            row(
                f"`{name}`",
                f"{preset.about} `{KINDS[preset.settings]}` with {changed}",
                preset.source,
            )
        )
    return "\n".join(lines)


def filled(page: str) -> str:
    """Return the page with its tables as they should be, between marks in comments."""
    tables = {KINDS[kind]: settings_table(kind) for kind in KINDS} | {"presets": presets_table()}
    for name, table in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = mark.subn(lambda found, table=table: found[1] + table + "\n" + found[2], page)
        if count != 1:
            raise SystemExit(f"{PAGE} has {count} places for the table {name}; expected one")
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
