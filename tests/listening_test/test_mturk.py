"""The task and the input file for Mechanical Turk."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from helpers import assert_one_line
from study_folder import HOSTILE, WORDS, write_study

from keras_listen.listening_test.collect import offline
from keras_listen.listening_test.folder import open_study

URL = "https://bucket.example/listen"
LABELS = [
    "Excellent - Completely clear speech",
    "Good - Mostly clear speech",
    "Fair - Equally clear and unclear speech",
    "Poor - Mostly unclear speech",
    "Bad - Completely unclear speech",
]


class Elements(HTMLParser):
    """Collects elements with their attributes, and all text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "small", [*WORDS, *HOSTILE])


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    return offline.write_mturk_task(root, URL + "/", tmp_path_factory.mktemp("mturk") / "out")


def rows_of(folder):
    with open(folder / "input.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_recording_is_a_task_with_the_columns_that_are_analysed(made, root):
    rows = rows_of(made)
    assert list(rows[0]) == ["class_label", "experiment", "audio_url", "name"]
    study = open_study(root)
    items = {row["name"] for row in study.of_role("item")}
    assert items <= {row["name"] for row in rows}
    for row in rows:
        own = study.by_name[row["name"]]
        assert row["class_label"] == own["class_label"]
        assert row["experiment"] == own["experiment"]
        assert row["audio_url"] == f"{URL}/{row['name']}.wav"


def test_hidden_anchors_are_among_them_or_not(made, root, tmp_path):
    study = open_study(root)
    roles = [study.by_name[row["name"]]["role"] for row in rows_of(made)]
    # Two of four of each role are examples.
    assert [roles.count(role) for role in ("item", "clear", "unclear")] == [72, 2, 2]
    without = rows_of(offline.write_mturk_task(root, URL, tmp_path / "out", anchors=False))
    assert {study.by_name[row["name"]]["role"] for row in without} == {"item"}


def test_conditions_do_not_stand_together(made):
    experiments = [row["experiment"] for row in rows_of(made)]
    changes = sum(a != b for a, b in pairwise(experiments))
    assert changes > len(experiments) / 2


def test_the_task_asks_what_was_published(made):
    page = Elements((made / "task.html").read_text(encoding="utf-8"))
    assert page.of("script") == [{"src": "https://assets.crowd.aws/crowd-html-elements.js"}]
    assert page.of("crowd-form") == [{"answer-format": "flatten-objects"}]
    (classifier,) = page.of("crowd-classifier")
    assert classifier["name"] == "audio-naturalness"
    assert json.loads(classifier["categories"]) == LABELS
    assert '"${class_label}"' in classifier["header"]
    assert page.of("audio")[0]["src"] == "${audio_url}"


def test_the_examples_are_named_as_text_and_play(made, root):
    page = Elements((made / "task.html").read_text(encoding="utf-8"))
    addresses = [audio["src"] for audio in page.of("audio")[1:]]
    study = open_study(root)
    names = [address.rpartition("/")[2].removesuffix(".wav") for address in addresses]
    assert [study.by_name[name]["role"] for name in names] == ["clear"] * 2 + ["unclear"] * 2
    for name, label in zip(names, [LABELS[0]] * 2 + [LABELS[-1]] * 2, strict=True):
        assert f'{label}: "{study.by_name[name]["class_label"]}"' in page.text


def test_hostile_words_are_text_in_the_task(tmp_path):
    root = write_study(tmp_path / "study", [HOSTILE[0]])
    text = (offline.write_mturk_task(root, URL) / "task.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert HOSTILE[0] in Elements(text).text


@pytest.mark.parametrize(
    "address", ["http://x.example", "/audio", "https://", 'https://x/"><script>', "https://x/${y}"]
)
def test_other_addresses_are_one_line(root, call, address):
    done = call("study", "mturk", root, "--audio-url", address, "--out", "out")
    assert_one_line(done, "the address of recordings is .*, expected one that begins with https://")
    assert done.out == ""


def test_the_command_says_what_to_do_next(root, call):
    done = call("study", "mturk", root, "--audio-url", URL, "--out", "out")
    assert done.out == (
        f"upload {root}/audio/*.wav to {URL}\ntask: out/task.html\ninput file: out/input.csv\n"
    )
    done = call("study", "mturk", root, "--audio-url", URL, "--out", "out")
    assert_one_line(done, "the output folder out is not empty")
