"""Finding, isolating, listing and resolving plugins.

Built-ins are ordinary plugins. Hook implementations are called one at a time with a `register` that
knows whose it is: a plugin that fails takes nobody else with it, and every name has an owner.
"""

from __future__ import annotations

import inspect
import logging
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any

import pluggy

from . import hookspecs
from .errors import ListenError, ParameterError, PluginError, Unavailable, unknown
from .version import __version__

KINDS = ("prior", "objective", "vocoder", "reader")
GROUP = "keras_listen"
OWN = "keras-listen"
_BUILT_IN = (
    "objectives",
    "priors",
    "readers",
    "vocoders.griffin_lim",
    "vocoders.wavenet",
)
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

log = logging.getLogger("keras_listen")


@dataclass(frozen=True)
class Option:
    """One keyword-only argument of a factory."""

    name: str
    type: Any
    default: Any
    doc: str

    @property
    def type_name(self) -> str:
        """The type as it stands in the factory's signature."""
        if isinstance(self.type, type):
            return self.type.__name__
        return str(self.type).replace("typing.", "")

    def convert(self, value: Any) -> Any:
        """Turn a string from the command line into the option's type; pass others through.

        Raises:
            ValueError: the string does not fit.
        """
        return _convert(value, self.type) if isinstance(value, str) else value


@dataclass(frozen=True)
class Component:
    """A registered factory and where it comes from."""

    kind: str
    name: str
    factory: Callable[..., Any]
    distribution: str
    version: str
    unavailable: Callable[[], str | None] | None = None
    fallback: str | None = None

    @property
    def full_name(self) -> str:
        """`distribution:name`, which picks this one among components of the same name."""
        return f"{self.distribution}:{self.name}"

    def is_called(self, name: str) -> bool:
        """Say whether `name` is one of its two names."""
        return name in (self.name, self.full_name)

    @property
    def doc(self) -> str:
        """The first line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0]

    @property
    def options(self) -> tuple[Option, ...]:
        """The factory's keyword-only arguments."""
        hints = _hints(self.factory)
        parameters = inspect.signature(self.factory).parameters.values()
        return tuple(
            _option(parameter, hints.get(parameter.name, str))
            for parameter in parameters
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        )

    def why_unavailable(self) -> str | None:
        """Say why the component cannot work here, or None."""
        try:
            return self.unavailable() if self.unavailable else None
        except Exception as error:
            return f"its check failed: {type(error).__name__}: {error}"

    def create(self, bundle: Any = None, options: Mapping[str, Any] | None = None) -> Any:
        """Call the factory with `options`, strings among them converted.

        Raises:
            ParameterError: an option is unknown or its value does not fit.
            Unavailable: the component cannot work here.
            PluginError: a factory of another distribution failed unexpectedly.
        """
        values = self.convert_options(options or {})
        if reason := self.why_unavailable():
            message = f"{self.kind} {self.name} is unavailable: {reason}"
            raise Unavailable(message, fallback=self.fallback)
        try:
            return self.factory(bundle, **values)
        except ListenError:
            raise
        except Exception as error:
            if self.distribution == OWN:
                raise
            raise PluginError(
                f"{self.kind} {self.name} of {self.distribution} {self.version} failed: "
                f"{type(error).__name__}: {error}"
            ) from error

    def convert_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check and convert `given` options; see `create`."""
        known = {option.name: option for option in self.options}
        values = {}
        for name, value in given.items():
            if name not in known:
                raise ParameterError(unknown(f"option of {self.kind} {self.name}", name, known))
            try:
                values[name] = known[name].convert(value)
            except ValueError:
                raise ParameterError(
                    f"option {self.kind}.{self.name}.{name} is {value!r}; expected "
                    f"{known[name].type_name}, for instance {known[name].default!r}"
                ) from None
        return values


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be loaded, and why."""

    distribution: str
    version: str
    reason: str


@dataclass
class Registry:
    """The components of all plugins that loaded, and the failures of the others."""

    components: list[Component] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def find(self, kind: str, name: str) -> Component:
        """Return the component called `name`, or `distribution:name`.

        Raises:
            ParameterError: no such component.
            PluginError: two distributions claim the name.
        """
        mine = [component for component in self.components if component.kind == kind]
        found = [component for component in mine if component.is_called(name)]
        if not found:
            failed = "".join(f"; plugin {f.distribution} failed: {f.reason}" for f in self.failures)
            raise ParameterError(unknown(kind, name, {c.name for c in mine}) + failed)
        if len(found) > 1:
            owners = " and ".join(sorted(component.distribution for component in found))
            choices = " or ".join(sorted(component.full_name for component in found))
            raise PluginError(f"{kind} {name} is claimed by {owners}; name one: {choices}")
        return found[0]

    def create(
        self, kind: str, name: str, bundle: Any = None, options: Mapping[str, Any] | None = None
    ) -> Any:
        """Find a component and create it; see `find` and `Component.create`."""
        return self.find(kind, name).create(bundle, options)

    def add_plugin(
        self, manager: pluggy.PluginManager, plugin: Any, owner: tuple[str, str]
    ) -> None:
        """Register one plugin with all its components, or record why it failed with none."""
        gathered: list[Component] = []
        try:
            manager.register(plugin)
            manager.check_pending()
            _call_hooks(manager, plugin, gathered, owner)
        except (Exception, SystemExit) as error:
            if manager.is_registered(plugin):
                manager.unregister(plugin)
            self.fail(owner, error)
        else:
            self.components.extend(gathered)

    def fail(self, owner: tuple[str, str], error: BaseException) -> None:
        """Record and report that the plugin of `owner` failed."""
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self.failures.append(Failure(*owner, reason))
        log.warning("plugin %s %s failed and is left out: %s", *owner, reason)


def _call_hooks(
    manager: pluggy.PluginManager, plugin: Any, gathered: list[Component], owner: tuple[str, str]
) -> None:
    for kind in KINDS:
        for implementation in getattr(manager.hook, f"register_{kind}s").get_hookimpls():
            if implementation.plugin is plugin:
                implementation.function(_registrar(kind, gathered, owner))


def _registrar(kind: str, gathered: list[Component], owner: tuple[str, str]) -> Callable[..., None]:
    def register(
        name: str,
        factory: Callable[..., Any],
        *,
        unavailable: Callable[[], str | None] | None = None,
        fallback: str | None = None,
    ) -> None:
        if any(other.kind == kind and other.name == name for other in gathered):
            raise PluginError(f"{kind} {name} is registered twice")
        gathered.append(Component(kind, name, factory, *owner, unavailable, fallback))

    return register


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows the four hooks and no plugin."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """Load the built-ins and every installed plugin, once a process."""
    registry, manager = Registry(), new_manager()
    for name in _BUILT_IN:
        registry.add_plugin(manager, import_module(f".{name}", __package__), (OWN, __version__))
    for entry_point in metadata.entry_points(group=GROUP):
        distribution = entry_point.dist
        owner = (distribution.name, distribution.version) if distribution else ("unknown", "?")
        try:
            plugin = entry_point.load()
        except (Exception, SystemExit) as error:
            registry.fail(owner, error)
        else:
            registry.add_plugin(manager, plugin, owner)
    return registry


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a factory's options, of a class those of its constructor.

    Annotations of other arguments may name what only a type checker imports.
    """
    function = factory.__init__ if isinstance(factory, type) else inspect.unwrap(factory)
    function = getattr(function, "func", function)
    names = {
        parameter.name: parameter.annotation
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.annotation is not inspect.Parameter.empty
    }
    holder = types.SimpleNamespace(__annotations__=names)
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    return typing.get_type_hints(holder, globalns=scope, include_extras=True)


def _option(parameter: inspect.Parameter, hint: Any) -> Option:
    doc = ""
    if typing.get_origin(hint) is typing.Annotated:
        hint, doc, *_ = typing.get_args(hint)
    default = None if parameter.default is inspect.Parameter.empty else parameter.default
    return Option(parameter.name, hint, default, doc)


def _convert(text: str, kind: Any) -> Any:
    """Turn `text` into `kind`: a plain type, a Literal, or a union with None."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        choices = {str(member): member for member in members}
        if text not in choices:
            raise ValueError(text)
        return choices[text]
    if origin in (typing.Union, types.UnionType):
        if type(None) in members and text.lower() == "none":
            return None
        return _convert(text, next(member for member in members if member is not type(None)))
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError(text)
    return kind(text) if kind in (int, float) else text
