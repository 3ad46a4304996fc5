"""What raters hear, and in which order."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from study_folder import CELLS, WORDS, write_study

from keras_listen.errors import ParameterError, RunError
from keras_listen.listening_test.collect.order import GAP, Design, balanced, cell, examples, plan
from keras_listen.listening_test.folder import open_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """3 words, 6 conditions, 2 takes each, 4 anchors of each role."""
    return open_study(write_study(tmp_path_factory.mktemp("study") / "small"))


def described(study, names):
    return [(study.by_name[n]["class_label"], cell(study.by_name[n])) for n in names]


def test_each_word_comes_once_before_any_comes_twice(study):
    for number in range(5):
        words = [word for word, _ in described(study, balanced(study, number, Random(number)))]
        assert len(words) == 36
        for start in range(0, 36, 3):
            assert sorted(words[start : start + 3]) == sorted(WORDS)


def test_every_item_comes_once(study):
    names = balanced(study, 4, Random(0))
    assert sorted(names) == sorted(row["name"] for row in study.of_role("item"))


def test_conditions_are_balanced_in_every_round_over_raters(study):
    """Of six raters in a row, each hears a word in a round in another one of the six conditions."""
    for round_ in range(12):
        seen = Counter()
        for number in range(7, 7 + len(CELLS)):
            names = balanced(study, number, Random(number))[3 * round_ : 3 * round_ + 3]
            seen.update(described(study, names))
        assert seen == {(word, one): 1 for word in WORDS for one in CELLS}


def test_with_few_recordings_a_rater_all_are_heard_equally_often(study):
    """Of 12 raters (6 conditions, 2 takes) with two rounds each, every recording has two."""
    heard = Counter()
    for number in range(12):
        heard.update(balanced(study, number, Random(number))[:6])
    assert set(heard.values()) == {2}
    assert len(heard) == 36


def test_words_with_fewer_recordings_run_out_and_nothing_else_changes(tmp_path):
    root = write_study(tmp_path / "study")
    text = (root / "manifest.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for i, line in enumerate(text) if i not in (1, 2, 3)]
    (root / "manifest.csv").write_text("".join(kept), encoding="utf-8")
    study = open_study(root)
    names = balanced(study, 3, Random(0))
    assert sorted(names) == sorted(row["name"] for row in study.of_role("item"))
    assert sorted(study.by_name[n]["class_label"] for n in names[:3]) == sorted(WORDS)


def test_a_plan_is_the_same_whenever_it_is_asked_for_and_another_for_each_rater(study):
    design = Design(mode="both")
    assert plan(study, 3, design) == plan(open_study(study.root), 3, design)
    orders = {tuple(p.name for p in plan(study, number, design)) for number in range(20)}
    assert len(orders) == 20


def test_both_guesses_everything_before_it_rates_anything(study):
    shown = plan(study, 0, Design(mode="both", per_rater=12))
    modes = [p.mode for p in shown]
    assert modes == sorted(modes, reverse=True)
    assert set(modes) == {"word", "rating"}
    assert [p.position for p in shown] == list(range(1, len(shown) + 1))


def test_repeats_come_later_and_are_counted(study):
    for number in range(20):
        shown = plan(study, number, Design(repeats=5))
        second = [p for p in shown if p.repeat]
        assert len(second) == 5
        first = {p.name: p.position for p in shown if not p.repeat}
        for p in second:
            assert p.position - first[p.name] > GAP
            assert study.by_name[p.name]["role"] == "item"


def test_anchors_are_strewn_in_half_of_them_clear(study):
    shown = plan(study, 5, Design(anchors=4, repeats=0))
    roles = [study.by_name[p.name]["role"] for p in shown]
    assert Counter(roles) == {"item": 36, "clear": 2, "unclear": 2}
    places = [i for i, role in enumerate(roles) if role != "item"]
    # One in each quarter.
    assert [place * 4 // len(roles) for place in places] == [0, 1, 2, 3]


def test_examples_are_no_hidden_anchors(study):
    shown = {row["name"] for row in examples(study)}
    assert Counter(row["role"] for row in examples(study)) == {"clear": 2, "unclear": 2}
    for number in range(10):
        assert shown.isdisjoint(p.name for p in plan(study, number, Design(anchors=99)))


def test_a_study_of_one_recording_and_no_anchor_has_a_plan(tmp_path):
    root = write_study(tmp_path / "s", ["up"], takes=1, cells=[("1", "generated")], anchors=0)
    assert len(plan(open_study(root), 0, Design())) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "guess"}, "mode is 'guess', expected rating, word or both"),
        ({"per_rater": 0}, "per_rater is 0, expected at least 1"),
        ({"anchors": -1}, "anchors is -1, expected at least 0"),
    ],
)
def test_a_design_that_cannot_be_is_refused(given, said):
    with pytest.raises(ParameterError, match=said):
        Design(**given)


def damage(path, kind):
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "cut short":
        path.write_bytes(data[:3000])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"ID3\x04" + data[4:])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", r"is missing; bring it back"),
        ("cut short", r"is cut short, after 1478 of 4410 samples; bring it back"),
        ("empty", r"cannot be played: it ends too early; bring it back"),
        ("no wav", r"cannot be played: file does not start with RIFF id; bring it back"),
    ],
)
def test_a_recording_that_cannot_be_played_is_named(tmp_path, kind, said):
    root = write_study(tmp_path / "study")
    path = sorted((root / "audio").iterdir())[5]
    damage(path, kind)
    with pytest.raises(RunError, match=f"the recording .*{path.name} {said}"):
        open_study(root)


def test_of_many_damaged_recordings_one_is_named_and_all_are_counted(tmp_path):
    root = write_study(tmp_path / "study")
    for path in sorted((root / "audio").iterdir())[:3]:
        damage(path, "missing")
    with pytest.raises(RunError, match=r"is missing \(and 2 more\); bring it back"):
        open_study(root)


def test_a_study_whose_id_could_be_anything_is_refused(tmp_path):
    root = write_study(tmp_path / "study")
    (root / "manifest.json").write_text('{"study": "../x"}', encoding="utf-8")
    message = r"the id of the listening test is .\.\./x., expected hex digits"
    with pytest.raises(RunError, match=message):
        open_study(root)
