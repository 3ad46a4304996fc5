"""Settings of a debugging run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..errors import ParameterError, unknown
from ..experiment.presets import recorded, under_preset
from ..experiment.settings import CommandSettings, require_least
from ..plugins import default_registry
from ..plugins.presets import PAPER
from .results import BASES


@dataclass(frozen=True)
class DebugSettings(CommandSettings):
    """Settings of a debugging run; see `debug` for the fields."""

    store: str
    split: str
    prior: str
    objective: str
    vocoder: str
    words: tuple[str, ...]
    speakers: tuple[str, ...]
    misclassified: str
    tickets: int | None
    commands: int | None
    speakers_shown: int | None
    audio: str | None
    reader: str

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Gather the parameters of `debug`, put on top of the preset.

        Raises:
            ListenError: a name is unknown, or a setting is out of its range.
        """
        return under_preset(super().of(given), PAPER)

    def __post_init__(self) -> None:
        least = {"block_size": 1, "tickets": 0, "commands": 1, "speakers_shown": 1}
        require_least({**vars(self), "block_size": self.shared.block_size}, least)
        if self.misclassified not in BASES:
            raise ParameterError(unknown("basis of misclassified", self.misclassified, BASES))
        default_registry().find("reader", self.reader)

    def command(self) -> dict[str, Any]:
        """Return the settings as the manifest keeps them."""
        return {
            **recorded(self.shared.preset),
            "store": self.store,
            "split": self.split,
            "prior": self.prior,
            "objective": self.objective,
            "vocoder": self.vocoder,
            "words": list(self.words),
            "speakers": list(self.speakers),
            "misclassified": self.misclassified,
            "tickets": self.tickets,
            "commands": self.commands,
            "speakers_shown": self.speakers_shown,
            **self.shared.ascent.recorded(always=("steps", "step_size")),
            "seed": self.shared.seed,
            **self.shared.models.settings(),
            "options": list(self.shared.options),
            "audio": self.audio,
            "reader": self.reader,
            "block_size": self.shared.block_size,
        }
