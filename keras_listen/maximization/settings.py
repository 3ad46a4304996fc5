"""Settings of the gradient ascent, declared once for every command that maximizes.

The fields of `AscentSettings` are the options of the command line, the keywords of the public
functions, keys of `study make --with`, and entries of manifests: another one needs a line here and
in `AscentKeywords`, and its effect in `maximization.ascent`. TensorFlow isn't imported, because
`--help` reads this module.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from ..errors import ParameterError

OPTIMIZERS = ("normalized", "momentum", "adam")


def setting(default: Any, help: str, **about: Any) -> Any:
    """Declare a field of a settings class.

    Args:
        default: its value where none is given.
        help: its line in `--help`.
        about: for the command line: `choices`, `minimum`, `metavar`, `path=True`, and the name of
            the `option` where it differs from the field's.
    """
    return field(default=default, metadata={"help": help, **about})


class AscentKeywords(TypedDict, total=False):
    """The fields of `AscentSettings` as keywords; None stands for the default."""

    steps: int | None
    step_size: float | None
    optimizer: str | None
    shift: int | None
    gain: float | None
    stop_at: float | None
    keep_best: bool | None


@dataclass(frozen=True)
class AscentSettings:
    """Settings of the gradient ascent as users give them; `maximization.ascent` checks ranges.

    The defaults are the published settings.

    Attributes:
        steps: number of steps, 0 or more.
        step_size: root mean square of a step's change of the latent; the prior's where None.
        optimizer: "normalized" as published, "momentum" or "adam".
        shift: at each step, features are moved by up to so many frames.
        gain: at each step, features are made louder or softer by up to so many dB.
        stop_at: a sample stops once its target has this probability; never where None.
        keep_best: keep each sample's step with the highest objective, not its last.
    """

    steps: int = setting(20, "Steps of the ascent: more climb higher and take longer.", minimum=0)
    step_size: float | None = setting(
        None, "Root mean square change of the latent in a step.  [the prior's]"
    )
    optimizer: str = setting("normalized", "Update rule.", choices=OPTIMIZERS)
    shift: int = setting(0, "Jitter features in time by up to this many frames.", minimum=0)
    gain: float = setting(0.0, "Jitter the level of features by up to this many dB.", minimum=0)
    stop_at: float | None = setting(
        None, "Stop a sample once its target has this probability, above 0 and up to 1."
    )
    keep_best: bool = setting(False, "Keep each sample's best step, not its last.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> AscentSettings:
        """Return the settings among `given`; what is absent or None has its default."""
        names = {one.name for one in fields(cls)}
        return cls(**{k: v for k, v in given.items() if k in names and v is not None})

    def recorded(self, always: Collection[str] | None = None) -> dict[str, Any]:
        """Return the settings for a manifest, by name.

        Args:
            always: names that stand there whatever their value, all by default. Others stand there
                where they differ from the default, so that manifests from before an option existed
                stay those of the same command.
        """
        return {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default
            or always is None
            or one.name in always
        }


def require_ranges(
    steps: int, step_size: float | None, optimizer: str, stop_at: float | None
) -> None:
    """Refuse settings of the ascent that are out of their range.

    Raises:
        ParameterError: one is.
    """
    if steps < 0:
        raise ParameterError(f"steps is {steps}; expected 0 or more")
    if step_size is not None and not 0 < step_size < float("inf"):
        raise ParameterError(f"step_size is {step_size}; expected a number above 0")
    if optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise ParameterError(f"optimizer is {optimizer!r}; expected one of {known}")
    if stop_at is not None and not 0 < stop_at <= 1:
        raise ParameterError(f"stop_at is {stop_at}; expected a probability above 0")
