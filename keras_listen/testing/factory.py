"""Check the contract of factories, that of their options included, and create the component."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ListenError, PluginError
from ..hookspecs import hookimpl
from ..plugins import Component, Option, Registry, default_registry, new_manager
from ..plugins.failures import reason
from ..plugins.option_types import KNOWN, NONE, fits, is_plain, members_of
from .sounds import embedded_bundle
from .subject import ContractBroken, Subject

#: By type, values that hardly any component accepts for an option.
_ODD = {
    int: (-1,),
    float: (float("nan"), -1.0),
    str: ("no-such-thing",),
    Path: (Path("no-such-thing"),),
}


def refuses_politely(subject: Subject, use: Callable[[Any], Any]) -> None:
    """Check that the component accepts odd values of each option, or refuses them in one line.

    Args:
        subject: the component under test.
        use: uses what the factory made, which may refuse a value as late as here.
    """
    for option in subject.component.options:
        for value in odd_values(option):
            _try_odd(subject, option, value, use)


def _try_odd(subject: Subject, option: Option, value: Any, use: Callable[[Any], Any]) -> None:
    contract = f"option {option.name}: odd values"
    mend = (
        f"check {option.name} in the factory and raise keras_listen.errors.ParameterError "
        "with one line that says what was given and what was expected"
    )
    try:
        use(subject.make_again(**{option.name: value}))
    except ListenError as error:
        subject.require(
            str(error).strip() and "\n" not in str(error),
            contract,
            seen=f"{type(error).__name__} with the message {str(error)!r}",
            expected="a message of one line",
            mend=mend,
        )
    except Exception as error:
        subject.require(
            False,
            contract,
            seen=f"with {value!r}, {type(error).__name__}: {error}",
            expected="a working component, or a ListenError of one line",
            mend=mend,
        )


def check_factory(subject: Subject) -> None:
    """Check that a factory takes a bundle, and options with types and defaults."""
    parameters = list(inspect.signature(subject.component.factory).parameters.values())
    named = [p.name for p in parameters[1:] if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    subject.require(
        parameters and not named,
        "factory: arguments",
        seen=f"factory{inspect.signature(subject.component.factory)}",
        expected="factory(bundle, *, option: type = default, ...)",
        mend="put every option behind a `*`; only what stands there can be set with -o",
    )
    for option, parameter in zip(subject.component.options, parameters[1:], strict=True):
        _check_option(subject, option, parameter)


def _check_option(subject: Subject, option: Option, parameter: inspect.Parameter) -> None:
    contract = f"option {option.name}: type and default"
    empty = inspect.Parameter.empty
    subject.require(
        parameter.annotation is not empty,
        contract,
        seen=f"`{parameter}`",
        expected="`name: type = default`",
        mend="annotate it: -o makes of a text what the annotation says",
    )
    members = [member for member in members_of(option.type) if member is not NONE]
    subject.require(
        members and all(map(is_plain, members)),
        contract,
        seen=f"the type {option.type_name}",
        expected=KNOWN,
        mend="choose one of these; a text can be taken apart in the factory",
    )
    if parameter.default is empty:
        subject.require(
            option.name in subject.options,
            contract,
            seen=f"`{parameter}`",
            expected="`name: type = default`",
            mend="give a default that works with the embedded bundle; where there can be none, "
            "give the option to the check",
        )
        return
    subject.require(
        fits(option.default, option.type),
        contract,
        seen=f"the default {option.default!r} of type {type(option.default).__name__}",
        expected=option.type_name,
        mend="give a default of the annotated type",
    )


def odd_values(option: Option) -> tuple[Any, ...]:
    """Return values of an option's type that hardly any component accepts.

    A Literal has none: other values than its own are refused before the factory is called.
    """
    return tuple(value for kind in members_of(option.type) for value in _ODD.get(kind, ()))


def component_of(kind: str, given: str | Component | Callable) -> Component:
    """Return the component to check.

    Args:
        kind: of the component.
        given: name of an installed component, a component, or a factory, which is then registered.

    Raises:
        ContractBroken: the factory cannot be registered.
        ParameterError: no component has the name.
    """
    if isinstance(given, str):
        return default_registry().find(kind, given)
    if isinstance(given, Component):
        return given
    called = getattr(given, "__name__", type(given).__name__)
    name = re.sub(r"[^A-Za-z0-9_-]", "", called).strip("_-") or "unnamed"
    plugin = ModuleType("plugin_under_test")
    hook = hookimpl(lambda register: register(name, given))
    setattr(plugin, f"register_{kind}s", hook)
    registry = Registry(strict=True)
    try:
        registry.add_plugin(new_manager(), plugin, ("under-test", "0"))
    except PluginError as error:
        raise ContractBroken(
            f"{kind} {name}",
            "factory: it can be registered",
            seen=reason(error.__cause__),
            expected="factory(bundle, *, option: type = default, ...)",
            mend="see what is said of factories and options in docs/plugins.md",
        ) from error
    return registry.find(kind, name)


def subject_of(
    kind: str, given: str | Component | Callable, bundle: Any, options: Mapping[str, Any]
) -> Subject:
    """Check the factory of a component and call it.

    Args:
        kind: of the component.
        given: name of an installed component, a component, or a factory.
        bundle: passed to the factory; None for the embedded bundle.
        options: of the factory.

    Raises:
        ContractBroken: the factory breaks its contract.
        Unavailable: the component cannot work on this machine.
    """
    if bundle is None and kind not in ("reader", "frontend"):
        bundle = embedded_bundle()
    subject = Subject(component_of(kind, given), bundle, options)
    check_factory(subject)
    subject.make()
    return subject
