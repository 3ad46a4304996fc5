"""Plugins that fail in the middle of a run: one line that names them; what is finished stays."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import WORDS, digests, listen

from keras_listen import (
    Store,
    __version__,
    configure_plugins,
    evaluate,
    make_study,
    prepare,
    read_corpus,
    train,
    vocode,
)
from keras_listen.errors import ParameterError, PluginError
from keras_listen.experiment.component_options import parse_options
from keras_listen.output.files import sha256, write_json
from keras_listen.plugins import default_registry
from keras_listen.plugins.discovery import PluginSettings

FAULTY = Path(__file__).with_name("faulty_plugin.py").read_text(encoding="utf-8")
MINE = {"name": "faulty", "distribution": "broken-plugin", "version": "3.1"}
VERSIONS = {"broken-plugin": "3.1"}
QUICK = ("--steps", 2, "--block-size", 4, "--samples", 2, "--out", "run")


@pytest.fixture(scope="module", autouse=True)
def faulty(tmp_path_factory):
    """The plugin's file, in a folder that this process was told of."""
    before = PluginSettings.from_environment()
    path = tmp_path_factory.mktemp("plugins") / "broken-plugin.py"
    path.write_text(FAULTY)
    configure_plugins(folders=[path.parent])
    yield path
    before.to_environment()
    default_registry.cache_clear()


@pytest.fixture
def run(call, bundle):
    """A function that runs with the faulty component of one kind, and quiet other ones."""

    def run(kind: str, how: str, *arguments):
        chosen = {"prior": "none", "objective": "logit", "vocoder": "none"} | {kind: "faulty"}
        names = [part for key, name in chosen.items() for part in (f"--{key}", name)]
        option = ("-o", f"{kind}.faulty.how={how}")
        return call("run", "--bundle", bundle, *names, *option, *QUICK, *arguments)

    return run


def assert_said(done, message: str) -> None:
    """Check that a command failed with one line of the program's own, below its progress bars."""
    assert done.status == 1
    assert "Traceback" not in done.err
    [said] = [line for line in done.err.splitlines() if line.startswith("keras-listen: ")]
    assert done.err.endswith(said + "\n")
    assert re.search(message, said), said


def line(faulty: Path, text: str) -> str:
    """Return the place of a line of the plugin, as messages tell it."""
    return f"{faulty}:{FAULTY[: FAULTY.index(text)].count(chr(10)) + 1}"


FIRST = "90, 80, 1"
#: Rows of a block of 4, padded.
BLOCK = 24
WITHIN = "UnknownError: KeyError: 'gone' (FILE:"
GRADIENT = "by TensorFlow operations that have a gradient"
FROM_FEATURES = f"it must be computed from `features`, {GRADIENT}"
FROM_LATENT = f"features must be computed from `z`, {GRADIENT}"
DOCTOR = "check the classifier with keras-listen doctor, or take smaller steps"
RAISED = "failed: KeyError: 'gone' (PLACE)"


@pytest.mark.parametrize(
    ("kind", "how", "message"),
    [
        ("prior", "start raises", f": start {RAISED}"),
        (
            "prior",
            "start shape",
            f": start returned (3, {FIRST}) of float32; expected (4, ...), a latent a sample",
        ),
        (
            "prior",
            "start type",
            f": start returned (4, {FIRST}) of int64; expected floating-point numbers",
        ),
        ("prior", "start nan", ": start returned values that are not finite"),
        ("prior", "start nothing", ": start returned None; expected an array"),
        ("prior", "decode raises", f": decode {RAISED}"),
        (
            "prior",
            "decode shape",
            f": decode returned ({BLOCK}, 10, 80, 1) of float32; expected ({BLOCK}, {FIRST}) "
            "of float32",
        ),
        (
            "prior",
            "decode type",
            f": decode returned ({BLOCK}, {FIRST}) of float64; expected ({BLOCK}, {FIRST}) "
            "of float32",
        ),
        ("prior", "decode nan", " decoded features that are not finite at step 0"),
        ("prior", "decode rounds", f" decodes without a gradient; {FROM_LATENT}"),
        (
            "prior",
            "decode flat",
            f" decodes with a gradient of zero, from noise, too; {FROM_LATENT}",
        ),
        ("prior", "decode within", f": decode failed: {WITHIN}"),
        ("prior", "move raises", f": move {RAISED}"),
        (
            "prior",
            "move shape",
            f": move returned (3,) of float32; expected ({BLOCK}, {FIRST}) of float32",
        ),
        ("prior", "move nan", " has a move that is not finite at step 0"),
        (
            "prior",
            "bounded",
            " decoded features from LOW to HIGH, and says that they are bounded; "
            "make them lie in [0, 1], or let `bounded` be False",
        ),
        ("objective", "raises", f": {RAISED}"),
        (
            "objective",
            "shape",
            f": returned ({BLOCK}, 1) of float32; expected ({BLOCK},) of float32",
        ),
        ("objective", "type", f": returned ({BLOCK},) of float64; expected ({BLOCK},) of float32"),
        ("objective", "nothing", f": returned None; expected a tensor ({BLOCK},) of float32"),
        ("objective", "nan", f" gave values that are not finite at step 0; {DOCTOR}"),
        ("objective", "constant", f" does not depend on the latent; {FROM_FEATURES}"),
        ("objective", "counts", f" does not depend on the latent; {FROM_FEATURES}"),
        ("objective", "flat", f" has a gradient of zero, on noise, too; {FROM_FEATURES}"),
        ("objective", "steep", " has a gradient that is not finite at step 0"),
        ("objective", "within", f": failed: {WITHIN}"),
        ("vocoder", "raises", f": synthesize {RAISED}"),
        ("vocoder", "seconds", ": seconds_for returned None; expected seconds"),
        ("vocoder", "shape", ": synthesize returned (22272,) of float32; expected (4, samples)"),
        ("vocoder", "few", ": synthesize returned (3, 22272) of float32; expected (4, samples)"),
        (
            "vocoder",
            "short",
            " made sounds of 5000 samples, which are 23 frames, of 90 frames; "
            "expected 22272 samples",
        ),
        (
            "vocoder",
            "type",
            ": synthesize returned (4, 22272) of int16; expected floating-point numbers",
        ),
        ("vocoder", "nan", ": synthesize returned sounds with values that are not finite"),
        ("vocoder", "nothing", ": synthesize returned None; expected an array"),
    ],
)
def test_what_goes_wrong_names_its_plugin(run, faulty, kind, how, message):
    done = run(kind, how)
    text = f"{kind} faulty of broken-plugin 3.1{message}"
    pattern = re.escape(text).replace("PLACE", re.escape(line(faulty, 'raise KeyError("gone")')))
    pattern = pattern.replace("FILE:", re.escape(f"{faulty}:") + r"\d+\)")
    pattern = pattern.replace("LOW", r"-0\.\d+").replace("HIGH", r"0\.\d+")
    assert_said(done, f"^keras-listen: {pattern}$")
    # The run is there to be looked at, and to be continued.
    assert json.loads(Path("run/manifest.json").read_text())["plugins"] == {"broken-plugin": "3.1"}
    assert Path("run/index.html").is_file()


@pytest.mark.parametrize(
    ("kind", "option", "message"),
    [
        ("prior", "how=made", f"prior faulty of broken-plugin 3.1 {RAISED}"),
        (
            "prior",
            "how=spec",
            "prior faulty of broken-plugin 3.1 has the spec None; expected a FeatureSpec, such as "
            "bundle.spec",
        ),
        (
            "vocoder",
            "how=spec",
            "vocoder faulty of broken-plugin 3.1 has the spec None; expected a FeatureSpec, such "
            "as bundle.spec",
        ),
        (
            "prior",
            "hwo=made",
            "no option of prior faulty of broken-plugin 3.1 is called 'hwo'; did you mean 'how'? "
            "known: how, scale",
        ),
        (
            "prior",
            "scale=much",
            "option prior.faulty.scale of broken-plugin 3.1 is 'much'; expected float, for "
            "instance 1.0",
        ),
    ],
)
def test_what_is_wrong_from_the_start_is_said_before_anything_is_written(
    call, bundle, faulty, kind, option, message
):
    chosen = {"prior": "none", "vocoder": "none"} | {kind: "faulty"}
    names = [part for key, name in chosen.items() for part in (f"--{key}", name)]
    done = call("run", "--bundle", bundle, *names, "-o", f"{kind}.faulty.{option}", *QUICK)
    place = re.escape(line(faulty, 'raise KeyError("gone")'))
    assert_said(done, f"^keras-listen: {re.escape(message).replace('PLACE', place)}$")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("astray", "no vocoder is called 'nowhere'; known: astray, "),
        ("lost", "vocoder astray of broken-plugin 3.1 is unavailable: no voice"),
    ],
)
def test_a_fallback_that_cannot_be_made_either_is_told_with_what_it_stood_for(
    call, bundle, name, message
):
    done = call("run", "--bundle", bundle, "--prior", "none", "--vocoder", name, *QUICK)
    first = f"vocoder {name} of broken-plugin 3.1 is unavailable: no voice; falling back to "
    assert_said(done, f"^keras-listen: {re.escape(first)}\\w+ failed: {re.escape(message)}")


@pytest.mark.parametrize("command", ["run", "evaluate", "vocode"])
def test_an_option_by_both_names_of_its_component_is_refused(call, bundle, tmp_path, command):
    names = ("faulty", "broken-plugin:faulty")
    kind, key = ("vocoder", "how") if command == "vocode" else ("prior", "scale")
    options = [f"{kind}.{name}.{key}={value}" for name, value in zip(names, "23", strict=True)]
    given = ["-o", options[0], "-o", options[1]]
    arguments = {
        "run": ["--prior", "faulty", "--vocoder", "none"],
        "evaluate": ["--prior", "faulty"],
        "vocode": ["--vocoder", "faulty", tmp_path],
    }
    done = call(command, *arguments[command], *given, "--bundle", bundle, "--out", "out")
    assert_said(
        done,
        rf"^keras-listen: option {key} of {kind} faulty of broken-plugin 3\.1 was given twice, as "
        rf"{kind}\.faulty\.{key} and as {kind}\.broken-plugin:faulty\.{key}; drop one$",
    )
    assert not Path("out").exists()


def test_an_option_is_given_once():
    message = r"^option prior\.ae\.pull was given twice, as '1' and as '2'; drop one$"
    with pytest.raises(ParameterError, match=message):
        parse_options(["prior.ae.pull=1", "prior.vae.pull=1", "prior.ae.pull=2"])


def test_options_by_either_name_of_their_component_are_taken_together(bundle, tmp_path):
    options = {"prior.faulty.scale": 2.0, "prior.broken-plugin:faulty.how": "decode shape"}
    with pytest.raises(PluginError, match="decode returned"):
        listen("faulty", vocoder="none", bundle=bundle, options=options, out=tmp_path / "run")


def test_options_of_a_distribution_with_dots_in_its_name_are_understood():
    assert parse_options(["prior.my.own.plugin:faulty.how=a.b=c", "vocoder.x.y=1"]) == {
        ("prior", "my.own.plugin:faulty"): {"how": "a.b=c"},
        ("vocoder", "x"): {"y": "1"},
    }
    for text in ("prior.a.b.c=1", "prior.a=1", "prior..a=1", "prior.a.=1", "prior.a.b", ".a.b=1"):
        with pytest.raises(
            ParameterError, match=r"was not understood; expected KIND\.NAME\.KEY=VALUE"
        ):
            parse_options([text])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("encode raises", f": encode {RAISED}"),
        (
            "encode shape",
            f": encode returned (2, {FIRST}) of float32; expected ({BLOCK}, ...), a latent a "
            "sample",
        ),
    ],
)
def test_encoding_is_watched(run, faulty, tmp_path, how, message):
    folder = tmp_path / "starts" / "stop"
    folder.mkdir(parents=True)
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", [0.1, -0.1] * 8000, 16000)
    done = run("prior", how, "--start", "starts", "--vocoder", "none")
    text = re.escape(f"prior faulty of broken-plugin 3.1{message}")
    place = re.escape(line(faulty, 'raise KeyError("gone")'))
    assert_said(done, f"^keras-listen: {text.replace('PLACE', place)}$")


def test_what_was_finished_stays_and_the_run_is_resumed(run, tmp_path, monkeypatch):
    whole = run("vocoder", "", "--out", "whole")
    assert whole.status == 0, whole.err
    monkeypatch.setenv("FAULTY_COUNT", "1")
    done = run("vocoder", "")
    assert_said(done, "^keras-listen: vocoder faulty of broken-plugin 3.1: synthesize failed: ")
    with open("run/samples.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["down-000", "down-001", "stop-000", "stop-001"]
    before = {row["id"]: digests(tmp_path / "run")[f"{row['id']}.wav"] for row in rows}
    monkeypatch.delenv("FAULTY_COUNT")
    done = run("vocoder", "", "--resume")
    assert done.status == 0, done.err
    after = digests(tmp_path / "run")
    assert {name: after[f"{name}.wav"] for name in before} == before
    # The page's title has the folder's name.
    same = set(after) - {"index.html"}
    assert {n: after[n] for n in same} == {n: digests(tmp_path / "whole")[n] for n in same}
    assert len([name for name in after if name.endswith(".wav")]) == 2 * len(WORDS)


def test_a_study_is_resumed_behind_a_vocoder_that_failed(bundle, tmp_path, monkeypatch):
    # Eight samples of one block each; a chunk has four blocks.
    settings = {"samples": 2, "steps": 1, "block_size": 1, "vocoder": "faulty", "bundle": bundle}
    whole = evaluate(["none"], **settings, out=tmp_path / "whole").root
    monkeypatch.setenv("FAULTY_COUNT", "4")
    with pytest.raises(
        PluginError, match=r"^vocoder faulty of broken-plugin 3\.1: synthesize failed"
    ):
        evaluate(["none"], **settings, out=tmp_path / "study")
    monkeypatch.delenv("FAULTY_COUNT")
    [finished] = (tmp_path / "study").rglob("*.npz")
    before = finished.stat().st_mtime_ns
    study = evaluate(["none"], **settings, out=tmp_path / "study", resume=True).root
    assert finished.stat().st_mtime_ns == before
    assert (study / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    assert len(list(study.rglob("*.npz"))) == 2


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", f": reading FIRST {RAISED}"),
        ("fails", f": reading SECOND {RAISED}"),
        ("stops", ": gave nothing for SECOND; expected a pair for every path, in order"),
        ("nothing", ": gave nothing for FIRST; expected a pair for every path, in order"),
        ("alone", ": gave ndarray for FIRST; expected (path, samples) of it, in order"),
        ("other", ": gave tuple for FIRST; expected (path, samples) of it, in order"),
        ("type", ": FIRST: returned (16000,) of int16; expected floating-point numbers"),
        ("shape", ": FIRST: returned (16000, 1) of float32; expected (samples,), mono"),
        ("list", ": FIRST: returned [0.0]; expected an array"),
    ],
)
@pytest.mark.parametrize("command", ["run", "prepare"])
def test_readers_are_watched(call, bundle, faulty, tiny_corpus, monkeypatch, command, how, message):
    monkeypatch.setenv("FAULTY_READER", how)
    out = "out"
    if command == "run":
        chosen = (
            "--prior",
            "none",
            "--vocoder",
            "none",
            "--bundle",
            bundle,
            "--start",
            tiny_corpus,
        )
        done = call("run", *chosen, *QUICK[:-2], "--reader", "faulty", "--out", out)
    else:
        done = call("prepare", tiny_corpus, out, "--reader", "faulty", "--workers", 1)
    text = re.escape(f"reader faulty of broken-plugin 3.1{message}")
    text = text.replace("PLACE", re.escape(line(faulty, 'raise KeyError("gone")')))
    text = re.sub("FIRST|SECOND", r"\\S+\\.wav", text)
    assert_said(done, f"^keras-listen: {text}$")


def test_what_a_reader_says_of_a_file_is_no_failure(call, tiny_corpus, monkeypatch):
    monkeypatch.setenv("FAULTY_READER", "error")
    done = call("prepare", tiny_corpus, "out", "--reader", "faulty", "--workers", 1)
    assert_said(done, "0 of 72 files of .* could be used.*no luck")


def test_a_plugin_reader_prepares_a_store_in_several_processes(call, tiny_corpus):
    done = call("prepare", tiny_corpus, "out", "--reader", "faulty", "--workers", 2)
    assert done.status == 0, done.err
    assert json.loads(Path("out/store.json").read_text())["reader"] == {
        "name": "faulty",
        "distribution": "broken-plugin",
        "version": "3.1",
    }


def test_a_plugin_that_fails_to_load_keeps_nothing_else_from_working(call, bundle, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "bad.py").write_text("1 / 0\n")
    before = PluginSettings.from_environment()
    configure_plugins(folders=[*before.folders, tmp_path / "more"])
    try:
        chosen = ("--prior", "ae", "--vocoder", "none", "--bundle", bundle)
        done = call("run", *chosen, "--objective", "faulty", *QUICK)
    finally:
        before.to_environment()
        default_registry.cache_clear()
    assert done.status == 0
    said = [line for line in done.err.splitlines() if line.startswith("keras-listen: ")]
    why = f"ZeroDivisionError: division by zero ({tmp_path / 'more' / 'bad.py'}:1)"
    assert said == [f"keras-listen: plugin bad local failed and is left out: {why}"]
    assert len(list(Path("run").glob("*.npy"))) == 2 * len(WORDS)


def test_python_gets_an_error_that_names_the_plugin(bundle, tmp_path):
    with pytest.raises(PluginError, match=r"^prior faulty of broken-plugin 3\.1: decode returned "):
        listen(
            "faulty",
            vocoder="none",
            bundle=bundle,
            options={"prior.broken-plugin:faulty.how": "decode shape"},
            out=tmp_path / "run",
        )


def test_manifests_keep_what_is_in_use_and_what_is_there(bundle, tmp_path):
    (tmp_path / "sounds" / "stop").mkdir(parents=True)
    soundfile.write(tmp_path / "sounds" / "stop" / "a.wav", [0.1, -0.1] * 8000, 16000)
    run = listen(
        "faulty",
        "broken-plugin:faulty",
        "none",
        bundle=bundle,
        start=str(tmp_path / "sounds"),
        reader="faulty",
        steps=1,
        out=tmp_path / "run",
    )
    manifest = json.loads((run.root / "manifest.json").read_text())
    assert manifest["components"] == {"objective": MINE, "prior": MINE, "reader": MINE}
    assert manifest["plugins"] == VERSIONS


def test_sounds_keep_what_they_were_made_with(tmp_path, monkeypatch, bundle):
    monkeypatch.delenv("FAULTY_READER", raising=False)
    (tmp_path / "a.wav").write_bytes(b"")
    vocode(
        [tmp_path / "a.wav"],
        tmp_path / "out",
        vocoder="faulty",
        reader="faulty",
        bundle=bundle,
        options={"vocoder.faulty.how": ""},
        seed=3,
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["components"] == {"reader": MINE, "vocoder": MINE}
    assert manifest["plugins"] == VERSIONS
    assert manifest["versions"]["keras-listen"] == __version__
    assert manifest["command"] == {
        "inputs": [str(tmp_path / "a.wav")],
        "vocoder": "faulty",
        "bundle": str(bundle),
        "options": ["vocoder.faulty.how="],
        "reader": "faulty",
        "seed": 3,
    }


def test_a_fallback_is_what_was_in_use(tmp_path, bundle):
    np.save(tmp_path / "a.npy", np.zeros((30, 80), np.float32))
    vocode([tmp_path / "a.npy"], tmp_path / "out", vocoder="hoarse", bundle=bundle)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["components"]["vocoder"] == MINE
    [note] = manifest["notes"]
    assert note.endswith("is unavailable: no voice; falling back to faulty")


def test_stores_and_bundles_keep_the_plugins_that_were_there(tiny_corpus, tmp_path, monkeypatch):
    monkeypatch.delenv("FAULTY_READER", raising=False)
    store = prepare(read_corpus(tiny_corpus), tmp_path / "store", reader="faulty", workers=1).store
    about = json.loads((store.root / "store.json").read_text())
    assert (about["reader"], about["plugins"]) == (MINE, VERSIONS)
    bundle = train(store, tmp_path / "bundle", only=["classifier"], epochs=1)
    assert bundle.component("classifier").about["provenance"]["plugins"] == VERSIONS
    assert json.loads((bundle.root / "bundle.json").read_text())["provenance"]["plugins"] == (
        VERSIONS
    )

    # Older ones do not say so. Plugins that were there and not in use make no other store.
    identity = store.identity()
    del about["plugins"]
    write_json(store.root / "store.json", about)
    assert Store.open(store.root).identity() == identity
    assert identity["store.json"] == sha256(store.root / "store.json")
    write_json(store.root / "store.json", about | {"reader": MINE | {"version": "3.2"}})
    assert store.identity() != identity


def test_a_study_tells_components_of_one_name_apart(bundle, faulty, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(FAULTY.replace("3.1", "0.2"))
    before = PluginSettings.from_environment()
    configure_plugins(folders=[faulty.parent, tmp_path])
    try:
        names = ["none", "broken-plugin:faulty", "other:faulty"]
        settings = {"samples": 1, "steps": 1, "bundle": bundle}
        study = evaluate(names, ["logit"], **settings, out=tmp_path / "study")
    finally:
        before.to_environment()
        default_registry.cache_clear()
    manifest = json.loads((study.root / "manifest.json").read_text())
    named = [(c["distribution"], c["name"], c["version"]) for c in manifest["components"]["prior"]]
    assert named[1:] == [("broken-plugin", "faulty", "3.1"), ("other", "faulty", "0.2")]
    assert named[0][:2] == ("keras-listen", "none")
    assert manifest["plugins"] == {"broken-plugin": "3.1", "other": "0.2"}


@contextlib.contextmanager
def another_plugin(folder):
    """Have one more plugin, which nobody uses."""
    before = PluginSettings.from_environment()
    (folder / "more").mkdir()
    (folder / "more" / "further.py").write_text(FAULTY.replace('"faulty"', '"further"'))
    configure_plugins(folders=[*before.folders, folder / "more"])
    try:
        assert "further" in default_registry().versions()
        yield
    finally:
        before.to_environment()
        default_registry.cache_clear()


def test_a_run_is_resumed_though_other_plugins_came_and_went(bundle, tmp_path):
    settings = {"vocoder": "none", "bundle": bundle, "steps": 1, "out": tmp_path / "run"}
    first = listen("faulty", **settings)
    with another_plugin(tmp_path):
        again = listen("faulty", **settings, resume=True)
    assert again.rows == first.rows


def test_a_listening_test_is_resumed_though_other_plugins_came_and_went(
    bundle, tiny_store, tmp_path
):
    settings = {"vocoder": "griffin-lim", "options": ["vocoder.griffin-lim.iterations=1"]}
    settings |= {"bundle": bundle, "words": ["up"], "per_word": 1, "tries": 2, "anchors": 0}
    settings |= {"steps": 1, "block_size": 4}
    first = make_study(tiny_store.root, tmp_path / "study", **settings)
    with another_plugin(tmp_path):
        again = make_study(tiny_store.root, tmp_path / "study", **settings, resume=True)
    assert (again.id, again.items) == (first.id, first.items)
