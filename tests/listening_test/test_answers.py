"""What raters may answer, and the file of ratings."""

from __future__ import annotations

import csv
import io

import pytest
from study_folder import HOSTILE

from keras_listen.errors import StudyError
from keras_listen.listening_test.collect.answers import checked, checked_headphones, ratings_text
from keras_listen.listening_test.ratings import Rating, read_ratings

RIGHT = {"rating": 3, "plays": 1, "seconds": 2.5}
GUESS = {"heard": "up", "plays": 1, "seconds": 2}


def test_a_rating_is_taken_as_it_is():
    answer = checked("rating", RIGHT, ["up"])
    assert (answer.rating, answer.heard, answer.plays, answer.seconds) == (3, "", 1, 2.5)


@pytest.mark.parametrize("heard", ["up", "nothing", "other:down", *HOSTILE])
def test_a_guess_is_taken_as_it_is(heard):
    assert checked("word", GUESS | {"heard": heard}, ["up", *HOSTILE]).heard == heard


def test_blanks_in_a_written_word_are_put_in_order():
    assert (
        checked("word", GUESS | {"heard": "other:  a  new\tword "}, []).heard == "other:a new word"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rating": 0}, "the rating is 0, expected a whole number from 1 to 5"),
        ({"rating": 6}, "the rating is 6, expected"),
        ({"rating": 2.5}, "the rating is 2.5, expected"),
        ({"rating": "3"}, "the rating is '3', expected"),
        ({"rating": True}, "the rating is True, expected"),
        ({"rating": None}, "the rating is None, expected"),
        ({"plays": -1}, "plays is -1, expected a number from 0 to 10000"),
        ({"plays": 1.5}, "plays is 1.5, expected"),
        ({"seconds": 1e9}, "seconds is 1000000000.0, expected a number from 0 to 604800"),
        ({"seconds": "2"}, "seconds is '2', expected"),
        ({"heard": "up"}, "the answer has 'heard', 'plays', 'rating', 'seconds', expected"),
    ],
)
def test_what_is_out_of_range_is_said(given, said):
    with pytest.raises(StudyError, match=said):
        checked("rating", RIGHT | given, ["up"])


@pytest.mark.parametrize(
    "heard",
    [
        "down",
        "other:",
        "other:   ",
        "other:" + 61 * "x",
        "other:a\x00b",
        "other:\ud800",
        "",
        5,
        None,
        ["up"],
    ],
)
def test_what_is_no_word_is_refused(heard):
    with pytest.raises(
        StudyError, match=r"what was heard is .*, expected a word of the listening test"
    ):
        checked("word", GUESS | {"heard": heard}, ["up"])


@pytest.mark.parametrize("given", [None, [], "x", 3])
def test_what_is_no_answer_is_refused(given):
    with pytest.raises(StudyError, match="the answer is not an object of JSON"):
        checked("rating", given, ["up"])


def test_headphones_results_are_these_only():
    for result in ("skipped", "passed 5/6", "failed 0/6"):
        assert checked_headphones({"headphones": result}) == result
    for result in ("passed", "passed 7/6", "<b>", None, 3):
        with pytest.raises(StudyError, match="the headphones check is not skipped, passed or"):
            checked_headphones({"headphones": result})
    with pytest.raises(StudyError, match="the headphones check is not"):
        checked_headphones("skipped")


def test_a_ratings_file_is_read_back_as_it_was_written(tmp_path):
    more = {"plays": 2, "seconds": 1.25, "rated_at": "2026-01-02T03:04:05Z"}
    rows = [
        Rating("5eed", "r-1", "rating", "ab12", 0, 5, "", position=1, **more),
        Rating("5eed", "r-1", "rating", "ab12", 1, 4, "", position=9, **more),
        *(
            Rating("5eed", "r-2", "word", f"cd{i}", 0, None, word, position=i + 1, **more)
            for i, word in enumerate([*HOSTILE, "other:a, b", "nothing"])
        ),
    ]
    path = tmp_path / "ratings.csv"
    text = ratings_text(rows, {"r-1": "skipped"})
    path.write_text(text, encoding="utf-8", newline="")
    read = read_ratings(path)
    assert [vars(row) | {"where": ""} for row in read] == [vars(row) for row in rows]
    heading, first, *_ = csv.reader(io.StringIO(text))
    assert heading[-1] == "headphones"
    assert first[-1] == "skipped"
    columns = "study,rater,mode,name,repeat,rating,heard,plays,seconds,position,rated_at"
    assert ",".join(heading[:-1]) == columns
