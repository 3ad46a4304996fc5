"""The page for authors of plugins: complete, and all of its code runs."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import sys
from importlib import util
from pathlib import Path

import pytest
from click.testing import CliRunner
from packages import Environment

from keras_listen import hookspecs, testing
from keras_listen.cli import keras_listen
from keras_listen.plugins import KINDS, Registry, new_manager
from keras_listen.plugins.scaffold import package_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = [f"register_{kind}s" for kind in KINDS]


def blocks(language: str) -> list[str]:
    """Return the blocks of code in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Return the blocks that begin with the name of a file."""
    found = {}
    for block in blocks("python") + blocks("toml"):
        if named := re.match(r"# ([\w/.]+\.(?:py|toml))\n", block):
            found[named[1]] = block
    return found


TUTORIAL = ("pyproject.toml", "keras_listen_drift.py", "tests/test_keras_listen_drift.py")
EXAMPLES = {
    "calm.py": {"prior": ["calm"]},
    "half.py": {"prior": ["half"]},
    "margin.py": {"objective": ["margin", "surprise"]},
    "buzz.py": {"vocoder": ["buzz"]},
    "options.py": {"objective": ["certain"]},
    "energy.py": {"frontend": ["energy"]},
}
#: Checked by its own test on the page.
READER, READER_TEST = "raw.py", "test_raw.py"


def test_the_hooks_are_those_of_the_program():
    names = {name for name in vars(hookspecs) if name.startswith("register_")}
    assert names == set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_arguments(hook):
    signature = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"\n### `{hook}({signature})`\n" in PAGE
    assert f"\n| `{hook}({signature})` | " in PAGE


def test_register_is_documented_with_its_exact_arguments():
    class Plugin:
        @hookspecs.hookimpl
        def register_priors(self, register):
            self.register = register

    plugin = Plugin()
    Registry().add_plugin(new_manager(), plugin, ("test", "0"))
    arguments = inspect.signature(plugin.register).parameters.values()
    plain = [a.name for a in arguments if a.kind is not a.KEYWORD_ONLY]
    named = [f"{a.name}={a.default}" for a in arguments if a.kind is a.KEYWORD_ONLY]
    assert f"`register({', '.join(plain)}, *, {', '.join(named)})`" in PAGE


@pytest.mark.parametrize("hook", HOOKS)
def test_what_the_docstring_of_a_hook_names_is_on_the_page(hook):
    section = PAGE.partition(f"\n### `{hook}(")[2].partition("\n### ")[0]
    text = inspect.getdoc(getattr(hookspecs, hook)).partition("@hookimpl")[0]
    called = re.findall(r"`(\w+)(\([^`]*?\))?(?: ->[^`]*)?`", text)
    assert called
    for name, arguments in called:
        if name in ("keras_listen", "refresh", "path"):
            continue
        wanted = f"`{name}{arguments}`" if arguments else name
        assert wanted in section, f"{wanted} is not in the section of {hook}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_hook_has_a_test(kind):
    """A check of its kind, called on every component that we register, and broken ones."""
    file = ROOT / "tests" / "testing" / f"test_testing_{kind}s.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tests = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in (
        f"test_our_{kind}s_keep_the_contract",
        f"test_a_broken_{kind}_is_blamed_for_what_it_is",
    ):
        assert f"check_{kind}" in ast.unparse(tests[name])


@pytest.mark.parametrize("kind", KINDS)
def test_checks_are_documented_with_their_exact_arguments(kind):
    parameters = inspect.signature(getattr(testing, f"check_{kind}")).parameters.values()
    row = re.search(rf"^\| `check_{kind}\((.*?)\)` \|", PAGE, re.MULTILINE)[1]
    call = ast.parse(f"def check({row}): ...").body[0].args
    assert [a.arg for a in call.args] == [
        p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert [a.arg for a in call.kwonlyargs] == [
        p.name for p in parameters if p.kind is p.KEYWORD_ONLY
    ]
    assert call.kwarg.arg == "options"


def test_links_within_the_page_lead_somewhere():
    headings = re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert links
    assert set(links) <= anchors


def test_every_python_block_is_run_by_a_test_below():
    named = {name for name in files() if name.endswith(".py")}
    assert named == {*TUTORIAL[1:], *EXAMPLES, READER, READER_TEST}
    unnamed = [block for block in blocks("python") if not block.startswith("# ")]
    assert len(named) + len(unnamed) == len(blocks("python"))
    assert len(unnamed) == 1, "test_the_tutorial_from_nothing_to_a_run runs it"


def test_the_tutorials_metadata_are_the_skeletons():
    written = package_of("drift", "prior").files()
    assert set(written) == {*TUTORIAL, "README.md"}
    for name in written:
        assert f"| `{name}` |" in PAGE

    def bare(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert bare(files()["pyproject.toml"]) == bare(written["pyproject.toml"])


def commands() -> list[list[str]]:
    """Return the arguments of each call of the program in a block of commands."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    called = [shlex.split(line, comments=True) for line in lines]
    return [arguments for name, *arguments in called if name == "keras-listen"]


def test_all_commands_are_such_as_the_program_takes():
    given = [arguments for arguments in commands() if not arguments[0].startswith("--")]
    assert {arguments[0] for arguments in given} == {"plugins", "run", "evaluate"}
    for arguments in given:
        # Unknown options are refused before help is given.
        done = CliRunner().invoke(keras_listen, [*arguments, "--help"])
        assert done.exit_code == 0, done.output


def imported(folder: Path, name: str, monkeypatch):
    """Write a block of the page as a module and import it."""
    path = folder / name
    path.write_text(files()[name])
    spec = util.spec_from_file_location(path.stem, path)
    module = util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_its_contract(name, listen_registry, tmp_path, monkeypatch):
    module = imported(tmp_path, name, monkeypatch)
    before = list(listen_registry.components)
    brought = [c for c in listen_registry.load(module).components if c not in before]
    assert [(c.kind, c.name) for c in brought] == [
        (kind, each) for kind, names in EXAMPLES[name].items() for each in names
    ]
    for component in brought:
        getattr(testing, f"check_{component.kind}")(component)


def test_the_options_of_the_page_do_what_it_says(listen_registry, tmp_path, monkeypatch):
    module = imported(tmp_path, "options.py", monkeypatch)
    component = listen_registry.load(module).find("objective", "certain")
    for options in ({"scale": "plain"}, {"floor": "none"}, {"others": "yes"}):
        testing.check_objective(component, **options)


def test_the_reader_keeps_its_contract_by_the_pages_own_test(
    listen_registry, tmp_path, monkeypatch
):
    imported(tmp_path, READER, monkeypatch)
    imported(tmp_path, READER_TEST, monkeypatch).test_raw_keeps_the_contract(listen_registry)


@pytest.fixture(scope="module")
def drift(tmp_path_factory) -> tuple[Environment, Path]:
    """The tutorial's package, written from the page alone, and an environment that has it."""
    root = tmp_path_factory.mktemp("tutorial")
    package = root / "keras-listen-drift"
    (package / "tests").mkdir(parents=True)
    for name in TUTORIAL:
        (package / name).write_text(files()[name])
    (package / "README.md").write_text("drift\n")
    environment = Environment(root / "venv")
    environment.install(package)
    return environment, root


@pytest.mark.slow
def test_the_tutorial_from_nothing_to_a_run(drift):
    environment, root = drift
    assert "5 passed" in environment.run("-m", "pytest", "-q", "keras-listen-drift", folder=root)

    given = [arguments for arguments in commands() if arguments[0] in ("plugins", "run")]
    assert len(given) >= 4
    for arguments in given:
        if arguments[:2] != ["plugins", "new"]:  # what it writes is tested with the skeletons
            said = environment.run("-m", "keras_listen", *arguments, folder=root)
            assert "drift" in said or arguments[0] == "run"
    manifests = [json.loads(path.read_text()) for path in root.glob("listen-*/manifest.json")]
    assert len(manifests) == 2
    assert all("keras-listen-drift" in json.dumps(manifest) for manifest in manifests)

    [script] = [block for block in blocks("python") if not block.startswith("# ")]
    (root / "script.py").write_text(script)
    printed = environment.run("script.py", folder=root)
    assert re.search(r"^(1\.0|0\.\d+) (1\.0|0\.\d+)$", printed, re.MULTILINE), printed
    assert len(list((root / "drifted").glob("yes-*.npy"))) == 3


OPTIONS = {option for parameter in keras_listen.params for option in parameter.opts}


@pytest.mark.slow
@pytest.mark.skipif("--plugins-dir" not in OPTIONS, reason="the program has no --plugins-dir")
def test_a_single_file_is_a_plugin(drift, tmp_path):
    environment, _ = drift
    (tmp_path / "my-plugins").mkdir()
    (tmp_path / "my-plugins" / "margin.py").write_text(files()["margin.py"])
    [command] = re.findall(r"^keras-listen --plugins-dir my-plugins run .*$", PAGE, re.MULTILINE)
    environment.run("-m", "keras_listen", *shlex.split(command)[1:], folder=tmp_path)
    manifest = json.loads((tmp_path / "listen-001" / "manifest.json").read_text())
    assert manifest["command"]["objective"] == "margin"


@pytest.mark.slow
def test_the_message_of_the_tutorial_is_what_the_kit_says(drift, listen_registry, tmp_path):
    code = files()["keras_listen_drift.py"]
    broken = re.sub(
        r"return tf\.map_fn\(.*\)\n",
        "return tf.random.normal(z.shape, stddev=self.noise)\n",
        code,
    )
    assert broken != code
    path = tmp_path / "broken_drift.py"
    path.write_text(broken)
    spec = util.spec_from_file_location("broken_drift", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(testing.ContractBroken) as caught:
        testing.check_prior(listen_registry.load(module).find("prior", "drift"))
    shown = re.search(r"^```\n(prior drift .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]

    def fixed(text: str) -> str:
        return re.sub(r"by up to [\d.e-]+", "", text).strip()

    assert fixed(str(caught.value)) == fixed(shown)
