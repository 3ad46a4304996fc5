"""Presets: settings by name, as one table of data.

A preset has, for a prior, settings of the ascent (see `.settings`) and `options` of the prior
itself, for a vocoder `options` alone. What a user gives stands above them. "paper" has none: the
published settings are the defaults. Plugins bring presets of their own components when they
register these, see `keras_listen.hookspecs`; built-in components register theirs from this table.
"""

from __future__ import annotations

from typing import Any

from ..plugins.presets import PAPER

#: The preset with which words are understood best; default of `run`.
NATURAL = "natural"
#: Stands for every component of a kind that has no entry of its own.
ANY = "*"

#: By preset, kind and name of a component: settings of the ascent, and options of the component.
PRESETS: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    # What was published.
    PAPER: {},
    # What independent recognisers understand best, see docs/decisions.md.
    NATURAL: {
        "prior": {
            "ae": {
                "steps": 60,
                "step_size": 0.05,
                "shift": 16,
                "gain": 6.0,
                "options": {"learned_pull": 0.2},
            },
            "vae": {
                "steps": 60,
                "step_size": 0.1,
                "shift": 16,
                "gain": 6.0,
                "options": {"learned_pull": 0.2},
            },
            "diffusion": {"steps": 100, "step_size": 0.15, "shift": 16, "gain": 6.0},
        },
        # A voice for features that have none; those with a pitch of their own keep it.
        "vocoder": {
            "griffin-lim": {
                "options": {
                    "start": "gradient",
                    "hold": "bands",
                    "pitch": "auto",
                    "expand": 1.3,
                }
            },
            "wavenet": {"options": {"pitch": "auto", "expand": 1.3}},
        },
    },
    # What convinced a network of another architecture most, without a learned pull.
    "transfer": {
        "prior": {
            "vae": {"steps": 150, "step_size": 0.04, "shift": 16, "options": {"pull": 0.02}},
            ANY: {"steps": 150, "step_size": 0.04, "shift": 16},
        },
    },
}

#: Settings of a command itself, by command and preset, where the preset is asked for.
COMMANDS: dict[str, dict[str, dict[str, Any]]] = {
    "evaluate": {PAPER: {"samples": 10000}, "transfer": {"priors": ("vae",)}},
}


def presets_of(kind: str, name: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a built-in component by preset, for its registration."""
    found = {preset: kinds.get(kind, {}).get(name) for preset, kinds in PRESETS.items()}
    return {preset: entry for preset, entry in found.items() if entry is not None}
