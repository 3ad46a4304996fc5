"""The command line: light where it must be, and one line for each thing that can go wrong."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import soundfile
from helpers import HOSTILE, WORDS, assert_one_line, digests, listen, read_table, small_classifier

from keras_listen import __version__
from keras_listen.cli.bars import bar, remembering_interrupts
from keras_listen.data.splits import SPLITS, split_by_hash
from keras_listen.errors import install_command
from keras_listen.experiment.settings import ModelChoice

HEAVY = ("tensorflow", "keras", "librosa", "torch", "jax", "sklearn")


def python(*arguments: str, timeout: float = 120, **environment: str):
    """Run a fresh Python."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
        check=False,
    )


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["plugins"], ["plugins", "--json"], ["study", "make", "--help"]],
)
def test_light_commands_import_nothing_heavy(arguments):
    script = (
        "import sys; from keras_listen.cli import main\n"
        f"sys.argv = ['keras-listen', *{arguments}]\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
    )
    done = python("-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


#: A prior of a single file that is listed without TensorFlow, as plugins should be.
LIGHT_PLUGIN = """
from keras_listen import hookimpl


def make(bundle, *, size: int = 3):
    raise AssertionError("nothing is made before everything is known")


@hookimpl
def register_priors(register):
    register("mine", make)
"""


def test_what_is_unknown_is_refused_before_tensorflow_is_imported(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "light.py").write_text(LIGHT_PLUGIN)
    words = "known: bed, cat, down, eight, five"
    cases = {
        "run --prior aee": "no prior is called 'aee'; did you mean 'ae'?",
        "run --objective sofmax": "no objective is called 'sofmax'; did you mean 'softmax'?",
        "run --vocoder grifin-lim": "no vocoder is called 'grifin-lim'",
        "run --reader x": "no reader is called 'x'",
        "run --preset naturl": "no preset is called 'naturl'; did you mean 'natural'?",
        "run --word maybe": f"no word of this classifier is called 'maybe'; {words}",
        "run --samples 0": "0 is not in the range x>=1",
        "run --step-size 0": "step_size is 0.0; expected a number above 0",
        "run --frontend mfc": "no frontend is called 'mfc'; did you mean 'mfcc'?",
        "run --start nowhere.wav": "the start nowhere.wav does not exist",
        "run -o prior.ae.weight=vae": "no option of prior ae is called 'weight'",
        "run -o prior.vae.pull=1": "the prior of this run is ae; drop it",
        "run --prior mine --word maybe": f"no word of this classifier is called 'maybe'; {words}",
        "run --prior mine -o prior.mine.size=x": "is 'x'; expected int",
        "evaluate --prior none --prior aee": "no prior is called 'aee'; did you mean 'ae'?",
        "evaluate --samples 0": "0 is not in the range x>=1",
        "evaluate --start nowhere": "nowhere",
        "debug nowhere --prior aee": "no prior is called 'aee'",
        "debug nowhere": "nowhere",
        "study make nowhere out --words maybe": "no word of this classifier is called 'maybe'",
        "vocode x.wav --out out --vocoder x": "no vocoder is called 'x'",
    }
    script = (
        "import contextlib, io, json, sys; from keras_listen.cli import main\n"
        "said = []\n"
        f"for line in {list(cases)}:\n"
        "    sys.argv = ['keras-listen', '--plugins-dir', 'plugins', *line.split()]\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as err:\n"
        "        try: main()\n"
        "        except SystemExit as end: said.append([end.code, err.getvalue()])\n"
        f"print(json.dumps([said, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    said, heavy = json.loads(done.stdout)
    for (command, message), (status, text) in zip(cases.items(), said, strict=True):
        assert status in (1, 2), command
        assert message in text, command
    assert heavy == []
    assert files_under(tmp_path / "plugins") == ["light.py"]


def test_importing_the_package_imports_nothing_heavy():
    script = f"import sys, keras_listen; sys.exit(str([n for n in {HEAVY} if n in sys.modules]))"
    assert python("-c", script).stderr.strip() == "[]"


def test_help_names_every_command_and_version_is_the_packages(call):
    text = call("--help").out
    commands = ("run", "prepare", "train", "fetch", "doctor", "plugins", "vocode", "convert")
    commands += ("study",)
    for command in commands:
        assert re.search(rf"^  {command} ", text, re.MULTILINE)
        assert call(command, "--help").status == 0
    assert __version__ in call("--version").out


def test_plugins_lists_components_with_their_options(call):
    entries = json.loads(call("plugins", "--json").out)
    found = {(entry["kind"], entry["name"]): entry for entry in entries}
    own = [("prior", name) for name in ("none", "ae", "vae", "diffusion")]
    own += [("objective", name) for name in ("logit", "softmax", "neuron")]
    own += [("vocoder", "griffin-lim"), ("vocoder", "wavenet")]
    own += [("reader", "soundfile"), ("reader", "tfio")]
    assert set(own) <= set(found)
    for entry in entries:
        assert entry["state"] in ("ready", "unavailable", "failed")
        assert bool(entry["reason"]) == (entry["state"] != "ready")
    options = {option["name"]: option for option in found["objective", "neuron"]["options"]}
    assert options["unit"]["type"] == "int"
    assert options["layer"]["default"] == "dense_1"
    assert all(option["doc"] for option in options.values())
    text = call("plugins").out
    for _, name in own:
        assert name in text


def test_doctor_has_every_option_that_describes_a_classifier(call):
    text = call("doctor", "--help").out
    for one in fields(ModelChoice):
        option = one.metadata.get("option", "--" + one.name.replace("_", "-"))
        assert (f"  {option} " in text) == (one.name not in ("bundle", "classifier"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "Did you mean 'run'"),
        (["run", "--samples", "0"], "--samples"),
        (["run", "--steps", "many"], "--steps"),
        (["run", "--priors", "ae"], "--prior"),
        (["run", "surplus"], "surplus"),
        (["prepare"], "CORPUS"),
        (["run", "--block-size", "0"], "--block-size"),
        (["train", "bundle"], "expected STORE and BUNDLE for --only"),
        (["train", "store", "bundle", "--only", "wavenet"], "expected BUNDLE alone"),
        (["train", "bundle", "--only", "wavenet"], "add --audio DIR"),
        (["train", "store", "bundle", "--audio", "x"], "--audio is for --only wavenet"),
        (["evaluate", "--from-npz", "x", "--samples", "5"], "drop --samples"),
        (["evaluate", "--from-npz", "x", "-o", "prior.ae.pull=1"], "drop -o"),
        (["evaluate", "--from-npz", "x", "--npz", "--seed", "0"], "drop --seed, --npz"),
        (["convert", "melgan", "a.pth", "a.json", "out"], "melgan"),
    ],
)
def test_usage_errors_have_status_2(call, tmp_path, arguments, message):
    done = call(*arguments)
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert files_under(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prior", "aee"], r"no prior is called 'aee'; did you mean 'ae'\?.*known: .*none"),
        (["--objective", "sofmax"], r"'sofmax'; did you mean 'softmax'\?"),
        (["--vocoder", "grifin-lim"], r"'grifin-lim'; did you mean 'griffin-lim'\?"),
        (["--word", "stopp"], r"'stopp'; did you mean 'stop'\?"),
        (["--reader", "soundfil"], r"no reader is called 'soundfil'; did you mean 'soundfile'\?"),
        (["--bundle", "nowhere"], "nowhere is no bundle"),
        (["--start", "nowhere.wav"], r"nowhere\.wav does not exist; expected noise"),
        (["--step-size", "-1"], "step_size is -1.0; expected a number above 0"),
        (["--resume"], "no run to resume here; name its folder with --out"),
        (["-o", "nonsense"], "'nonsense' was not understood; expected KIND.NAME.KEY=VALUE"),
        (["-o", "prior.ae=3"], "expected KIND.NAME.KEY=VALUE"),
        (["-o", "priors.ae.weights=vae"], r"'priors'; did you mean 'prior'\?"),
        (["-o", "prior.ae.weight=vae"], r"'weight'; did you mean 'weights'\?"),
        (["-o", "prior.ae.start_deviation=big"], "is 'big'; expected float, for instance 0.1"),
        (["-o", "prior.vae.weights=vae"], "the prior of this run is ae; drop it"),
        (["-o", "prior.ae.weights=aee"], r"no component is called 'aee'; did you mean 'ae'\?"),
        (
            ["--objective", "neuron", "-o", "objective.neuron.layer=nowhere"],
            "no layer of .* is called 'nowhere'; .*known: ",
        ),
        (["--words-file", "words.txt"], "without a classifier"),
        (["--classifier", "nowhere.keras", "--words-file", "words.txt"], "words.txt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_run_does_not_know_is_one_line(call, bundle, tmp_path, arguments, message):
    if "--bundle" not in arguments:
        arguments = ["--bundle", bundle, *arguments]
    if "--vocoder" not in arguments:
        # The default one falls back to this one, and says so in a line that is no error.
        arguments = ["--vocoder", "griffin-lim", *arguments]
    assert_one_line(call("run", *arguments), message)
    assert files_under(tmp_path) == []


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with a good model, its words, and many bad ones."""
    folder = tmp_path_factory.mktemp("models")
    small_classifier(1).save(folder / "good.keras")
    good = (folder / "good.keras").read_bytes()
    (folder / "truncated.keras").write_bytes(good[: len(good) // 2])
    (folder / "text.keras").write_text("no model at all")
    (folder / "empty.keras").write_bytes(b"")
    # The archive's directory stays whole, what it points to does not.
    middle = len(good) // 2
    (folder / "corrupt.keras").write_bytes(
        good[: middle - 500] + bytes(1000) + good[middle + 500 :]
    )
    (folder / "model.h5").write_text("no model at all")
    inputs = keras.Input((90, 80, 1))
    doubled = keras.layers.Lambda(lambda x: 2 * x, output_shape=(90, 80, 1))(inputs)
    keras.Model(inputs, small_classifier(1)(doubled)).save(folder / "lambda.keras")
    broken = small_classifier(1)
    broken.layers[-1].bias.assign([np.nan] * len(WORDS))
    broken.save(folder / "nan.keras")
    rounded = keras.ops.stop_gradient(inputs)
    keras.Model(inputs, small_classifier(1)(rounded)).save(folder / "cut.keras")
    lines = "\n".join(word for word in WORDS)
    (folder / "words.txt").write_text(lines, encoding="utf-8")
    (folder / "three.txt").write_text("down\nstop\nup\n")
    (folder / "none.txt").write_text("\n")
    (folder / "bytes.txt").write_bytes(b"\xfe\x00\x81")
    (folder / "spec.toml").write_text("n_mel = 80\n")
    (folder / "broken.toml").write_text("n_mels = = 80\n")
    return folder


@pytest.mark.parametrize(
    ("model", "words", "more", "message"),
    [
        ("nowhere.keras", "words.txt", [], "there is no model file"),
        ("truncated.keras", "words.txt", [], "truncated.keras is damaged"),
        ("text.keras", "words.txt", [], "text.keras is damaged"),
        ("empty.keras", "words.txt", [], "empty.keras is damaged"),
        ("corrupt.keras", "words.txt", [], "cannot open the model .*corrupt.keras"),
        ("model.h5", "words.txt", [], r"model\.h5 is no HDF5 file.*model\.save"),
        ("lambda.keras", "words.txt", [], "Python code.*--trust-model"),
        ("nan.keras", "words.txt", [], "nan.keras gives no finite numbers, whatever it hears"),
        ("cut.keras", "words.txt", [], "cut.keras has no gradient; listen to one whose layers all"),
        ("good.keras", "words.txt", ["--head", "logits"], "given as logits, but its .* sum 1"),
        ("good.keras", "three.txt", [], "4 outputs, but there are 3 words"),
        ("good.keras", "none.txt", [], "is empty; expected one word a line"),
        ("good.keras", "bytes.txt", [], "cannot read the words file"),
        ("good.keras", "nowhere.txt", [], "cannot read the words file"),
        ("good.keras", "words.txt", ["--spec", "spec.toml"], "spec.toml, unknown .* 'n_mel'"),
        ("good.keras", "words.txt", ["--spec", "broken.toml"], "broken.toml"),
        ("good.keras", "words.txt", ["--spec", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_a_bad_model_of_ones_own_is_one_line(
    call, models, bundle, tmp_path, model, words, more, message
):
    more = [models / value if value.endswith(".toml") else value for value in more]
    given = ["--classifier", models / model, "--words-file", models / words, *more]
    assert_one_line(call("run", "--bundle", bundle, *given), message)
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("command", ["evaluate", "run"])
def test_a_model_that_gives_no_numbers_leaves_no_folder(call, models, bundle, tmp_path, command):
    given = ["--classifier", models / "nan.keras", "--words-file", models / "words.txt"]
    done = call(command, "--bundle", bundle, *given, "--vocoder", "none", "--out", "out")
    assert_one_line(done, "gives no finite numbers, whatever it hears; look for NaN in its weights")
    assert files_under(tmp_path) == []
    # As the message says, doctor shows it.
    done = call("doctor", *given[1:], "--head", "logits")
    assert "PROBLEM values       32 of 32 outputs on noise are not finite numbers" in done.out


def test_a_unit_before_a_cut_gradient_can_be_climbed(call, models, bundle, tmp_path):
    inputs = keras.Input((90, 80, 1))
    pooled = keras.layers.AveragePooling2D(30, name="pool")(inputs)
    end = keras.layers.Flatten()(keras.ops.stop_gradient(pooled))
    keras.Model(inputs, keras.layers.Dense(len(WORDS))(end)).save(tmp_path / "model.keras")
    given = ["--classifier", "model.keras", "--words-file", models / "words.txt", "--steps", 1]
    given += ["--objective", "neuron", "-o", "objective.neuron.layer=pool", "--prior", "none"]
    done = call("run", "--bundle", bundle, *given, "--vocoder", "none", "--out", "out")
    assert done.status == 0, done.err


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """A folder with recordings that cannot be used."""
    folder = tmp_path_factory.mktemp("recordings")
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(folder / "good.wav", noise, 16000)
    good = (folder / "good.wav").read_bytes()
    (folder / "header.wav").write_bytes(good[:30])
    (folder / "half.wav").write_bytes(good[: len(good) // 2])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound at all")
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "nothing.wav", np.zeros(0), 16000)
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("header.wav", "cannot be read as sound"),
        ("half.wav", "half.wav"),
        ("empty.wav", "the file is empty"),
        ("text.wav", "cannot be read as sound"),
        ("silent.wav", "silent"),
        ("nothing.wav", "no samples"),
    ],
)
def test_a_bad_recording_is_one_line(call, recordings, bundle, tmp_path, name, message):
    done = call("run", "--bundle", bundle, "--word", "up", "--start", recordings / name)
    assert_one_line(done, f"{name}.*{message}|{message}")
    assert files_under(tmp_path) == []


@pytest.mark.parametrize(
    "file", ["classifier/model.keras", "referee/model.keras", "ae/decoder.keras"]
)
def test_a_bundle_whose_checksum_is_off_is_one_line(call, bundle, tmp_path, file):
    shutil.copytree(bundle, tmp_path / "bundle")
    data = bytearray((tmp_path / "bundle" / file).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bundle" / file).write_bytes(data)
    before = files_under(tmp_path)
    assert_one_line(call("run", "--bundle", "bundle", "--vocoder", "none"), f"checksum of .*{file}")
    assert files_under(tmp_path) == before


@pytest.mark.parametrize("text", ["{", '{"schema": 1}', '{"schema": 99, "words": []}', "[]"])
def test_a_damaged_bundle_is_one_line(call, tmp_path, text):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text(text)
    assert_one_line(call("run", "--bundle", "bundle"), "damaged|version 99")
    assert files_under(tmp_path) == ["bundle", "bundle/bundle.json"]


def quick(bundle: Path, *more) -> list:
    """Return a command line that takes little time."""
    always = ["run", "--bundle", bundle, "--vocoder", "griffin-lim", "--steps", 1, "--word", "up"]
    return [*always, "-o", "vocoder.griffin-lim.iterations=1", "--block-size", 2, *more]


@pytest.mark.parametrize("out", ["file", "file/under"])
def test_a_file_in_the_way_is_one_line(call, bundle, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    assert_one_line(call(*quick(bundle, "--out", out)), out)
    assert files_under(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_used_folder_is_one_line(call, bundle, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    assert_one_line(call(*quick(bundle, "--out", "used")), "used is not empty; give --resume")
    assert_one_line(call(*quick(bundle, "--out", "used", "--resume")), "no run to resume in used")
    assert files_under(tmp_path) == ["used", "used/mine.txt"]


def test_a_run_ends_with_its_rates_and_the_page(call, bundle, tmp_path):
    done = call(*quick(bundle, "--word", "stop", "--out", "here", "--samples", 2))
    assert done.status == 0
    heading, stop, up, every = (line.split() for line in done.out.splitlines()[:4])
    assert {"own", "transfer", "cycle"} <= set(heading)
    assert {up[0], stop[0], every[0]} == {"up", "stop", "all"}
    assert every[1] == "4"
    assert all(f"{value}" in done.out for value in ("%", "page: here/index.html"))
    assert (tmp_path / "here" / "index.html").is_file()


def test_run_and_listen_write_the_same(call, bundle, tmp_path):
    assert call(*quick(bundle, "--samples", 3, "--seed", 4, "--out", "a/run")).status == 0
    listen(
        bundle=bundle,
        words=["up"],
        samples=3,
        steps=1,
        seed=4,
        block_size=2,
        vocoder="griffin-lim",
        options=["vocoder.griffin-lim.iterations=1"],
        out="b/run",
    )
    assert digests(Path("a/run")) == digests(Path("b/run"))


def test_prepare_ends_in_a_summary(call, sound, tmp_path):
    for word in ("down", "up"):
        (tmp_path / "c" / word).mkdir(parents=True)
        for number in range(10):
            y = np.concatenate([sound(word, number), np.zeros(16000)])
            path = tmp_path / "c" / word / f"{word}_alice_{number}.wav"
            soundfile.write(path, y, 16000)
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    (tmp_path / "c" / "up" / "up_alice_3.wav").write_bytes(b"")
    (tmp_path / "spec.toml").write_bytes('longer = "loudest"\r\n'.encode("utf-8-sig"))
    done = call("prepare", tmp_path / "c", "s", "--workers", 1)
    assert done.out.splitlines() == [
        "19 utterances of 2 words (19 training, 0 validation, 0 testing): s",
        "speakers: 1 training, 0 validation, 0 testing",
    ]
    for text in (
        "has no validation and no testing utterance, because its only speaker is in training, by",
        "19 of 19 recordings are longer than the 90 frames (1.01 s) of a feature: only their end",
        "1 files skipped (1 cannot be read as sound: the file is empty), all listed in",
    ):
        assert done.err.count(text) == 1
    # The remedies.
    more = ("--split-by-utterance", "--spec", tmp_path / "spec.toml", "--workers", 1)
    done = call("prepare", tmp_path / "c", "t", *more)
    assert "19 utterances of 2 words (15 training, 2 validation, 2 testing): t" in done.out
    assert "only their loudest part is kept" in done.err
    assert "has no validation" not in done.err
    done = call("prepare", tmp_path / "c", "u", "--speaker-pattern", r"_(\d+)\.", "--workers", 1)
    found = Counter(split_by_hash(str(number)) for number in range(10))
    counts = ", ".join(f"{found[split]} {split}" for split in SPLITS)
    assert f"speakers: {counts}" in done.out


def test_a_file_that_cannot_grow_is_one_line_and_leaves_nothing_half_written(
    call, bundle, tmp_path
):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so that writing on is an error like that of a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        done = call(*quick(bundle, "--out", "out", "--samples", 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.status == 1
    assert "Traceback" not in done.err
    own = [line for line in done.err.splitlines() if line.startswith("keras-listen: ")]
    assert len(own) == 1
    assert "cannot write" in own[0]
    assert read_table(tmp_path / "out" / "samples.csv") == []
    assert not [name for name in files_under(tmp_path) if "partial" in name or name.endswith("npy")]
    assert call(*quick(bundle, "--out", "out", "--samples", 2, "--resume")).status == 0
    assert len(read_table(tmp_path / "out" / "samples.csv")) == 2


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 700 kB, as far as this machine lets us have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(options, capture_output=True).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_finished_blocks_and_is_resumed_when_there_is_room(
    call, bundle, tiny_disk, tmp_path
):
    command = quick(bundle, "--samples", 10)
    done = call(*command, "--out", tiny_disk / "run")
    assert done.status == 1
    assert "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("keras-listen: ")]
    assert "No space left" in line
    rows = read_table(tiny_disk / "run" / "samples.csv")
    assert 0 < len(rows) < 10
    assert not [name for name in files_under(tiny_disk) if "partial" in name]
    subprocess.run(["mount", "-o", "remount,size=9m", str(tiny_disk)], check=True)
    assert call(*command, "--out", tiny_disk / "run", "--resume").status == 0
    assert call(*command, "--out", tmp_path / "other" / "run").status == 0
    assert digests(tiny_disk / "run") == digests(tmp_path / "other" / "run")


@pytest.mark.parametrize("backend", ["jax", "torch", "nonsense"])
def test_another_backend_is_refused_in_one_line(tmp_path, backend):
    arguments = ["-m", "keras_listen", "run", "--out", str(tmp_path / "out")]
    done = python(*arguments, KERAS_BACKEND=backend)
    failed = SimpleNamespace(status=done.returncode, err=done.stderr)
    assert_one_line(failed, f"{backend}.*KERAS_BACKEND=tensorflow")
    assert files_under(tmp_path) == []


def test_a_backend_that_is_not_installed_is_told_in_one_line(tmp_path):
    arguments = ["-m", "keras_listen", "vocode", "sound.wav", "--out", str(tmp_path / "out")]
    done = python(*arguments, KERAS_BACKEND="nonsense")
    failed = SimpleNamespace(status=done.returncode, err=done.stderr)
    assert_one_line(failed, "backend nonsense .*KERAS_BACKEND=tensorflow")


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--out", "out"],
        ["vocode", "sound.wav", "--out", "out"],
        ["train", "--only", "wavenet", "--audio", "sounds", "out"],
        ["convert", "keras2", "--classifier", "a.h5", "--words-file", "w.txt", "--out", "out"],
    ],
    ids=lambda command: command[0],
)
def test_a_keras_json_of_another_project_is_told_in_one_line(tmp_path, command):
    (tmp_path / "keras.json").write_text('{"floatx": "float16"}')
    *command, out = command
    done = python("-m", "keras_listen", *command, str(tmp_path / out), KERAS_HOME=str(tmp_path))
    failed = SimpleNamespace(status=done.returncode, err=done.stderr)
    assert_one_line(failed, "floatx float16, keras-listen needs float32; change floatx in")
    assert not (tmp_path / "out").exists()


def test_training_on_another_backend_is_refused_in_one_line(tmp_path):
    command = ["train", "--only", "wavenet", "--audio", "sounds", str(tmp_path / "out")]
    done = python("-m", "keras_listen", *command, KERAS_BACKEND="jax")
    failed = SimpleNamespace(status=done.returncode, err=done.stderr)
    assert_one_line(failed, "jax.*KERAS_BACKEND=tensorflow")


@pytest.mark.slow
def test_the_embedded_bundle_runs_in_a_fresh_process(tmp_path):
    command = ["--word", "yes", "--samples", "2", "--steps", "2", "--block-size", "2"]
    script = f"import os; os.chdir({str(tmp_path)!r}); from keras_listen.cli import main; main()"
    done = python("-c", script, "run", *command)
    assert done.returncode == 0
    root = tmp_path / "listen-001"
    assert [row["id"] for row in read_table(root / "samples.csv")] == ["yes-000", "yes-001"]
    assert len(list(root.glob("yes-*.wav"))) == 2
    # On standard error: progress, and nothing else.
    lines = [line for line in re.split(r"[\r\n]+", done.stderr) if line.strip()]
    assert not any(letter in done.stderr for letter in "\r\x1b"), "a log file has lines alone"
    assert any(re.fullmatch(r"maximize: 2 samples in [\d minsh]+", line) for line in lines)
    # On a busy machine the vocoder speaks, too, and loops are compiled once on a machine.
    others = ("maximize:", "steps:", "vocode:", "keras-listen: compiling")
    notes = [line for line in lines if not line.startswith(others)]
    assert notes == []


@pytest.mark.slow
@pytest.mark.parametrize("vocoder", ["griffin-lim", "wavenet"])
def test_vocode_says_one_line_of_bad_input_in_a_fresh_process(tmp_path, vocoder):
    np.save(tmp_path / "narrow.npy", np.zeros((90, 40), np.float32))
    command = ["vocode", str(tmp_path / "narrow.npy"), "--vocoder", vocoder]
    done = python("-m", "keras_listen", *command, "--out", str(tmp_path / "heard"))
    failed = SimpleNamespace(status=done.returncode, err=done.stderr)
    assert_one_line(failed, "narrow.npy.*80")
    assert files_under(tmp_path) == ["narrow.npy"]


@pytest.mark.slow
def test_an_interrupt_keeps_finished_blocks(bundle, tmp_path):
    out = tmp_path / "out"
    command = quick(bundle, "--word", HOSTILE, "--samples", 2000, "--out", out)
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_listen", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        samples, deadline = out / "samples.csv", time.monotonic() + 90
        while not samples.is_file() or len(samples.read_text().splitlines()) < 4:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "keras-listen: interrupted" in err
    rows = read_table(out / "samples.csv")
    assert 3 <= len(rows) < 4000
    assert len(rows) % 2 == 0, "whole blocks of two"
    for row in rows:
        for kind in ("npy", "wav", "png"):
            assert (out / f"{row['id']}.{kind}").is_file()
    assert not [name for name in files_under(out) if "partial" in name]
    assert (out / "index.html").is_file()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_finalizer_swallows_is_raised_again(request):
    # In a shell's background Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    class Finalizer:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass

    done = []

    def work():
        with bar(total=10, label="work", unit="item") as advance:
            for item in range(10):
                done.append(item)
                if item == 3:
                    Finalizer()
                advance()

    with remembering_interrupts(), pytest.raises(KeyboardInterrupt):
        work()
    assert done == [0, 1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("predict", "changes", "kind"),
    [
        ([], {"side_channels": 8, "detail_layers": 1}, "wavenet-frames"),
        (["--predict", "samples"], {"context_layers": 0}, "wavenet"),
    ],
)
def test_a_wavenet_is_trained_from_the_command_line(
    call, tiny_corpus, tmp_path, predict, changes, kind
):
    settings = {"layers": 2, "stacks": 1, "residual_channels": 8, "gate_channels": 8}
    settings |= {"skip_channels": 8, **changes}
    (tmp_path / "small.json").write_text(json.dumps(settings))
    arguments = ["--only", "wavenet", "--audio", tiny_corpus, "--hparams", "small.json", *predict]
    done = call("train", *arguments, "--steps", 12, "bundle")
    assert done.status == 0, done.err
    assert re.search(r"wavenet step 12/12 +loss -?\d+\.\d+ +val_loss", done.out)
    made = files_under(tmp_path / "bundle")
    assert {"wavenet/model.keras", "wavenet/curves.csv", "pictures/wavenet-curves.png"} <= set(made)
    about = json.loads((tmp_path / "bundle" / "wavenet" / "component.json").read_text())
    assert about["kind"] == kind
    heard = [name for name in made if name.startswith("heard/000012-")]
    assert sorted(name[-4:] for name in heard) == [".png"] * 3 + [".wav"] * 3
    up = next((tiny_corpus / "up").iterdir())
    done = call("vocode", up, "--bundle", "bundle", "--out", "out")
    assert done.status == 0, done.err
    assert (tmp_path / "out" / f"{up.stem}.wav").stat().st_size > 40_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--audio", "nowhere"], "the folder of recordings nowhere does not exist"),
        (["--hparams", "nowhere.json"], r"cannot read the settings of a WaveNet nowhere\.json"),
        (["--steps", "0"], "steps is 0; expected at least 1"),
        (["--hparams", "old.json"], "context_layers is a setting of a WaveNet of samples"),
    ],
)
def test_bad_input_to_vocoder_training_is_one_line(call, tiny_corpus, tmp_path, change, message):
    (tmp_path / "old.json").write_text('{"context_layers": 2}')
    arguments = ["train", "--only", "wavenet"]
    if change[0] != "--audio":
        arguments += ["--audio", tiny_corpus]
    assert_one_line(call(*arguments, *change, "bundle"), message)


def test_converting_without_torch_says_how_to_get_it(call, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    settings = {"input_type": "raw", "out_channels": 30, "layers": 2, "stacks": 1}
    settings |= {"kernel_size": 2, "residual_channels": 4, "gate_channels": 4}
    settings |= {"skip_out_channels": 4, "cin_channels": 80, "gin_channels": -1}
    (tmp_path / "a.json").write_text(json.dumps(settings))
    (tmp_path / "a.pth").touch()
    done = call("convert", "wavenet", "a.pth", "a.json", "out")
    assert_one_line(done, f"needs torch; {re.escape(install_command('torch'))}")
    assert not (tmp_path / "out").exists()
    assert_one_line(call("convert", "wavenet", "b.pth", "a.json", "out"), "no checkpoint b.pth")
    assert_one_line(
        call("convert", "wavenet", "a.pth", "b.json", "out"), r"hyper-parameters b\.json"
    )
