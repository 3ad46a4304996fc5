"""The one way imports go, read off the source; and what every module owes its readers."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import keras_listen
from keras_listen import hookspecs

ROOT = Path(keras_listen.__file__).parent

#: A room imports from itself and from those to its left; `|` stands between rooms that never meet.
RULE = (
    "errors, hookspecs, features, seeds, texts < output < plugins < models < data | maximization"
    " < vocoders < training | experiment < evaluation | debugging | listening_test < testing < cli"
)
TIERS = [tier.replace("|", ",").split(",") for tier in RULE.split("<")]
RANK = {name.strip(): number for number, tier in enumerate(TIERS) for name in tier}
APART = [{name.strip() for name in tier.split("|")} for tier in RULE.split("<") if "|" in tier]
#: Beside the rooms: public names, the command, and paths that plugin authors were promised.
FRONT = {"__init__", "__main__", "priors", "rewrites"}
#: Modules of built-in components: `plugins` names them by string, and none knows another kind.
COMPONENTS = {
    "maximization.objectives",
    "maximization.priors",
    "vocoders.griffin_lim",
    "vocoders.wavenet",
    "data.readers",
    "models.frontends.components",
}

SOURCES = sorted(ROOT.rglob("*.py"))
#: Packages that are installed on their own.
PACKAGED = sorted(
    path
    for pattern in ("*/*.py", "*/*/*.py")
    for path in (Path(__file__).parents[1] / "plugins").glob(pattern)
)


def module_of(path: Path) -> str:
    """Return the dotted name of a source file below the package, "__init__" for its own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in SOURCES}


def targets(tree: ast.AST, package: tuple[str, ...]) -> set[str]:
    """Return the modules of keras_listen that a module in `package` imports, at any depth.

    Imports for types alone count as any other.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {".".join(name[1:]) for name in names if name[0] == "keras_listen"}
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = package[: len(package) - node.level + 1] + module
            elif module[0] == "keras_listen":
                base = module[1:]
            else:
                continue
            for alias in node.names:
                # `from . import name`: a module if there is one, else something of __init__.
                inner = ".".join((*base, alias.name))
                found.add(inner if inner in MODULES else ".".join(base))
    return {name or "__init__" for name in found}


@lru_cache(maxsize=1)
def edges() -> frozenset[tuple[str, str]]:
    """Return every (importing module, imported module) of the package."""
    found = set()
    for name, path in MODULES.items():
        package = path.relative_to(ROOT).parts[:-1]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {(name, target) for target in targets(tree, package)}
    return frozenset((source, target) for source, target in found if source != target)


def room(module: str) -> str:
    """Return the folder or file at the top of the package that a module stands in."""
    return module.partition(".")[0]


def test_the_walk_sees_imports_in_functions_and_those_for_types():
    source = """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        import keras_listen.seeds
        if TYPE_CHECKING:
            from ..models.bundle import Bundle
        def late():
            from ..maximization.engine import maximize
            from .. import plugins
            from ... import __version__
            from . import synthesis
            import numpy
    """
    tree = ast.parse(textwrap.dedent(source))
    found = targets(tree, ("vocoders",))
    assert found >= {"seeds", "models.bundle", "maximization.engine", "plugins"}
    assert "vocoders.synthesis" in found
    assert "__init__" in targets(ast.parse("from .. import __version__"), ("vocoders",))


def test_the_rule_names_every_room():
    rooms = {room(name) for name in MODULES} - FRONT
    assert rooms == set(RANK), "give the new room its place in RULE"


def test_imports_go_one_way():
    inside = {(a, b) for a, b in edges() if room(a) not in FRONT and b != "__init__"}
    backwards = {(a, b) for a, b in inside if RANK[room(b)] > RANK[room(a)]}
    assert backwards == set()


def test_rooms_that_stand_apart_never_meet():
    rooms = {(room(a), room(b)) for a, b in edges() if room(a) != room(b)}
    assert {pair for pair in rooms for apart in APART if set(pair) <= apart} == set()


def test_nothing_imports_in_a_circle():
    # The package's own names are loaded lazily, so who asks for its version waits for nobody.
    graph = {name: {b for a, b in edges() if a == name} for name in MODULES if name != "__init__"}
    TopologicalSorter(graph).prepare()


def test_built_ins_are_named_by_string_only():
    for a, b in edges():
        if b in COMPONENTS:
            assert a not in COMPONENTS | {"maximization.engine"}, "none knows another kind"
            assert room(a) not in ("plugins", "experiment", "cli") or b == "data.readers", a
        assert (b, a in COMPONENTS) != ("maximization.engine", True), "the engine is handed them"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_keeps_the_house_rules(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "every module says what it is for"
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not lines, f"assert statements vanish under python -O: lines {lines}"
    if "cli" not in path.relative_to(ROOT).parts:
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        prints = [node.lineno for node in calls if getattr(node.func, "id", "") == "print"]
        assert not prints, f"printing happens in cli: lines {prints}"


def private_names(tree: ast.AST) -> set[str]:
    """Return what begins with one underscore among all that is imported from keras_listen."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_listen."):
            found |= {*node.module.split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_the_walk_sees_private_names():
    tree = ast.parse("from keras_listen.plugins import _convert, Option\nimport keras_listen._x")
    assert private_names(tree) == {"_convert", "_x"}


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.name)
def test_packages_in_plugins_import_nothing_private(path):
    assert private_names(ast.parse(path.read_text(encoding="utf-8"))) == set()


def hooks() -> dict[str, str]:
    """Return the docstring of each public hook."""
    names = [name for name in vars(hookspecs) if name.startswith("register_")]
    return {name: inspect.getdoc(getattr(hookspecs, name)) or "" for name in names}


def test_there_is_a_hook_for_each_kind():
    from keras_listen.plugins import KINDS

    assert set(hooks()) == {f"register_{kind}s" for kind in KINDS}


@pytest.mark.parametrize("name", sorted(hooks()))
def test_hook_has_an_example_that_parses(name):
    text, _, example = hooks()[name].partition("\n    @hookimpl\n")
    assert len(text) > 100, "the docstring is the contract"
    tree = ast.parse(textwrap.dedent("    @hookimpl\n" + example))
    (function,) = tree.body
    assert function.name == name
    registered = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    assert any(getattr(node.func, "id", "") == "register" for node in registered)
