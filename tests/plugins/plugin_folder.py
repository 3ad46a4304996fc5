"""Plugins for tests: modules made in the process, and distributions written to a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

from keras_listen.hookspecs import hookimpl
from keras_listen.seeds import normal


def plugin(name: str = "plugin", **hooks) -> types.ModuleType:
    """Return a module whose hooks are the functions given."""
    module = types.ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def reader(bundle):
    """Read nothing: a factory of a component that is easily told from others."""
    return lambda paths, sample_rate: ((path, None) for path in paths)


def brings(name: str, factory=reader, **settings):
    """Return a hook that registers one component."""

    def hook(register):
        register(name, factory, **settings)

    return hook


def made_of(spec, **changes):
    """Return a prior without any network, with some of its parts replaced."""
    parts = {
        "spec": spec,
        "bounded": False,
        "step_size": 0.01,
        "start": lambda targets, seeds: normal(seeds, spec.shape, 0.1),
        "encode": lambda features: features,
        "decode": lambda z: z,
    }
    return SimpleNamespace(**(parts | changes))


def install(
    folder: Path,
    distribution: str,
    module: str,
    code: str,
    *,
    version: str = "0.7",
    entry_points: str | None = None,
) -> Path:
    """Write a module and what an installer would write about its distribution."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (about / "METADATA").write_text(text)
    named = entry_points or f"{module} = {module}"
    (about / "entry_points.txt").write_text(f"[keras_listen]\n{named}\n")
    return folder / f"{module}.py"


def run_python(*arguments, path: list[Path] | tuple[Path, ...] = (), cwd=None, **variables):
    """Run Python with folders first on its path and environment variables set."""
    places = [*map(str, path), os.environ.get("PYTHONPATH", "")]
    settings = {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | settings | {name: str(value) for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def listen(*arguments, **settings):
    """Run keras-listen in a process of its own; see `run_python`."""
    return run_python("-m", "keras_listen", *arguments, **settings)
