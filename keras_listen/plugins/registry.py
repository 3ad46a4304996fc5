"""The components of all plugins, and the plugins that failed or are disabled.

The hooks of each plugin are called separately, each with its own `register`: a plugin that fails
affects no other one, and every component is registered under its plugin's distribution.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from .. import hookspecs
from ..errors import ParameterError, PluginError, unknown
from .component import KINDS, OWN, Component, canonical, require_proper
from .discovery import DISABLE, Source
from .failures import reason
from .hook_checks import require_hooks, require_version

HOOKS = tuple(f"register_{kind}s" for kind in KINDS)

log = logging.getLogger("keras_listen")


@dataclass(frozen=True)
class Failure:
    """A plugin that failed or is disabled.

    Attributes:
        distribution, version: of the plugin.
        reason: why, in one line.
        state: "failed" or "disabled".
        components: kind and name of each component that it registered before it failed.
        source: where the plugin was found, or None.
    """

    distribution: str
    version: str
    reason: str
    state: str = "failed"
    components: tuple[tuple[str, str], ...] = ()
    source: Source | None = None

    def __str__(self) -> str:
        was = "failed" if self.state == "failed" else "is disabled"
        return f"plugin {self.distribution} {self.version} {was}: {self.reason}"

    def has_component(self, kind: str, name: str) -> bool:
        """Return whether the plugin is known to have the component.

        It is if it registered the component before it failed, or if the name begins with the
        plugin's distribution.
        """
        owner, _, short = name.rpartition(":")
        if owner:
            return canonical(owner) == canonical(self.distribution)
        return (kind, short) in self.components


@dataclass
class Registry:
    """The components of all plugins that were loaded, and the failures of the others.

    Attributes:
        components: in the order of registration.
        failures: plugins that failed or are disabled.
        strict: whether a plugin that fails is an error.
    """

    components: list[Component] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    strict: bool = False

    def find(self, kind: str, name: str) -> Component:
        """Return the component called `name`, or `distribution:name`.

        If a built-in component and others have the name, the built-in one is returned.

        Raises:
            ParameterError: no such component; the message lists failed and disabled plugins that
                may bring it.
            PluginError: several plugins have registered the name.
        """
        mine = [component for component in self.components if component.kind == kind]
        found = [component for component in mine if component.is_called(name)]
        if not found:
            known = {c.full_name if ":" in name else c.name for c in mine}
            raise ParameterError(self._unknown(kind, name, known))
        found = [component for component in found if component.is_own] or found
        if len(found) > 1:
            owners = " and ".join(sorted(component.distribution for component in found))
            choices = " or ".join(sorted(component.full_name for component in found))
            raise PluginError(f"{kind} {name} is claimed by {owners}; name one: {choices}")
        return found[0]

    def use(self, component: Component) -> str:
        """Return the shortest name by which `find` returns the component."""
        others = [
            c for c in self.components if (c.kind, c.name) == (component.kind, component.name)
        ]
        plain = component.is_own or others == [component]
        return component.name if plain else component.full_name

    def presets(self) -> set[str]:
        """Return the names of all presets that components bring."""
        return {name for component in self.components for name in component.presets}

    def versions(self) -> dict[str, str]:
        """Return the version of each distribution that brought components, except our own."""
        found = {c.distribution: c.version for c in self.components if not c.is_own}
        return dict(sorted(found.items()))

    def _unknown(self, kind: str, name: str, known: set[str]) -> str:
        """Return the message for an unknown component, with the plugins that may bring it."""
        if left_out := [failure for failure in self.failures if failure.has_component(kind, name)]:
            return f"no {kind} is called {name!r} here: {'; '.join(map(str, left_out))}"
        text = unknown(kind, name, known)
        if not self.failures or ":" in name or "did you mean" in text:
            return text
        failures = "; ".join(map(str, self.failures))
        return f"{text}; it may be of a plugin that is left out: {failures}"

    def create(
        self, kind: str, name: str, bundle: Any = None, options: Mapping[str, Any] | None = None
    ) -> Any:
        """Find a component and create it; see `find` and `Component.create`."""
        return self.find(kind, name).create(bundle, options)

    def add_plugin(
        self,
        manager: pluggy.PluginManager,
        plugin: Any,
        owner: tuple[str, str],
        source: Source | None = None,
    ) -> None:
        """Call the hooks of a plugin and add its components; if it fails, record why and add none.

        Args:
            manager: calls the hooks.
            plugin: module or object with hooks.
            owner: distribution and version of the plugin.
            source: where it was found.

        Raises:
            PluginError: the plugin failed, and the registry is strict.
        """
        gathered: list[Component] = []
        try:
            require_version(plugin)
            require_hooks(plugin, HOOKS)
            manager.register(plugin)
            manager.check_pending()
            self._call_hooks(manager, plugin, gathered, owner, source)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if manager.is_registered(plugin):
                manager.unregister(plugin)
            names = tuple((component.kind, component.name) for component in gathered)
            self.fail(owner, error, source, names)
        else:
            self.components.extend(gathered)

    def add_source(self, manager: pluggy.PluginManager, source: Source) -> None:
        """Import a plugin and add it; if it fails, record why.

        Raises:
            PluginError: the plugin failed, and the registry is strict.
        """
        owner = source.distribution, source.version
        if source.note:
            log.warning("plugin %s", source.note)
        try:
            self._require_free(source)
            plugin = source.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.fail(owner, error, source)
            return
        if source.file:
            owner = source.distribution, str(getattr(plugin, "__version__", source.version))
        self.add_plugin(manager, plugin, owner, source)

    def fail(
        self,
        owner: tuple[str, str],
        error: BaseException,
        source: Source | None = None,
        components: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Record and log that the plugin of `owner` failed.

        Args:
            owner: distribution and version.
            error: raised by the plugin.
            source: where it was found.
            components: kind and name of each component that it registered before.

        Raises:
            PluginError: the registry is strict.
        """
        why = reason(error, source.module if source else None)
        failure = Failure(*owner, why, components=components, source=source)
        if self.strict:
            raise PluginError(str(failure)) from error
        self.failures.append(failure)
        log.warning("plugin %s %s failed and is left out: %s", *owner, why)

    def disable(self, source: Source) -> None:
        """Record that a plugin is disabled."""
        why = f"by --no-plugin or {DISABLE}"
        owner = source.distribution, source.version
        self.failures.append(Failure(*owner, why, "disabled", source=source))

    def _require_free(self, source: Source) -> None:
        """Refuse a plugin whose distribution has the name of another plugin."""
        name = canonical(source.distribution)
        taken = {canonical(c.distribution) for c in self.components}
        if name == OWN or (source.file and name in taken):
            raise PluginError(
                f"another plugin is called {source.distribution}, too; rename this one"
            )

    def _call_hooks(
        self,
        manager: pluggy.PluginManager,
        plugin: Any,
        gathered: list[Component],
        owner: tuple[str, str],
        source: Source | None,
    ) -> None:
        file = source.file if source else None
        for kind in KINDS:
            for implementation in getattr(manager.hook, f"register_{kind}s").get_hookimpls():
                if implementation.plugin is plugin:
                    implementation.function(self._registrar(kind, gathered, owner, file))

    def _registrar(
        self, kind: str, gathered: list[Component], owner: tuple[str, str], file: Path | None
    ) -> Callable[..., None]:
        def register(
            name: str,
            factory: Callable[..., Any],
            *,
            unavailable: Callable[[], str | None] | None = None,
            fallback: str | None = None,
            presets: Mapping[str, Mapping[str, Any]] | None = None,
        ) -> None:
            known = {} if presets is None else presets
            component = Component(kind, name, factory, *owner, unavailable, fallback, file, known)
            require_proper(component)
            for other in (*self.components, *gathered):
                if (other.kind, other.full_name) == (kind, component.full_name):
                    raise PluginError(f"{kind} {name} is registered twice")
            gathered.append(component)

        # Python's messages about wrong arguments contain this name.
        register.__qualname__ = "register"
        return register


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager with all hooks and no plugins."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager
