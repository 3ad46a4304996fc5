"""Settings of an evaluation, its presets and their defaults.

Neither TensorFlow nor Keras is imported, because `--help` reads this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from ..errors import ParameterError
from ..experiment.settings import CommandSettings, SharedSettings, unique
from ..maximization.settings import AscentSettings
from ..plugins import OWN
from ..plugins.component import canonical

_DEFAULTS: dict[str, Any] = {
    "priors": ("none", "ae"),
    "objectives": ("softmax",),
    "samples": 1000,
    "options": (),
}
#: Settings by preset, where they differ: "paper" is what was published, "transfer" what convinced a
#: network of another architecture most among the settings that were tried with the embedded bundle.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"samples": 10000},
    "transfer": {
        "priors": ("vae",),
        "steps": 150,
        "step_size": 0.04,
        "shift": 16,
        "options": ("prior.vae.pull=0.02",),
    },
}
#: Settings of the ascent that stand in front in a manifest, where they have always stood.
_FIRST = ("steps", "step_size", "shift", "gain")


@dataclass(frozen=True)
class EvaluationSettings(CommandSettings):
    """What `evaluate` is asked for; see `evaluation.api.evaluate` for the fields."""

    priors: tuple[str, ...]
    objectives: tuple[str, ...]
    samples: int
    start: str
    speech: str | None
    vocoder: str
    cycle_samples: int
    referees: tuple[str, ...]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Gather the parameters of `evaluate`, put on top of the preset among them.

        Raises:
            ParameterError: no preset has the name, or the block size is below 1.
        """
        plain = super().of(given)
        ascent = {one.name: given["shared"].get(one.name) for one in fields(AscentSettings)}
        names = ("priors", "objectives", "samples")
        chosen = with_preset(given["preset"], {n: getattr(plain, n) for n in names} | ascent)
        shared = replace(
            plain.shared,
            ascent=AscentSettings.of(chosen),
            options=tuple(combined_options(chosen["options"], plain.shared.options)),
        )
        return replace(plain, **{name: chosen[name] for name in names}, shared=shared)

    @classmethod
    def from_command(cls, command: Mapping[str, Any]) -> Self:
        """Return the settings of the command in a manifest."""
        own = {one.name: command[one.name] for one in fields(cls) if one.name != "shared"}
        own = {name: tuple(v) if isinstance(v, list) else v for name, v in own.items()}
        return cls(**own, shared=SharedSettings.of({k: command[k] for k in command.keys() - own}))

    def __post_init__(self) -> None:
        if self.shared.block_size < 1:
            text = f"the block size is {self.shared.block_size}; expected at least 1"
            raise ParameterError(text)

    def command(self) -> dict[str, Any]:
        """Return the settings as the manifest keeps them."""
        ascent = self.shared.ascent.recorded()
        return {
            "priors": list(self.priors),
            "objectives": list(self.objectives),
            "samples": self.samples,
            **{name: ascent.pop(name) for name in _FIRST},
            "options": list(self.shared.options),
            "start": self.start,
            "speech": self.speech,
            "vocoder": self.vocoder,
            "cycle_samples": self.cycle_samples,
            "referees": list(self.referees),
            **ascent,
            "seed": self.shared.seed,
            **self.shared.models.settings(),
            "block_size": self.shared.block_size,
        }


def with_preset(preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults, a preset's settings and those given, the latter standing above.

    Raises:
        ParameterError: no preset has the name.
    """
    if preset is not None and preset not in PRESETS:
        raise ParameterError(f"no preset is called {preset!r}; known: {', '.join(sorted(PRESETS))}")
    chosen = _DEFAULTS | PRESETS.get(preset, {})
    chosen |= {k: v for k, v in given.items() if v is not None and v != () and v != []}
    for name in ("priors", "objectives"):
        chosen[name] = unique(chosen[name])
    # A preset's options are of its own priors; others may have been given in their place.
    own = [prior.removeprefix(f"{OWN}:") for prior in chosen["priors"]]
    chosen["options"] = [o for o in chosen["options"] if o.split(".")[1] in own]
    return chosen


def combined_options(preset: Iterable[str], given: Sequence[str]) -> list[str]:
    """Return a preset's options and those given, which stand above it by either of their names."""

    def path(option: str) -> str:
        kind, _, rest = option.partition("=")[0].partition(".")
        owner, _, name = rest.rpartition(":")
        return f"{kind}.{name if canonical(owner) == OWN else rest}"

    known = set(map(path, given))
    return [*(option for option in preset if path(option) not in known), *given]
