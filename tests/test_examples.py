"""The examples do what they say, from the outside."""

import csv
import itertools
import os
import re
import shlex
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import soundfile
from spoken import train

import keras_listen
from keras_listen import testing
from keras_listen.experiment.chosen_model import read_listen_file
from keras_listen.experiment.hearing import recordings_by_word

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.slow


def call(*command: object) -> str:
    """Run a command with this environment's programs first on the path; return what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def spoken_corpus(tmp_path_factory) -> Path:
    """A corpus in the real format, spoken by the embedded bundle itself.

    Two words, six starts each; every start is a speaker, and speakers are spread over the splits.
    """
    root = tmp_path_factory.mktemp("spoken")
    run = keras_listen.listen(
        "ae", "softmax", "griffin-lim", words=["no", "yes"], samples=6, out=root / "run"
    )
    lists = {"validation_list.txt": [], "testing_list.txt": []}
    for row in run.rows:
        number = int(row["id"].rpartition("-")[2])
        name = f"{row['word']}/{number:08x}_nohash_0.wav"
        target = root / "corpus" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((run.root / f"{row['id']}.wav").read_bytes())
        if number in (0, 1):
            lists[["validation_list.txt", "testing_list.txt"][number]].append(name)
    for file, names in lists.items():
        (root / "corpus" / file).write_text("\n".join(names) + "\n")
    return root / "corpus"


def test_own_corpus_goes_from_recordings_to_a_page(spoken_corpus, tmp_path):
    work = tmp_path / "work"
    printed = call("bash", EXAMPLES / "own_corpus.sh", spoken_corpus, work, 1)

    assert "12 utterances of 2 words (8 training, 2 validation, 2 testing)" in printed
    bundle = keras_listen.load_bundle(work / "bundle")
    assert bundle.words == ("no", "yes")
    known = (
        "ae ae-denoiser classifier conv-ae diffusion referee residual separable speech vae "
        "vae-denoiser"
    )
    assert bundle.names() == known.split()
    with open(work / "run" / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["no-000", "no-001", "yes-000", "yes-001"]
    for row in rows:
        # After one epoch of training the learned pull may well be stronger than the gradient.
        assert 0 < float(row["score_after"]) <= 1
        sound, rate = soundfile.read(work / "run" / f"{row['id']}.wav")
        assert rate == 22050
        assert np.abs(sound).max() > 0

    before = (work / "run" / "samples.csv").read_bytes()
    call("bash", EXAMPLES / "own_corpus.sh", spoken_corpus, work, 1)
    assert (work / "run" / "samples.csv").read_bytes() == before


def test_python_api_ranks_the_words(tmp_path):
    printed = call(sys.executable, EXAMPLES / "python_api.py", tmp_path / "listened")
    words = keras_listen.load_bundle().words
    ranked = [line.split() for line in printed.splitlines() if "referee's probability" in line]
    assert sorted(word for word, *_ in ranked) == sorted(words)
    probabilities = [float(line[-1]) for line in ranked]
    assert probabilities == sorted(probabilities, reverse=True)
    assert f"{ranked[0][0]}-000.wav is heard as" in printed


def example(name: str):
    """Import an example as a module, which does nothing yet."""
    spec = util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_combine_hears_every_combination(tmp_path):
    printed = call(sys.executable, EXAMPLES / "combine.py", tmp_path / "combined")
    heading, *rows = [line.split() for line in printed.splitlines()]
    assert heading[:5] == ["prior", "objective", "vocoder", "own", "referee"]
    combine = example("combine")
    combinations = list(itertools.product(combine.PRIORS, combine.OBJECTIVES, combine.VOCODERS))
    assert [tuple(row[:3]) for row in rows] == combinations
    for row in rows:
        assert 0.5 < float(row[3]) <= 1
        assert 0 <= float(row[4]) <= 1
        assert row[5] in ("0%", "50%", "100%")
        sound, rate = soundfile.read(tmp_path / "combined" / f"{'-'.join(row[:3])}.wav")
        assert rate == 22050
        assert np.abs(sound).max() > 0


def test_what_combine_brings_keeps_the_contracts():
    combine = example("combine")
    testing.check_prior(combine.blurred)
    testing.check_objective(combine.margin)
    testing.check_vocoder(combine.ringing)


def test_combine_on_the_command_line_writes_a_run_for_each(tmp_path):
    call("bash", EXAMPLES / "combine.sh", tmp_path, "no")
    runs = {
        "ae-logit-griffin-lim": ("no-000", "vocoder.griffin-lim.iterations=16"),
        "none-logit-none": ("no-000", "prior.none.start_deviation=0.05"),
        "vae-neuron-none": ("dense_1-0-000", "objective.neuron.unit=0"),
        "vae-softmax-griffin-lim": ("no-000", "prior.vae.learned_pull=0.1"),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(runs)
    for name, (sample, option) in runs.items():
        with open(tmp_path / name / "samples.csv", newline="") as file:
            [row] = csv.DictReader(file)
        assert row["id"] == sample
        assert float(row["score_after"]) >= float(row["score_before"])
        assert (tmp_path / name / f"{sample}.wav").exists() == name.endswith("griffin-lim")
        assert option in (tmp_path / name / "manifest.json").read_text()


#: What makes a run short: one sample in a block of no more rows than needed.
SHORT = ["--word", "yes", "--samples", "1", "--steps", "1", "--block-size", "24"]
SHORT += ["--vocoder", "griffin-lim"]


def test_the_readme_leads_from_a_model_to_a_page(real_speech, tmp_path, monkeypatch):
    if not (models := os.environ.get("KERAS_LISTEN_MODELS")):
        pytest.skip("KERAS_LISTEN_MODELS is unset: no models that other people made")
    root = EXAMPLES.parent
    [block] = re.findall(
        r"<!-- own-model -->\n```sh\n(.*?)```", (root / "README.md").read_text("utf-8"), re.DOTALL
    )
    words = {
        "tiny": [
            "down",
            "go",
            "left",
            "no",
            "off",
            "on",
            "right",
            "stop",
            "up",
            "yes",
            "silence",
            "unknown",
        ],
        "tutorial": ["left", "no", "stop", "yes"],
        "attrnn": example("attrnn").WORDS,
    }
    for name, each in words.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(each) + "\n", encoding="utf-8")
    links = {
        "kws_ref_model": Path(models) / "tinykws_saved" / "kws_ref_model",
        "model-attRNN.h5": Path(models) / "attrnn" / "model-attRNN.h5",
        "recordings": real_speech,
        "examples": EXAMPLES,
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    spoken = recordings_by_word([real_speech], words["tutorial"], most=120)
    train(tmp_path / "tutorial.keras", spoken, "tf-simple-audio")

    monkeypatch.chdir(tmp_path)
    lines = block.replace("\\\n", " ").splitlines()
    for line in lines:
        command = shlex.split(line)
        # A recurrent network of 36 words takes a while.
        few = ["--per-word", "3" if "attrnn" in line else "20"]
        call(*command, *(SHORT if command[1] == "run" else few))
    heard = {name: read_listen_file(f"{name}.toml").checked["accuracy"] for name in words}
    assert heard["tiny"] > 0.88
    assert heard["tutorial"] > 0.5
    assert len(list(tmp_path.glob("listen-*/index.html"))) == 3
    assert "never checked" not in (tmp_path / "listen-001" / "manifest.json").read_text()
