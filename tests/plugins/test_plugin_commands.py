"""keras-listen plugins: what there is, where it comes from, and why something is not there."""

from __future__ import annotations

import json

import pytest
from helpers import assert_one_line
from plugin_folder import install, run_python

from keras_listen import __version__, configure_plugins
from keras_listen.plugins import default_registry
from keras_listen.plugins.discovery import PluginSettings

PLUGIN = '''
from typing import Annotated
from keras_listen import hookimpl


def mine(bundle, *, gain: Annotated[float, "how loud"], mode: str = "soft"):
    """Do what mine does.

    And tell of it at length.
    """


def ae(bundle):
    """Do something else."""


@hookimpl
def register_priors(register):
    register("mine", mine)
    register("ae", ae)


@hookimpl
def register_vocoders(register):
    register("mine", ae, unavailable=lambda: "no voice")
'''


@pytest.fixture
def folder(tmp_path):
    """A folder of plugins, one of which fails, that the process is told of."""
    before = PluginSettings.from_environment()
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "own.py").write_text(PLUGIN)
    (folder / "bad.py").write_text("1 / 0\n")
    configure_plugins(folders=[folder])
    yield folder
    before.to_environment()
    default_registry.cache_clear()


def entries(done) -> list[dict]:
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_a_listing_says_what_there_is_and_what_is_not(call, folder):
    done = call("plugins")
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["kind", "name", "state", "distribution", "options"]
    assert ["prior", "mine", "ready", "own", "local", "gain,", "mode=soft"] in rows
    assert ["vocoder", "mine", "unavailable", "own", "local"] in rows
    # A built-in keeps its name, the other is told by its distribution.
    assert ["prior", "own:ae", "ready", "own", "local"] in rows
    assert ["prior", "ae", "ready", "keras-listen", __version__] in [row[:5] for row in rows]
    assert ["plugin", "bad", "failed", "bad", "local"] in rows
    failure = f"ZeroDivisionError: division by zero ({folder / 'bad.py'}:1)"
    assert "vocoder mine unavailable: no voice" in done.out.splitlines()
    assert done.out.splitlines()[-1] == f"plugin bad failed: {failure}"
    assert "plugin bad local failed and is left out: " + failure in done.err


def test_a_listing_of_one_kind(call, folder):
    for kind in ("vocoder", "vocoders"):
        found = entries(call("plugins", "--json", kind))
        names = [(e["kind"], e["use"]) for e in found]
        assert names == [
            ("vocoder", "griffin-lim"),
            ("vocoder", "mine"),
            ("vocoder", "wavenet"),
            ("plugin", "bad"),
        ]
    assert entries(call("plugins", "list", "vocoder", "--json")) == found
    assert_one_line(
        call("plugins", "prio"),
        r"no kind or command of keras-listen plugins is called 'prio'; did you mean 'prior'\?",
    )
    assert_one_line(call("plugins", "shwo"), r"did you mean 'show'\?")


def test_what_a_plugin_prints_is_no_part_of_the_output(call, folder):
    (folder / "loud.py").write_text(f"print('hello')\n{PLUGIN}")
    done = call("plugins", "--json", "vocoder")
    assert "loud" in {entry["distribution"] for entry in entries(done)}
    assert "hello" in done.err


def test_json_is_one_array_of_all_there_is_to_know(call, folder):
    found = {(e["kind"], e["use"]): e for e in entries(call("plugins", "--json"))}
    assert found["prior", "mine"] == {
        "kind": "prior",
        "name": "mine",
        "state": "ready",
        "reason": None,
        "distribution": "own",
        "version": "local",
        "doc": "Do what mine does.",
        "options": [
            {
                "name": "gain",
                "type": "float",
                "default": None,
                "doc": "how loud",
                "required": True,
            },
            {"name": "mode", "type": "str", "default": "soft", "doc": "", "required": False},
        ],
        "use": "mine",
        "source": f"{folder / 'own.py'}:6",
        "documentation": "Do what mine does.\n\nAnd tell of it at length.",
        "presets": {},
    }
    bad = found["plugin", "bad"]
    assert (bad["state"], bad["version"], bad["source"]) == (
        "failed",
        "local",
        str(folder / "bad.py"),
    )


def test_a_component_is_shown_with_all_that_is_known(call, folder):
    text = call("plugins", "show", "prior:mine").out
    assert (
        text
        == f"""\
prior mine
  ready
  from own local, {folder / "own.py"}:6
  used as --prior mine

  Do what mine does.

  And tell of it at length.

  option  type   default
  gain    float  (required)  how loud
  mode    str    'soft'
  given as -o prior.mine.OPTION=VALUE
"""
    )


ODD = '''
from typing import Annotated
from keras_listen import hookimpl

Ends = Annotated[str, """what ends
    a line"""]


@hookimpl
def register_readers(register):
    def odd(bundle, *, ends: Ends = "\\r\\n", between: str = "\\t|", bell: str = "\\a"):
        """Read."""

    register("odd", odd)
'''


def test_values_that_cannot_be_printed_do_not_break_their_rows(call, folder):
    (folder / "odd.py").write_text(ODD)
    [row] = [line for line in call("plugins", "reader").out.splitlines() if " odd " in line]
    assert row.endswith(r"  odd local           ends=\r\n, between=\t|, bell=\x07")
    assert call("plugins", "show", "odd").out.splitlines()[-5:] == [
        "  option   type  default",
        r"  ends     str   '\r\n'   what ends a line",
        r"  between  str   '\t|'",
        r"  bell     str   '\x07'",
        "  given as -o reader.odd.OPTION=VALUE",
    ]
    # Machines get the values as they are.
    [entry] = entries(call("plugins", "show", "odd", "--json"))
    assert [option["default"] for option in entry["options"]] == ["\r\n", "\t|", "\a"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine", [("prior", "mine"), ("vocoder", "mine")]),
        ("vocoder:mine", [("vocoder", "mine")]),
        ("ae", [("prior", "ae"), ("prior", "own:ae")]),
        ("own:ae", [("prior", "own:ae")]),
        ("keras-listen:ae", [("prior", "ae")]),
        ("Own", [("prior", "own:ae"), ("prior", "mine"), ("vocoder", "mine")]),
        ("bad", [("plugin", "bad")]),
        ("bad:anything", [("plugin", "bad")]),
    ],
)
def test_what_is_shown_may_be_named_in_several_ways(call, folder, name, expected):
    found = entries(call("plugins", "show", "--json", name))
    assert [(e["kind"], e["use"]) for e in found] == expected
    pages = call("plugins", "show", name).out.split("\n\n")
    assert len([page for page in pages if page.partition(" ")[0] in dict(expected)]) == len(
        expected
    )


def test_an_unavailable_component_and_a_failed_plugin_say_why(call, folder):
    assert "  unavailable: no voice\n" in call("plugins", "show", "vocoder:mine").out
    text = call("plugins", "show", "bad").out
    assert text == (
        f"plugin bad\n  failed: ZeroDivisionError: division by zero ({folder / 'bad.py'}:1)\n"
        f"  from bad local, {folder / 'bad.py'}\n"
    )


def test_an_unknown_name_gets_its_nearest_match(call, folder):
    done = call("plugins", "show", "sofmax")
    done.err = done.err.splitlines(keepends=True)[-1]
    assert_one_line(done, r"no component or plugin is called 'sofmax'; did you mean 'softmax'\?")
    assert call("plugins", "show").status == 2
    assert "show" in call("plugins", "--help").out


def test_built_ins_are_shown_without_tensorflow():
    script = (
        "import sys\n"
        "from keras_listen.cli import main\n"
        "for name in ('ae', 'softmax', 'griffin-lim', 'wavenet', 'soundfile', 'neuron'):\n"
        "    sys.argv = ['keras-listen', 'plugins', 'show', name]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as error:\n"
        "        assert not error.code, error.code\n"
        "heavy = {'tensorflow', 'keras', 'librosa', 'numba', 'joblib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = run_python("-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "weights          str    'ae'     component of the bundle with encoder" in done.stdout
    assert "keras_listen/maximization/priors.py:" in done.stdout


def test_a_plugin_is_run_by_no_command_that_needs_none(tmp_path):
    install(tmp_path, "bad", "listen_bad", "1 / 0\n")
    done = run_python("-m", "keras_listen", "--help", path=[tmp_path])
    assert (done.returncode, done.stderr) == (0, "")
    assert "--no-plugin NAME" in done.stdout
    assert "--plugins-dir DIR" in done.stdout
