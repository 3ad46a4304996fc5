"""Settings of an evaluation and their defaults.

Neither TensorFlow nor Keras is imported, because `--help` reads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from ..errors import ParameterError
from ..experiment.presets import find_components, recorded, require_preset, with_preset
from ..experiment.settings import CommandSettings, SharedSettings, unique
from ..maximization.presets import COMMANDS
from ..maximization.settings import AscentSettings
from ..plugins.presets import PAPER

_DEFAULTS: dict[str, Any] = {
    "priors": ("none", "ae"),
    "objectives": ("softmax",),
    "samples": 1000,
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
    #: Settings of the ascent by prior, where the preset's differ between the priors.
    ascents: Mapping[str, AscentSettings] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Gather the parameters of `evaluate`, put on top of the preset among them.

        Raises:
            ParameterError: a preset, prior or vocoder is unknown, or the block size is below 1.
        """
        plain = super().of(given | {"ascents": None})
        preset = require_preset(plain.shared.preset or PAPER)
        # Asked for by name, a preset also has settings of the evaluation itself.
        chosen = _DEFAULTS | COMMANDS["evaluate"].get(plain.shared.preset, {})
        chosen |= {n: v for n in _DEFAULTS if (v := getattr(plain, n)) not in (None, ())}
        chosen["priors"], chosen["objectives"] = map(
            unique, (chosen["priors"], chosen["objectives"])
        )
        priors = {name: find_components([("prior", name)]) for name in chosen["priors"]}
        ascents = {
            name: with_preset(plain.shared, preset, found).ascent for name, found in priors.items()
        }
        used = [("prior", name) for name in priors] + [("vocoder", plain.vocoder)]
        shared = with_preset(plain.shared, preset, find_components(used))
        same = len(set(ascents.values())) == 1
        ascent = next(iter(ascents.values())) if same else plain.shared.ascent
        shared = replace(shared, ascent=ascent, preset=plain.shared.preset)
        return replace(plain, **chosen, shared=shared, ascents=None if same else ascents)

    @classmethod
    def from_command(cls, command: Mapping[str, Any]) -> Self:
        """Return the settings of the command in a manifest."""
        names = {one.name for one in fields(cls)} - {"shared", "ascents"}
        own = {name: command[name] for name in names}
        own = {name: tuple(v) if isinstance(v, list) else v for name, v in own.items()}
        rest = {k: command[k] for k in command.keys() - names - {"ascents"}}
        ascents = {k: AscentSettings.of(v) for k, v in command.get("ascents", {}).items()}
        return cls(**own, shared=SharedSettings.of(rest), ascents=ascents or None)

    def __post_init__(self) -> None:
        if self.shared.block_size < 1:
            text = f"the block size is {self.shared.block_size}; expected at least 1"
            raise ParameterError(text)

    def ascent_of(self, prior: str) -> AscentSettings:
        """Return the settings of the ascent with one of the priors."""
        return self.ascents[prior] if self.ascents else self.shared.ascent

    def command(self) -> dict[str, Any]:
        """Return the settings as the manifest keeps them."""
        ascent = self.shared.ascent.recorded()
        return {
            **recorded(self.shared.preset),
            **(
                {"ascents": {n: a.recorded() for n, a in self.ascents.items()}}
                if self.ascents
                else {}
            ),
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
