"""A registry for each test, with the built-in components and the plugins that the test loads."""

from __future__ import annotations

import contextlib
from typing import Any

from ..errors import PluginError
from ..plugins import OWN, Registry, default_registry, new_manager


class IsolatedRegistry(Registry):
    """A registry of the built-in components and of plugins loaded with `load`, not installed ones.

    `keras_listen.resolve` takes it as `registry`.
    """

    def __init__(self) -> None:
        super().__init__([c for c in default_registry().components if c.distribution == OWN])
        self._manager = new_manager()

    def load(
        self, plugin: Any, distribution: str = "under-test", version: str = "0"
    ) -> IsolatedRegistry:
        """Add the components of a plugin as if it were installed.

        Args:
            plugin: module or object with hooks.
            distribution, version: under which its components are registered.

        Returns:
            This registry.

        Raises:
            PluginError: the plugin failed; the message says why.
        """
        known = len(self.failures)
        self.add_plugin(self._manager, plugin, (distribution, version))
        for failure in self.failures[known:]:
            raise PluginError(f"plugin {distribution} {version} failed: {failure.reason}")
        return self


# Components can be checked without pytest, too.
with contextlib.suppress(ModuleNotFoundError):
    import pytest

    @pytest.fixture
    def listen_registry() -> IsolatedRegistry:
        """A registry with the built-ins only; `listen_registry.load(module)` adds a plugin."""
        return IsolatedRegistry()
