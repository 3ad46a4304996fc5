"""A registry of its own for each test, with the built-ins and what the test loads."""

from __future__ import annotations

import contextlib
from typing import Any

from ..errors import PluginError
from ..plugins import OWN, Registry, default_registry, new_manager


class IsolatedRegistry(Registry):
    """The built-in components and those of plugins that are loaded by hand, whoever is installed.

    It may be given to `keras_listen.experiment.resolve` as `registry`.
    """

    def __init__(self) -> None:
        super().__init__([c for c in default_registry().components if c.distribution == OWN])
        self._manager = new_manager()

    def load(
        self, plugin: Any, distribution: str = "under-test", version: str = "0"
    ) -> IsolatedRegistry:
        """Register a plugin, a module or object with hooks, as if `distribution` had brought it.

        Raises:
            PluginError: it cannot be loaded; the message says why.
        """
        known = len(self.failures)
        self.add_plugin(self._manager, plugin, (distribution, version))
        for failure in self.failures[known:]:
            raise PluginError(f"plugin {distribution} {version} failed: {failure.reason}")
        return self


# Whoever checks components without pytest has no use for the fixture.
with contextlib.suppress(ModuleNotFoundError):
    import pytest

    @pytest.fixture
    def listen_registry() -> IsolatedRegistry:
        """A registry with the built-ins only; `listen_registry.load(module)` adds a plugin."""
        return IsolatedRegistry()
