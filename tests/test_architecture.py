"""The one way imports go, read off the source; and what every module owes its readers."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import lru_cache
from pathlib import Path

import pytest

import keras_listen
from keras_listen import hookspecs

ROOT = Path(keras_listen.__file__).parent

#: A module imports from its own tier or from those above it, and never what follows.
TIERS = (
    (
        "errors",
        "version",
        "progress",
        "files",
        "hookspecs",
        "faults",
        "returns",
        "checking",
        "optiontypes",
        "components",
        "implementations",
        "loading",
        "registry",
        "plugins",
        "provenance",
        "backend",
    ),
    (
        "features",
        "pitch",
        "linear_prediction",
        "seeds",
        "blocks",
        "rates",
        "soundfiles",
        "tfio_reader",
        "readers",
    ),
    ("corpus", "store", "utterances", "recordings", "preparation", "downloading", "fetching"),
    ("modelfiles", "models", "rewrites"),
    ("classifier", "bundle", "augmentation", "checkpoints"),
    ("keras2_conversion", "wavenet_conversion"),
    ("objectives", "priors", "vocoders", "culprits", "ascent", "engine", "transforms"),
    ("recipes", "measuring", "training", "vocoder_training"),
    ("vocoding", "starts", "choices"),
    ("experiment", "doctor"),
    ("rows", "manifests"),
    ("runs",),
    ("chunks", "embedding", "movement", "changes"),
    ("evaluation", "judges", "debugging", "study"),
    ("worker", "connection"),
    ("tallies", "findings", "originals", "examples", "tickets", "cluster"),
    ("interchange",),
    ("report",),
    ("api",),
    ("evaluating", "diagnosing", "studying", "handouts", "collecting", "analysing"),
    ("testing", "skeleton"),
    ("cli",),
    ("__init__", "__main__"),
)
TIER = {name: number for number, names in enumerate(TIERS) for name in names}
#: Kinds of components: none knows another, whatever the tier.
STRANGERS = {"objectives", "priors", "vocoders", "readers"}
#: Pairs that the tiers alone would let through.
FORBIDDEN = {
    *((a, b) for a in STRANGERS for b in STRANGERS if a != b),
    *(("engine", name) for name in STRANGERS),
    *((name, "engine") for name in STRANGERS),
}

SOURCES = sorted(ROOT.rglob("*.py"))
#: Packages that are installed on their own.
PACKAGED = sorted(
    path
    for pattern in ("*/*.py", "*/*/*.py")
    for path in (Path(__file__).parents[1] / "plugins").glob(pattern)
)


def place(parts: tuple[str, ...]) -> str:
    """Return the module or folder at the top of the package that `parts` lie in."""
    return parts[0] if parts else "__init__"


def is_type_checking(node: ast.AST) -> bool:
    """Say whether `node` is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def statements(tree: ast.AST):
    """Yield every node at any depth that runs: those under TYPE_CHECKING do not."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if is_type_checking(node):
            for other in node.orelse:
                yield from statements(other)
        else:
            yield from statements(node)


def imported(tree: ast.AST, package: tuple[str, ...]) -> set[str]:
    """Return the places in keras_listen that a module in `package` imports from."""
    found = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {place(tuple(name[1:])) for name in names if name[0] == "keras_listen"}
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = package[: len(package) - node.level + 1] + module
            elif module[0] == "keras_listen":
                base = module[1:]
            else:
                continue
            if base:
                found.add(place(base))
            else:
                # `from . import name`: a module if there is one, else something of __init__.
                names = [alias.name for alias in node.names]
                found |= {name if name in TIER else "__init__" for name in names}
    return found


@lru_cache(maxsize=1)
def edges() -> frozenset[tuple[str, str]]:
    """Return every (importing place, imported place) of the package."""
    found = set()
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {(place(parts), target) for target in imported(tree, parts[:-1])}
    return frozenset((source, target) for source, target in found if source != target)


def test_the_walk_sees_imports_in_functions_and_not_those_for_types():
    source = """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        import keras_listen.blocks
        if TYPE_CHECKING:
            from ..bundle import Bundle
        def late():
            from ..engine import maximize
            from .. import plugins
            from . import beside
            import numpy
    """
    tree = ast.parse(textwrap.dedent(source))
    assert imported(tree, ("vocoders",)) == {"blocks", "engine", "plugins", "vocoders"}


def test_every_module_has_its_tier():
    places = {place(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    assert places - set(TIER) == set(), "give the new module a place in TIERS"


def test_imports_go_one_way():
    backwards = {(a, b) for a, b in edges() if b in TIER and TIER[b] > TIER[a]}
    assert backwards == set()


def test_components_and_engine_do_not_know_each_other():
    assert edges() & FORBIDDEN == set()


def test_nothing_imports_in_a_circle():
    left = {name: {b for a, b in edges() if a == name} for name in TIER}
    # Take away what imports nothing that is left; a circle is what stays.
    while free := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in free}
    assert left == {}


def test_built_ins_are_named_by_string_only():
    direct = {(a, b) for a, b in edges() if a in ("plugins", "experiment", "runs", "api", "cli")}
    assert {b for _, b in direct} & {"objectives", "priors", "vocoders"} == set()


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
