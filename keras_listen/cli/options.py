"""Options that commands share, made from the fields of settings classes.

The ascent's are declared in `maximization.settings`, the others in `experiment.settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar

import click

from ..experiment.settings import ModelChoice, SharedSettings, shared_fields
from ..maximization.settings import AscentSettings
from ..models.backend import prepare_environment

Command = TypeVar("Command", bound=Callable[..., Any])


def split_words(texts: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """Return the words of options that are repeated, or have several words between commas.

    Args:
        texts: values of the option.
        known: words that may have commas of their own.
    """
    return [
        word
        for text in texts
        for word in ([text] if text in known else split_list(None, None, text))
    ]


def _split_words(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> list[str]:
    return split_words(value)


def words_option(text: str, *, names: str = "word", split: bool = True) -> Callable:
    """Return an option for words: `--word` and `--words`, repeated or separated by commas.

    Args:
        text: its help.
        names: what is named, in the singular.
        split: at commas; or else the command calls `split_words`.
    """
    return click.option(
        f"--{names}",
        f"--{names}s",
        f"{names}s",
        multiple=True,
        metavar=f"{names.upper()},...",
        callback=_split_words if split else None,
        help=text,
    )


def split_list(
    context: click.Context | None, parameter: click.Parameter | None, value: str | None
) -> list[str]:
    """Turn "a,b,c" into its parts; nothing into an empty list."""
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def settings_options(*classes: type, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Return a decorator that adds an option for each field of settings classes.

    Options have no default of their own: without one, that of the field or of a preset holds.

    Args:
        classes: of settings.
        without: names of fields that become no option.
    """
    known = [one for some in classes for one in fields(some) if "help" in one.metadata]
    options = [_option(one) for one in known if one.name not in without]

    def add(command: Command) -> Command:
        # Click shows options in reverse order of their decorators.
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _option(one: Field) -> Callable[[Command], Command]:
    """Make an option of a field; see `maximization.settings.setting`."""
    about, default = one.metadata, one.default
    name = about.get("option", "--" + one.name.replace("_", "-"))
    if isinstance(default, tuple):
        return click.option(
            name, one.name, multiple=True, metavar=about["metavar"], help=about["help"]
        )
    if isinstance(default, bool):
        return click.option(name, is_flag=True, default=None, help=about["help"])
    text = about["help"]
    if default is not None:
        text += f"  [{default:g}]" if isinstance(default, float) else f"  [{default}]"
    return click.option(name, one.name, type=_type(one), metavar=about.get("metavar"), help=text)


def _type(one: Field) -> click.ParamType:
    """Return click's type of a field."""
    about, default = one.metadata, one.default
    if "choices" in about:
        return click.Choice(about["choices"])
    if about.get("path"):
        return click.Path()
    if "metavar" in about:
        return click.STRING
    if isinstance(default, int):
        return click.IntRange(min=about["minimum"]) if "minimum" in about else click.INT
    return click.FloatRange(min=about["minimum"]) if "minimum" in about else click.FLOAT


def require_known(given: Mapping[str, Any], **how: Any) -> None:
    """Refuse unknown names while TensorFlow is not yet imported; see `experiment.early`."""
    # A plugin may import TensorFlow when it is loaded.
    prepare_environment()
    # Imports NumPy, which --help does not need.
    from ..experiment.early import require_known as require

    require(given, **how)


#: Help of `--split`.
SPLIT = (
    "Utterances of the store to use: of the speakers for training, validation or testing, whom no "
    "other split has, or all."
)

#: The options that `run`, `evaluate`, `debug` and `study make` share.
shared_options = settings_options(AscentSettings, SharedSettings, ModelChoice)

#: The options that describe one classifier, for commands whose argument it is.
classifier_options = settings_options(ModelChoice, without=("bundle", "classifier"))

#: Options of components, for commands that take no other shared option.
component_options = _option(shared_fields()["options"])
