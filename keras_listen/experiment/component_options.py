"""Options of components, given as texts such as `prior.ae.start_deviation=0.2`.

TensorFlow isn't imported: a name that is wrong is refused before it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ParameterError, unknown
from ..plugins import KINDS, Component

#: Values of options by kind and name of their component.
Options = Mapping[tuple[str, str], Mapping[str, Any]]


def parse_options(texts: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Parse `KIND.NAME.KEY=VALUE` texts into options by kind and name.

    Raises:
        ParameterError: a text has another form or an unknown kind, or an option is given twice.
    """
    options: dict[tuple[str, str], dict[str, str]] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        # A distribution may have dots in its name, kinds and options have none.
        kind, _, rest = path.partition(".")
        name, _, key = rest.rpartition(".")
        simple = ":" in name or "." not in name
        if not (equals and kind and name and key and simple):
            raise ParameterError(
                f"option {text!r} was not understood; expected KIND.NAME.KEY=VALUE, such as "
                "prior.ae.start_deviation=0.2"
            )
        if kind not in KINDS:
            raise ParameterError(f"in option {text!r} {unknown('kind', kind, KINDS)}")
        mine = options.setdefault((kind, name), {})
        if key in mine:
            raise ParameterError(
                f"option {path} was given twice, as {mine[key]!r} and as {value!r}; drop one"
            )
        mine[key] = value
    return options


def options_in_use(options: Options, found: Mapping[str, Component]) -> dict[str, Mapping]:
    """Return the options of each kind of component.

    Raises:
        ParameterError: one is of a component that is not in use, or is given by two names.
    """
    mine: dict[str, dict[str, Any]] = {}
    spelled: dict[tuple[str, str], str] = {}
    for (kind, name), values in options.items():
        component = found.get(kind)
        if component is None or not component.is_called(name):
            used = f"the {kind} of this run is {component.name}" if component else f"no {kind}"
            key = next(iter(values))
            raise ParameterError(f"option {kind}.{name}.{key} was given, but {used}; drop it")
        # Options may use either name of their component, but no option both.
        for key in values:
            path = f"{kind}.{name}.{key}"
            if (other := spelled.setdefault((kind, key), path)) != path:
                raise ParameterError(
                    f"option {key} of {component.described} was given twice, as {other} and as "
                    f"{path}; drop one"
                )
        mine.setdefault(kind, {}).update(values)
    return mine


def options_among(options: Options, components: Iterable[Component]) -> dict[tuple, Mapping]:
    """Return the options of the given components."""
    components = tuple(components)
    return {key: values for key, values in options.items() if _is_among(key, components)}


def require_used(options: Options, components: Iterable[Component], nobody: str) -> None:
    """Refuse options of components that are not in use.

    Args:
        options: all that were given.
        components: in use.
        nobody: subject of the message, such as "no cell of the evaluation".

    Raises:
        ParameterError: one is of another component.
    """
    components = tuple(components)
    for (kind, name), values in options.items():
        if not _is_among((kind, name), components):
            raise ParameterError(
                f"option {kind}.{name}.{next(iter(values))} was given, but {nobody} has the {kind} "
                f"{name}; drop it"
            )


def _is_among(key: tuple[str, str], components: Iterable[Component]) -> bool:
    """Return whether one of the components has this kind and name."""
    kind, name = key
    return any(c.kind == kind and c.is_called(name) for c in components)
