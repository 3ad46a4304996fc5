"""The package as a whole: what type checkers see of it, and which files go into its wheel."""

from __future__ import annotations

import ast
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import keras_listen
from keras_listen import experiment

ROOT = Path(keras_listen.__file__).parent


def names_for_type_checkers() -> dict[str, str]:
    """Return the module of each name that is imported below `if TYPE_CHECKING`."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.level == 1
        for alias in node.names:
            # With `as` a checker takes the name as public.
            assert alias.asname == alias.name
            found[alias.name] = node.module
    return found


def test_type_checkers_see_every_public_name_where_it_is_imported_from():
    assert names_for_type_checkers() == keras_listen._HOMES


def test_importing_the_package_costs_nothing_but_itself():
    # `-S`: no site, whose path files may import anything.
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); before = set(sys.modules); "
        "import keras_listen; print(sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "['keras_listen']\n"


def test_resolve_is_offered_by_the_package_and_by_its_room():
    assert experiment.resolve is keras_listen.resolve


def test_every_file_that_is_no_code_goes_into_the_wheel():
    settings = ConfigParser()
    settings.read(ROOT.parent / "setup.cfg", encoding="utf-8")
    patterns = settings["options.package_data"]["keras_listen"].split()
    packed = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    there = {path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert packed == {path for path in there if path.suffix != ".py"}
    assert ROOT / "py.typed" in packed
