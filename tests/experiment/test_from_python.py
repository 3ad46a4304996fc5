"""What Python shows of a run, a bundle and a classifier, and that it stays quiet."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers import HOSTILE, WORDS, listen, read_table, small_classifier

from keras_listen import load_bundle
from keras_listen.errors import Unavailable
from keras_listen.experiment import notebook
from keras_listen.listening_test.folder import StudyFolder
from keras_listen.listening_test.make.api import MadeStudy
from keras_listen.models.classifier import Classifier
from keras_listen.output.progress import in_notebooks, is_notebook

ROW = {
    "id": "up-000",
    "word": "up",
    "start": "noise",
    "score_after": "0.25",
    "predicted": "",
    "referee_probability": "",
    "first_success": "3",
    "saturated": "0",
    "pitch": "none",
}


@pytest.fixture(scope="module")
def run(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    few = {"words": ["up", HOSTILE], "samples": 7, "steps": 1, "block_size": 14, "bundle": bundle}
    griffin_lim = {"vocoder": "griffin-lim", "options": ["vocoder.griffin-lim.iterations=1"]}
    return listen(**few, **griffin_lim, out=out)


def test_cells_become_numbers():
    (found,) = notebook.numbers([ROW])
    assert found == {
        "id": "up-000",
        "word": "up",
        "start": "noise",
        "score_after": 0.25,
        "predicted": "",
        "referee_probability": None,
        "first_success": 3,
        "saturated": False,
        "pitch": "none",
    }


def test_a_run_has_its_table_as_numbers(run):
    rows = read_table(run.root / "samples.csv")
    for found, row in zip(run.table, rows, strict=True):
        assert found["score_after"] == float(row["score_after"])
        assert found["word"] == row["word"]
        assert found["saturated"] is (row["saturated"] == "1")
        first = row["first_success"]
        assert found["first_success"] == (int(first) if first else None)


def test_a_run_is_a_data_frame_where_there_is_pandas(run, monkeypatch):
    calls = []

    class Frame:
        def __init__(self, rows):
            calls.append(rows)

        def set_index(self, name):
            return name, self

    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=Frame))
    name, _ = run.to_pandas()
    assert (name, calls) == ("id", [run.table])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(Unavailable, match="needs pandas: pip install pandas"):
        run.to_pandas()


def test_a_run_shows_itself_in_a_notebook(run):
    text = run._repr_html_()
    assert text.count('<img src="data:image/png;base64,') == notebook.SHOWN
    assert text.count('<audio controls src="data:audio/wav;base64,') == notebook.SHOWN
    assert "2 more samples are in" in text
    assert "<script" not in text, "words are escaped"
    rows = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", text)
    assert rows[1][0] == "up"
    assert rows[-1][0] == "all"
    assert re.findall("<td>(.*?)</td>", rows[-1][1])[0] == "14"


def test_objects_tell_what_they_are(run, bundle):
    success = 100 * run.summary["own success"]
    assert repr(run) == f"<Run {run.root}: 14 samples, own success {success:.1f} %>"
    opened = load_bundle(bundle)
    assert repr(opened) == f"<Bundle {bundle}: 4 words; ae, classifier, referee>"
    classifier = Classifier(small_classifier(1), WORDS, what="the model x.keras")
    assert repr(classifier) == "<Classifier the model x.keras: 4 words (down, stop, up, …)>"
    made = MadeStudy(run.root, "abc", [{}, {}], [{}], [], [])
    assert repr(made) == f"<MadeStudy abc in {run.root}: 2 recordings, 1 rows of conditions>"
    assert repr(StudyFolder(run.root, "abc", ({},))) == (
        f"<StudyFolder abc in {run.root}: 1 recordings>"
    )


def test_progress_is_drawn_in_notebooks_alone(monkeypatch, capsys):
    def work() -> str:
        with in_notebooks(total=2, label="maximize", unit="sample") as advance:
            advance(2)
        return "".join(capsys.readouterr())

    assert not is_notebook()
    assert work() == ""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert is_notebook()
    assert "maximize" in work()


def test_listening_again_and_again_is_quiet(bundle, tmp_path):
    script = (
        "import keras_listen\n"
        "for i in range(6):\n"
        f"    keras_listen.listen(bundle={str(bundle)!r}, words=['up'], steps=1, block_size=1,\n"
        "        preset='paper', vocoder='none', out=f'run-{i}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
