"""A proxy around each component: it checks what methods return, and names the plugin in errors.

Shapes and types are checked while TensorFlow traces, so no step of an ascent takes longer; values
are checked only where they are NumPy arrays anyway. Built-in components are checked, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import ListenError, ParameterError, PluginError
from .failures import reason
from .return_checks import CHECKS, short, wrong_pair


class WatchedComponent(Protocol):
    """What a proxy needs to know of a component; `component.Component` has it."""

    @property
    def kind(self) -> str: ...
    @property
    def described(self) -> str: ...
    @property
    def is_own(self) -> bool: ...
    @property
    def factory(self) -> Callable: ...


#: Attributes and methods that each kind of component must have.
_NEEDED = {
    "prior": (("spec", "bounded", "step_size"), ("start", "encode", "decode")),
    "objective": ((), ("__call__",)),
    "vocoder": (("spec",), ("synthesize",)),
    "reader": ((), ("__call__",)),
    "frontend": (("sample_rate", "samples"), ("__call__",)),
}


def _is_step(value: Any) -> bool:
    return isinstance(value, Real) and 0 < value < float("inf")


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value > 0


def _is_count_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


#: By kind: name of an attribute, check of its value where there is one, what is expected.
_FITTING: dict[str, tuple[tuple[str, Callable[[Any], bool], str], ...]] = {
    "prior": (
        ("step_size", _is_step, "a number above 0"),
        ("bounded", _is_bool, "True or False"),
    ),
    "objective": (
        ("uses_targets", _is_bool, "True or False"),
        ("label", _is_text, "a text"),
    ),
    "vocoder": (),
    "reader": (),
    "frontend": (
        ("sample_rate", _is_count, "Hz, a whole number above 0"),
        ("samples", _is_count_or_none, "a whole number above 0, or None"),
    ),
}


class Watched:
    """A proxy with all attributes of what a factory made; calls of its methods are checked.

    Attributes:
        watched_made: what the factory made.
        watched_component: the component that the factory belongs to.
    """

    def __init__(self, made: Any, component: WatchedComponent):
        self.__dict__.update(watched_made=made, watched_component=component)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "watched_")):
            raise AttributeError(name)
        value = _attribute(self, name)
        kind = self.watched_component.kind
        if name == "rewritten":
            # The engine caches its graphs by object, so this must be the same object each time.
            value = self.__dict__[name] = Watched(value, self.watched_component)
        elif name == "for_steps":
            value = self.__dict__[name] = _for_steps(value, self.watched_component)
        elif (kind, name) in CHECKS:
            value = partial(_call, self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.watched_made, name, value)

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        if self.watched_component.kind == "reader":
            return _read(self, *arguments, **settings)
        return _call(self, "__call__", self.watched_made, *arguments, **settings)

    def __repr__(self) -> str:
        return f"<{self.watched_component.described}: {self.watched_made!r}>"


def _for_steps(
    method: Callable[[int], Any], component: WatchedComponent
) -> Callable[[int], Watched]:
    """Watch the priors that `for_steps` returns, each the same object whenever it is asked for."""

    @cache
    def for_steps(steps: int) -> Watched:
        return Watched(_guarded(component, "for_steps ", partial(method, steps)), component)

    return for_steps


def checked(made: Any, component: WatchedComponent) -> Watched:
    """Check the attributes of what a component's factory made, and return a proxy of it.

    Raises:
        PluginError: an attribute or method of the kind is missing or of another type.
    """
    attributes, methods = _NEEDED[component.kind]
    missing = [name for name in attributes if not hasattr(made, name)]
    missing += [name for name in methods if not callable(getattr(made, name, None))]
    if not getattr(made, "uses_targets", True) and not hasattr(made, "label"):
        missing.append("label, which names samples without a target")
    if missing:
        raise PluginError(
            f"{component.described}: the factory made {short(made)}, which lacks "
            f"{', '.join(missing)}; see the contract of register_{component.kind}s"
        )
    for name, fits, expected in _FITTING[component.kind]:
        value = getattr(made, name, None)
        if hasattr(made, name) and not fits(value):
            raise PluginError(f"{component.described}: {name} is {value!r}; expected {expected}")
    return Watched(made, component)


def fault(made: Any, what: str, text: str) -> ListenError:
    """Return an error about a component: a PluginError that names the plugin if it has one.

    Args:
        made: a proxy, or any other object.
        what: name for a component that is built in or no proxy, such as "the prior".
        text: rest of the message.
    """
    if isinstance(made, Watched) and not made.watched_component.is_own:
        return PluginError(f"{made.watched_component.described} {text}")
    return ParameterError(f"{what} {text}")


def is_foreign(made: Any) -> bool:
    """Return whether an object was made by a plugin, not by a built-in component."""
    return isinstance(made, Watched) and not made.watched_component.is_own


def _attribute(watched: Watched, name: str) -> Any:
    """Return an attribute of what was made; any exception but AttributeError is a failure."""
    try:
        return getattr(watched.watched_made, name)
    except (AttributeError, KeyboardInterrupt):
        raise
    except BaseException:
        made, component = watched.watched_made, watched.watched_component
        return _guarded(component, f"{name} ", partial(getattr, made, name))


def _call(watched: Watched, name: str, method: Callable, *arguments: Any, **settings: Any) -> Any:
    component = watched.watched_component
    called = "" if name == "__call__" else f"{name} "
    result = _guarded(component, called, partial(method, *arguments, **settings))
    if wrong := CHECKS[component.kind, name](watched, result, *arguments, **settings):
        raise PluginError(f"{component.described}: {called}{wrong}")
    return result


def _read(watched: Watched, paths: Iterable[Path], sample_rate: int) -> Iterator[tuple[Path, Any]]:
    """Call a reader, and check each pair that it yields."""
    paths, component = list(paths), watched.watched_component
    read = partial(watched.watched_made, paths, sample_rate)
    pairs = _guarded(component, "", lambda: iter(read()))
    return _each_pair(component, pairs, paths)


def _each_pair(
    component: WatchedComponent, pairs: Iterator[Any], paths: list[Path]
) -> Iterator[tuple[Path, Any]]:
    for path in paths:
        pair = _guarded(component, f"reading {path} ", partial(next, pairs, None))
        if wrong := wrong_pair(pair, path):
            raise PluginError(f"{component.described}: {wrong}")
        yield pair


def _guarded(component: WatchedComponent, called: str, function: Callable[[], Any]) -> Any:
    """Call a function of a component; turn an unexpected exception of a plugin into PluginError."""
    try:
        return function()
    except (ListenError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if component.is_own:
            raise
        why = reason(error, component.factory)
        raise PluginError(f"{component.described}: {called}failed: {why}") from error
