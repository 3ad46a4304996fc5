"""Installed plugins and single-file ones, in processes that find them as users' do."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_folder import install, listen, run_python

from keras_listen import configure_plugins
from keras_listen.errors import ParameterError
from keras_listen.plugins import default_registry
from keras_listen.plugins.discovery import DISABLE, FOLDERS, STRICT, PluginSettings

GOOD = """
from keras_listen.hookspecs import hookimpl

@hookimpl
def register_readers(register):
    def raw(bundle, *, gain: float = 1.0):
        import numpy as np
        return lambda paths, rate: [(path, np.full(3, gain, "f4")) for path in paths]
    register("raw", raw)
"""

LIST = """
import json
from keras_listen.plugins import default_registry
registry = default_registry()
print(json.dumps({
    "components": [c.full_name for c in registry.components],
    "versions": registry.versions(),
    "failures": [[f.distribution, f.version, f.state, f.reason] for f in registry.failures],
}))
"""
READ = """
from keras_listen.plugins import default_registry
[(path, samples)] = default_registry().create("reader", "raw", None, {"gain": "2"})(["a.raw"], 8000)
print(path, samples.tolist())
"""


def found_with(*folders: Path, **settings) -> tuple[dict, list[str]]:
    """List the plugins in a process that finds those of folders; return the list and its lines."""
    done = run_python("-c", LIST, path=folders, **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines()


def test_installed_plugins_are_found_by_their_entry_points(tmp_path):
    install(tmp_path, "keras-listen-raw", "listen_raw", GOOD)
    broken = install(tmp_path, "keras-listen-broken", "listen_broken", "\nimport no_such_module\n")
    typo = install(
        tmp_path, "keras-listen-typo", "listen_typo", GOOD.replace("_readers", "_reader")
    )
    found, lines = found_with(tmp_path)
    assert {"keras-listen-raw:raw", "keras-listen:soundfile"} <= set(found["components"])
    assert found["versions"] == {"keras-listen-raw": "0.7"}
    reasons = {name: reason for name, _, _, reason in found["failures"]}
    missing = "ModuleNotFoundError: No module named 'no_such_module'"
    assert reasons == {
        "keras-listen-broken": f"{missing} ({broken}:2)",
        "keras-listen-typo": f"{typo}:4: there is no hook register_reader (did you mean "
        "register_readers?); hooks are register_priors, register_objectives, register_vocoders, "
        "register_readers, register_frontends",
    }
    # Each is reported in one line, once.
    assert sorted(lines) == [
        f"plugin {name} 0.7 failed and is left out: {reason}" for name, reason in reasons.items()
    ]
    assert run_python("-c", READ, path=[tmp_path]).stdout == "a.raw [2.0, 2.0, 2.0]\n"


@pytest.mark.parametrize(
    ("code", "line", "reason"),
    [
        ("raise SystemExit('not here')", 1, "SystemExit: not here"),
        ("def f(:", 1, "SyntaxError: invalid syntax"),
        ("import json\njson.loads('{')", 2, "JSONDecodeError: Expecting property name"),
        ("from helper_of_plugin import go\ngo()", None, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_failure_however_deep_is_placed_in_the_plugins_own_code(tmp_path, code, line, reason):
    install(tmp_path, "keras-listen-raw", "listen_raw", GOOD)
    bad = install(tmp_path, "bad", "listen_bad", code + "\n")
    (tmp_path / "helper_of_plugin.py").write_text("def go():\n    1 / 0\n")
    found, [said] = found_with(tmp_path)
    [(name, version, state, why)] = found["failures"]
    assert (name, version, state) == ("bad", "0.7", "failed")
    assert why.startswith(reason)
    assert why.endswith(f" ({bad}:{line or 2})")
    assert said == f"plugin bad 0.7 failed and is left out: {why}"
    assert "keras-listen-raw:raw" in found["components"]


def test_a_place_inside_of_a_package_is_the_deepest_one(tmp_path):
    package = tmp_path / "listen_deep"
    package.mkdir()
    (package / "__init__.py").write_text("from . import inner\n")
    (package / "inner.py").write_text("import json\n\njson.loads('')\n")
    install(tmp_path, "deep", "unused", "", entry_points="deep = listen_deep")
    found, _ = found_with(tmp_path)
    [(*_, why)] = found["failures"]
    assert why.endswith(f" ({package / 'inner.py'}:3)")


def test_each_entry_point_of_a_distribution_is_loaded_on_its_own(tmp_path):
    (tmp_path / "listen_bad.py").write_text("1 / 0\n")
    both = "bad = listen_bad\ngood = listen_good\ngone = listen_good:missing"
    install(tmp_path, "both", "listen_good", GOOD, entry_points=both)
    found, lines = found_with(tmp_path)
    assert "both:raw" in found["components"]
    assert [why.partition(":")[0] for *_, why in found["failures"]] == [
        "ZeroDivisionError",
        "AttributeError",
    ]
    assert len(lines) == 2


def test_a_damaged_distribution_breaks_nothing_else(tmp_path):
    install(tmp_path, "keras-listen-raw", "listen_raw", GOOD)
    install(tmp_path, "damaged", "listen_damaged", GOOD, entry_points="nothing but words")
    nameless = install(tmp_path, "nameless", "listen_nameless", "1 / 0\n")
    (tmp_path / "nameless-0.7.dist-info" / "METADATA").unlink()
    found, lines = found_with(tmp_path)
    assert "keras-listen-raw:raw" in found["components"]
    reasons = {name: why for name, _, _, why in found["failures"]}
    assert reasons["damaged"].startswith("its list of entry points is damaged: ")
    assert reasons["unknown"] == f"ZeroDivisionError: division by zero ({nameless}:1)"
    assert len(lines) == 2


def test_two_versions_of_one_plugin_are_told_of_and_the_first_is_used(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    install(new, "keras-listen-raw", "listen_raw", GOOD, version="2.0")
    install(old, "Keras_Listen.Raw", "listen_raw", GOOD, version="1.0")
    found, lines = found_with(new, old)
    assert found["versions"] == {"keras-listen-raw": "2.0"}
    assert lines == [
        f"plugin keras-listen-raw is there more than once: 2.0 in {new}, 1.0 in {old}; 2.0 is "
        "used, uninstall the others"
    ]
    # Twice the same is no cause for alarm: an editable installation looks so.
    assert found_with(new, new) == ({**found}, [])


def test_a_plugin_for_other_hooks_is_left_out_with_that_reason(tmp_path):
    install(tmp_path, "future", "listen_future", "KERAS_LISTEN_API = 99\n" + GOOD)
    found, lines = found_with(tmp_path)
    assert "future:raw" not in found["components"]
    assert lines == [
        "plugin future 0.7 failed and is left out: it was made for version 99 of the plugin hooks, "
        "here is version 1; upgrade keras-listen"
    ]


def test_where_plugins_must_not_fail_one_that_does_is_an_error(tmp_path):
    bad = install(tmp_path, "bad", "listen_bad", "1 / 0\n")
    done = listen("plugins", path=[tmp_path], **{STRICT: "1"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"keras-listen: plugin bad 0.7 failed: ZeroDivisionError: division by zero ({bad}:1)\n"
    )
    assert listen("plugins", path=[tmp_path], **{STRICT: "0"}).returncode == 0
    done = listen("plugins", **{STRICT: "maybe"})
    assert (done.returncode, done.stderr) == (
        1,
        "keras-listen: KERAS_LISTEN_STRICT_PLUGINS is 'maybe'; expected 1 or 0\n",
    )


@pytest.fixture
def three(tmp_path) -> Path:
    """A folder with three installed plugins, the second of which fails when it is imported."""
    install(tmp_path, "keras-listen-one", "listen_one", GOOD.replace("raw", "one"))
    install(tmp_path, "keras-listen-two", "listen_two", GOOD.replace("raw", "two") + "1 / 0\n")
    install(tmp_path, "keras-listen-three", "listen_three", GOOD.replace("raw", "three"))
    return tmp_path


def states(done) -> dict[str, str]:
    """Return the state of all that a listing tells of, built-ins apart."""
    assert done.returncode == 0, done.stderr
    entries = json.loads(done.stdout)
    return {e["use"]: e["state"] for e in entries if e["distribution"] != "keras-listen"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("keras-listen-two", {"one": "ready", "keras-listen-two": "disabled", "three": "ready"}),
        # By its entry point, and as installers compare names.
        ("listen_two", {"one": "ready", "keras-listen-two": "disabled", "three": "ready"}),
        (
            " Keras_Listen.Two,keras-listen-one ",
            {"keras-listen-one": "disabled", "keras-listen-two": "disabled", "three": "ready"},
        ),
        (
            "all",
            {f"keras-listen-{name}": "disabled" for name in ("one", "two", "three")},
        ),
    ],
)
def test_plugins_can_be_disabled(three, names, expected):
    by_environment = listen("plugins", "--json", path=[three], **{DISABLE: names})
    assert by_environment.stderr == ""
    assert states(by_environment) == expected
    options = [part for name in names.split(",") for part in ("--no-plugin", name.strip())]
    by_option = listen(*options, "plugins", "--json", path=[three])
    assert by_option.stderr == ""
    assert by_option.stdout == by_environment.stdout
    # What is built in stays.
    assert '"softmax"' in by_option.stdout


def test_option_and_environment_add_up(three):
    done = listen(
        *("--no-plugin", "keras-listen-two", "plugins", "--json"),
        path=[three],
        **{DISABLE: "keras-listen-one"},
    )
    assert states(done) == {
        "keras-listen-one": "disabled",
        "keras-listen-two": "disabled",
        "three": "ready",
    }


def test_disabling_what_is_not_there_is_said(three):
    said = (
        "no plugin is called 'keras-listen-on', so none is disabled by it; did you mean "
        "'keras-listen-one'? known: keras-listen-one, keras-listen-three, keras-listen-two\n"
    )
    done = listen("--no-plugin", "keras-listen-on", "plugins", path=[three])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"keras-listen: {said}")
    done = listen(
        "plugins", path=[three], **{DISABLE: "keras-listen-on,keras-listen-two,keras-listen"}
    )
    assert done.returncode == 0
    first, second = done.stderr.splitlines(keepends=True)
    assert first == f"keras-listen: {DISABLE}: {said}"
    assert "'keras-listen', so none is disabled by it; built-ins cannot be disabled; " in second


def test_asking_for_what_a_disabled_or_failed_plugin_may_have_says_why(three):
    two = three / "listen_two.py"
    why = f"ZeroDivisionError: division by zero ({two}:10)"
    # It failed before it registered anything, so what it would have brought is unknown.
    failed = f"it may be of a plugin that is left out: plugin keras-listen-two 0.7 failed: {why}"
    done = listen("vocode", "x.wav", "--reader", "two", "--out", "y", path=[three], cwd=three)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"keras-listen: plugin keras-listen-two 0.7 failed and is left out: {why}",
        f"keras-listen: no reader is called 'two'; known: one, soundfile, tfio, three; {failed}",
    ]
    done = listen(
        *("--no-plugin", "all", "vocode", "x.wav", "--reader", "one", "--out", "y"),
        path=[three],
        cwd=three,
    )
    disabled = [
        f"plugin keras-listen-{name} 0.7 is disabled: by --no-plugin or "
        "KERAS_LISTEN_DISABLE_PLUGINS"
        for name in ("one", "two", "three")
    ]
    said, _, listed = done.stderr.removesuffix("\n").partition(" left out: ")
    assert said == (
        "keras-listen: no reader is called 'one'; known: soundfile, tfio; it may be of a plugin "
        "that is"
    )
    # Installed plugins are in the order of their folder.
    assert sorted(listed.split("; ")) == sorted(disabled)
    done = listen("vocode", "x.wav", "--reader", "four", "--out", "y", path=[three], cwd=three)
    assert done.stderr.splitlines()[1:] == [
        f"keras-listen: no reader is called 'four'; known: one, soundfile, tfio, three; {failed}"
    ]


@pytest.fixture
def single(tmp_path) -> Path:
    """A folder of single-file plugins."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "raw.py").write_text("__version__ = '4.2'\n" + GOOD)
    (folder / "Plain-File.py").write_text(GOOD.replace("raw", "plain"))
    (folder / "_helper.py").write_text("1 / 0\n")
    (folder / "bad.py").write_text("import plain\n")
    (folder / "two words.py").write_text(GOOD)
    return folder


def test_files_of_a_folder_are_plugins(single, tmp_path):
    done = listen("--plugins-dir", "mine", "plugins", "--json", cwd=tmp_path)
    entries = {(e["distribution"], e["use"]): e for e in json.loads(done.stdout)}
    assert entries["raw", "raw"]["version"] == "4.2"
    assert entries["raw", "raw"]["source"] == f"{single / 'raw.py'}:7"
    assert entries["Plain-File", "plain"]["version"] == "local"
    # In isolation: what is beside a file cannot be imported.
    missing = "ModuleNotFoundError: No module named 'plain'"
    name = "two words"
    assert done.stderr.splitlines() == [
        f"keras-listen: plugin bad local failed and is left out: {missing} ({single / 'bad.py'}:1)",
        f"keras-listen: plugin {name} local failed and is left out: the file {single / name}.py "
        "cannot be a plugin's, which is called by it; expected letters, digits, - _ and ., and not "
        "keras-listen",
    ]
    by_environment = listen("plugins", "--json", **{FOLDERS: single})
    assert by_environment.stdout == done.stdout
    done = listen("--plugins-dir", single, "--no-plugin", "raw", "plugins", "--json")
    assert states(done) == {
        "plain": "ready",
        "bad": "failed",
        "two words": "failed",
        "raw": "disabled",
    }


def test_what_is_no_folder_of_plugins_is_said(tmp_path):
    done = listen("--plugins-dir", "nowhere", "plugins", cwd=tmp_path)
    assert done.returncode == 2
    assert "'nowhere' does not exist" in done.stderr
    done = listen("plugins", **{FOLDERS: f"{tmp_path}{os.pathsep}{tmp_path / 'nowhere'}"})
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"keras-listen: plugin {tmp_path} ? failed and is left out: the folder of plugins "
        f"{tmp_path} holds no file *.py",
        f"keras-listen: plugin {tmp_path / 'nowhere'} ? failed and is left out: the folder of "
        f"plugins {tmp_path / 'nowhere'} does not exist",
    ]


def test_a_file_cannot_take_the_name_of_another_plugin(single, tmp_path):
    install(tmp_path / "site", "raw", "listen_raw", GOOD)
    done = listen("--plugins-dir", single, "plugins", "--json", path=[tmp_path / "site"])
    assert (
        "plugin raw local failed and is left out: another plugin is called raw, too" in done.stderr
    )
    versions = {e["version"] for e in json.loads(done.stdout) if e["use"] == "raw"}
    assert versions == {"0.7", "local"}


@pytest.fixture
def configured():
    """`configure_plugins`, undone at the end."""
    before = PluginSettings.from_environment()
    yield configure_plugins
    before.to_environment()
    default_registry.cache_clear()


def test_python_chooses_plugins_as_the_command_line_does(single, configured, caplog):
    now = configured(folders=[single], disable=["bad", "two words"])
    assert now == PluginSettings(("bad", "two words"), (str(single),), False)
    found = default_registry()
    assert found.find("reader", "raw").full_name == "raw:raw"
    assert [(f.distribution, f.state) for f in found.failures] == [
        ("bad", "disabled"),
        ("two words", "disabled"),
    ]
    assert caplog.records == []
    # What is not given stays, and children of this process have the same.
    assert configured(strict=True) == PluginSettings(now.disable, now.folders, True)
    listed, lines = found_with()
    assert "raw:raw" in listed["components"]
    assert lines == []
    configured(folders=[], disable=[], strict=False)
    with pytest.raises(ParameterError, match="no reader is called 'raw'"):
        default_registry().find("reader", "raw")


def test_python_is_told_of_plugins_that_it_disables_in_vain(single, configured):
    configured(folders=[single], disable=["rwa", "bad", "two words"])
    with pytest.raises(
        ParameterError, match=r"'rwa', so none is disabled by it; did you mean 'raw'"
    ):
        default_registry()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"disable": [" "]}, "a plugin to disable is called ' '; expected one name"),
        ({"disable": ["a,b"]}, "a plugin to disable is called 'a,b'; expected one name"),
        (
            {"folders": [f"/a{os.pathsep}b"]},
            f"the folder of plugins /a{os.pathsep}b has a {os.pathsep} in its name",
        ),
    ],
)
def test_names_that_cannot_be_handed_on_are_refused(configured, given, message):
    with pytest.raises(ParameterError) as caught:
        configured(**given)
    assert str(caught.value) == message


def test_a_component_of_a_file_goes_to_other_processes(single, configured, tmp_path):
    configured(folders=[single], disable=["bad", "two words"])
    component = default_registry().find("reader", "raw")
    (tmp_path / "component").write_bytes(pickle.dumps(component))
    script = (
        "import pathlib, pickle\n"
        f"c = pickle.loads(pathlib.Path({str(tmp_path / 'component')!r}).read_bytes())\n"
        "print(c.full_name, c.version, [s.tolist() for _, s in c.create()(['a'], 8000)])\n"
    )
    variables = {name: text for name, text in os.environ.items() if name != FOLDERS}
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("raw:raw 4.2 [[1.0, 1.0, 1.0]]\n", "")
