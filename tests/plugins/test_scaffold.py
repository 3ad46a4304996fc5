"""New packages: what is written, what is refused; and each kind, installed, tested and used."""

from __future__ import annotations

import csv
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import assert_one_line
from packages import Environment

from keras_listen.cli.plugins import new
from keras_listen.errors import ParameterError, RunError
from keras_listen.plugins import KINDS
from keras_listen.plugins.scaffold import package_of, write_package
from keras_listen.testing import check_prior, voice, write_wav


def invoke(*arguments):
    return CliRunner().invoke(new, [str(part) for part in arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_has_code_test_metadata_and_readme(kind, tmp_path):
    done = invoke("slow", tmp_path / "it", "--kind", kind)
    assert done.exit_code == 0, done.output
    root = tmp_path / "it"
    written = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    assert written == [
        "README.md",
        "keras_listen_slow.py",
        "pyproject.toml",
        "tests/test_keras_listen_slow.py",
    ]
    for path in written:
        assert path in done.output
        text = (root / path).read_text()
        assert text.endswith("\n")
        assert "{{" not in text
        assert "TODO" not in text
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["name"] == "keras-listen-slow"
    assert project["entry-points"] == {"keras_listen": {"slow": "keras_listen_slow"}}
    assert f'register("slow", {kind})' in (root / "keras_listen_slow.py").read_text()
    assert f"keras-listen run --{'start' if kind == 'reader' else kind}" in done.output


def test_the_folder_is_called_by_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke("slow", "--kind", "prior").exit_code == 0
    assert (tmp_path / "keras-listen-slow" / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("slow", "slow"),
        ("keras-listen-slow", "slow"),
        ("Keras_Listen.Slow", "slow"),
        ("Slow__Features", "slow-features"),
        ("2x", "2x"),
    ],
)
def test_names_are_made_one(given, name):
    package = package_of(given, "prior")
    assert (package.name, package.distribution) == (name, f"keras-listen-{name}")
    assert package.module.isidentifier()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("", "prior", r"^'' is no name of a package; expected letters and digits, with - _ \."),
        ("slow prior", "prior", "'slow prior' is no name of a package"),
        ("-slow", "prior", "'-slow' is no name"),
        ("slow-", "prior", "'slow-' is no name"),
        ("../slow", "prior", "is no name"),
        ("läng", "prior", "'läng' is no name"),
        ("slow\n", "prior", r"'slow\\n' is no name"),
        ("keras-listen", "prior", "'keras-listen' is this program itself; add a name"),
        ("x" * 65, "prior", "has 65 characters; expected at most 64"),
        ("ae", "prior", "^there is a prior ae already, of keras-listen .*; choose another name$"),
        ("Griffin.Lim", "vocoder", "there is a vocoder griffin-lim already"),
        ("none", "vocoder", "--vocoder none makes no sound"),
        ("slow", "priors", "no kind is called 'priors'; did you mean 'prior'"),
    ],
)
def test_names_that_cannot_be_are_refused_in_one_line(name, kind, message):
    with pytest.raises(ParameterError, match=message) as caught:
        package_of(name, kind)
    assert "\n" not in str(caught.value)


def test_a_name_may_be_taken_by_another_kind():
    assert package_of("ae", "vocoder").distribution == "keras-listen-ae"


def test_nothing_is_overwritten(tmp_path):
    package = package_of("slow", "prior")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"^the folder .* is not empty; name a new one"):
        write_package(package, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(RunError, match=r"mine\.txt is a file; name a new folder"):
        write_package(package, tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_kit_sees_what_is_changed_for_the_worse(tmp_path, listen_registry):
    root = write_package(package_of("slow", "prior"), tmp_path / "it")
    path = root / "keras_listen_slow.py"
    path.write_text(path.read_text().replace("tf.sigmoid(tf.einsum", "tf.exp(tf.einsum"))
    spec = importlib.util.spec_from_file_location("keras_listen_slow", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    component = listen_registry.load(module).find("prior", "slow")
    with pytest.raises(AssertionError, match="bounded as declared"):
        check_prior(component)


def test_the_command_line_writes_it_once(call):
    done = call("plugins", "new", "slow", "--kind", "prior")
    assert done.status == 0, done.err
    assert done.out.startswith("prior slow, package keras-listen-slow, in keras-listen-slow:\n")
    again = call("plugins", "new", "slow", "--kind", "prior")
    assert_one_line(again, "the folder keras-listen-slow is not empty; name a new one")
    assert_one_line(call("plugins", "new", "a b", "--kind", "prior"), "'a b' is no name")
    assert call("plugins", "new", "slow").status == 2


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    return Environment(tmp_path_factory.mktemp("fresh") / "venv")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "yes.wav"
    write_wav(path, voice(3, 22050, 22050), 22050)
    return path


RUNS = {
    "prior": ["run", "--prior", "slow", "-o", "prior.slow.every=6", "--vocoder", "none"],
    "objective": ["run", "--objective", "slow", "-o", "objective.slow.weight=2", "--vocoder=none"],
    "vocoder": ["run", "--vocoder", "slow", "-o", "vocoder.slow.level=0.5"],
    "reader": ["run", "--reader", "slow", "--vocoder", "none", "--start"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_installed_tested_and_used(kind, environment, recording, tmp_path):
    root = write_package(package_of("slow", kind), tmp_path / "package")
    environment.install(root)

    assert "passed" in environment.run("-m", "pytest", "-q", root, folder=tmp_path)

    listed = environment.run("-m", "keras_listen", "plugins", folder=tmp_path)
    assert re.search(rf"^{kind} +slow +ready +keras-listen-slow 0\.1\.0 ", listed, re.MULTILINE)

    if kind == "frontend":
        return  # needs a model that takes what it computes
    command = [*RUNS[kind], *([recording] if kind == "reader" else [])]
    environment.run(
        "-m", "keras_listen", *command, "--word", "yes", "--out", "out", folder=tmp_path
    )
    with open(tmp_path / "out" / "samples.csv", newline="") as file:
        [row] = csv.DictReader(file)
    assert float(row["score_after"]) > float(row["score_before"])
