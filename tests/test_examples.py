"""The examples do what they say, from the outside."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import keras_listen

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
    assert bundle.names() == ["ae", "classifier", "referee", "residual", "separable", "vae"]
    with open(work / "run" / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["no-000", "no-001", "yes-000", "yes-001"]
    for row in rows:
        assert float(row["score_after"]) >= float(row["score_before"])
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
