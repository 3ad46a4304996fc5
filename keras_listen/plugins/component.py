"""A component registered by a plugin: its names, its options, and its creation.

The name of a component is part of `-o KIND.NAME.KEY=VALUE`, of file names and of tables, so it
consists of letters, digits, hyphens and underscores.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ListenError, ParameterError, PluginError, Unavailable, unknown
from .failures import reason
from .option_types import KNOWN, SIMPLE, convert, described, is_known, type_name
from .presets import require_presets
from .proxy import checked

#: A further kind needs a hook in `hookspecs`, what its components must have in `proxy` and
#: `return_checks`, a template in `scaffold`, and a check in `testing`.
KINDS = ("prior", "objective", "vocoder", "reader", "frontend")
OWN = "keras-listen"
#: Names that mean "no component of this kind".
_RESERVED = {("vocoder", "none")}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Option:
    """A keyword-only argument of a factory.

    Attributes:
        name: of the argument.
        type: the annotation, or the type of the default.
        default: None if the option is required.
        doc: the first text of an `Annotated` annotation, or "".
        required: whether there is no default.
    """

    name: str
    type: Any
    default: Any
    doc: str
    required: bool = False

    @property
    def type_name(self) -> str:
        """The type as written in the factory's signature."""
        return type_name(self.type)

    def convert(self, value: Any) -> Any:
        """Convert a string to the option's type; return any other value if it is of that type.

        Raises:
            ValueError: the value is not of the option's type.
        """
        return convert(value, self.type)


@dataclass(frozen=True)
class Component:
    """A registered factory, and the plugin that registered it.

    Attributes:
        kind: one of `KINDS`.
        name: as registered.
        factory: called as `factory(bundle, **options)`, see `keras_listen.hookspecs`.
        distribution, version: of the plugin.
        unavailable: returns why the component cannot work on this machine, or None.
        fallback: name of the component that is used instead if it is unavailable.
        file: path of a single-file plugin, else None.
        presets: settings by preset, see `keras_listen.hookspecs`.
    """

    kind: str
    name: str
    factory: Callable[..., Any]
    distribution: str
    version: str
    unavailable: Callable[[], str | None] | None = None
    fallback: str | None = None
    file: Path | None = None
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    @property
    def full_name(self) -> str:
        """`distribution:name`, which is unique among the components of a kind."""
        return f"{self.distribution}:{self.name}"

    @property
    def described(self) -> str:
        """Kind, name and, unless built in, distribution and version, for messages."""
        return f"{self.kind} {self.name}{self._owner}"

    @property
    def _owner(self) -> str:
        return "" if self.is_own else f" of {self.distribution} {self.version}"

    @property
    def identity(self) -> dict[str, str]:
        """Name, distribution and version, for manifests."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
        }

    @property
    def is_own(self) -> bool:
        """Whether it is built in."""
        return self.distribution == OWN

    def is_called(self, name: str) -> bool:
        """Return whether `name` is the component's name or `distribution:name`."""
        owner, colon, short = name.rpartition(":")
        return short == self.name and (
            not colon or canonical(owner) == canonical(self.distribution)
        )

    @property
    def doc(self) -> str:
        """The first line of the factory's docstring."""
        return self.documentation.partition("\n")[0]

    @property
    def documentation(self) -> str:
        """The factory's docstring."""
        return inspect.getdoc(self.factory) or ""

    @property
    def source(self) -> str | None:
        """File and line of the factory's definition, or None if unknown."""
        function = inspect.unwrap(self.factory)
        function = getattr(function, "func", function)
        if not inspect.isroutine(function) and not inspect.isclass(function):
            function = type(function)
        try:
            return f"{inspect.getsourcefile(function)}:{inspect.getsourcelines(function)[1]}"
        except (OSError, TypeError):
            return None

    @property
    def options(self) -> tuple[Option, ...]:
        """The factory's keyword-only arguments."""
        hints, documented = _hints(self.factory), _hints(self.factory, include_extras=True)
        parameters = inspect.signature(self.factory).parameters.values()
        return tuple(
            Option(
                name=p.name,
                type=hints.get(p.name, _like(p.default)),
                default=None if p.default is inspect.Parameter.empty else p.default,
                doc=_doc(documented.get(p.name)),
                required=p.default is inspect.Parameter.empty,
            )
            for p in parameters
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        )

    def why_unavailable(self) -> str | None:
        """Return why the component cannot work on this machine, or None if it can."""
        try:
            why = self.unavailable() if self.unavailable else None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return f"its check failed: {reason(error, self.factory)}"
        return " ".join(str(why).split()) if why else None

    def create(self, bundle: Any = None, options: Mapping[str, Any] | None = None) -> Any:
        """Call the factory.

        Args:
            bundle: passed to the factory; None for readers and front ends.
            options: for the factory; strings are converted to the type of their option.

        Returns:
            What the factory made, in a proxy that checks its calls, see `.proxy`.

        Raises:
            ParameterError: an option is unknown, missing, of another type, or refused by the
                factory.
            Unavailable: the component cannot work on this machine.
            PluginError: the factory of a plugin raised another exception, or what it made lacks an
                attribute or method of its kind.
        """
        values = self.convert_options(options or {})
        if why := self.why_unavailable():
            raise Unavailable(f"{self.described} is unavailable: {why}", fallback=self.fallback)
        try:
            return checked(self.factory(bundle, **values), self)
        except ParameterError as error:
            # The factory's message names the option; here the component is added.
            raise ParameterError(f"{self.kind} {self.name}: {error}") from error
        except (ListenError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if self.is_own:
                raise
            raise PluginError(f"{self.described} failed: {reason(error, self.factory)}") from error

    def convert_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check and convert options; see `create`.

        Raises:
            ParameterError: an option is unknown, missing or of another type.
        """
        known = {option.name: option for option in self.options}
        values = {}
        for name, value in given.items():
            if name not in known:
                show = f"keras-listen plugins show {self.name if self.is_own else self.full_name}"
                raise ParameterError(unknown(f"option of {self.described}", name, known, show))
            try:
                values[name] = known[name].convert(value)
            except ValueError:
                raise ParameterError(self._expected(known[name], value)) from None
        for name, option in known.items():
            if option.required and name not in given:
                raise ParameterError(
                    f"{self.described} needs its option {name} ({option.type_name}); give "
                    f"-o {self.kind}.{self.name}.{name}=VALUE"
                )
        return values

    def _expected(self, option: Option, value: Any) -> str:
        example = "" if option.required else f", for instance {option.default!r}"
        return (
            f"option {self.kind}.{self.name}.{option.name}{self._owner} is {value!r}; expected "
            f"{described(option.type)}{example}"
        )


def canonical(distribution: str) -> str:
    """Normalize the name of a distribution as installers do, to compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def require_proper(component: Component) -> None:
    """Check the name, factory, options and presets of a component that is being registered.

    Raises:
        PluginError: the name is invalid or reserved, the factory is not callable or takes wrong
            arguments, an option has an unsupported annotation, or a preset sets what there is not.
    """
    kind, name = component.kind, component.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(
            f"a {kind} is called {name!r}; expected at most 64 letters, digits, - and _, "
            "beginning with a letter or digit"
        )
    if (kind, name) in _RESERVED:
        raise PluginError(f"a {kind} is called {name!r}, which stands for having none")
    if not callable(component.factory):
        raise PluginError(
            f"{kind} {name} is registered with {component.factory!r}; expected a "
            "factory, called as factory(bundle, **options)"
        )
    _require_signature(component)
    require_presets(kind, name, component.presets, component.options)


def _require_signature(component: Component) -> None:
    what = f"the factory of {component.kind} {component.name}"
    try:
        parameters = inspect.signature(component.factory).parameters.values()
    except ValueError as error:
        raise PluginError(f"{what} does not tell its arguments: {error}") from None
    single = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    placed = [p for p in parameters if p.kind in single]
    if not placed and not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        raise PluginError(
            f"{what} takes no bundle; expected factory(bundle, *, option: type = ...)"
        )
    if extra := [p.name for p in placed[1:] if p.default is inspect.Parameter.empty]:
        raise PluginError(
            f"{what} takes {', '.join(extra)} by place; options are keyword-only: "
            "factory(bundle, *, option: type = default)"
        )
    try:
        options = component.options
    except Exception as error:
        text = (
            f"the options of {component.kind} {component.name} have annotations that cannot be read"
        )
        raise PluginError(f"{text}: {type(error).__name__}: {error}") from None
    for option in options:
        if not is_known(option.type):
            raise PluginError(
                f"option {option.name} of {component.kind} {component.name} is of the type "
                f"{option.type_name}; expected {KNOWN}; a text can be taken apart in the factory"
            )


def _hints(factory: Callable[..., Any], **settings: bool) -> dict[str, Any]:
    """Return the types of the options of a factory, or of a class's constructor.

    Annotations of other arguments are left out: they may name what only a type checker imports.
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
    return typing.get_type_hints(holder, globalns=scope, **settings)


def _like(default: Any) -> Any:
    """Return the type of an option without an annotation: that of its default, or Any."""
    if default is None or default is inspect.Parameter.empty:
        return Any
    return next((kind for kind in SIMPLE if isinstance(default, kind)), type(default))


def _doc(hint: Any) -> str:
    """Return the first text of an `Annotated` annotation, or ""."""
    notes = hint.__metadata__ if typing.get_origin(hint) is typing.Annotated else ()
    return next((note for note in notes if isinstance(note, str)), "")
