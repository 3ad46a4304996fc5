"""`keras-listen study analyse`, from files to the page."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from browser import open_browser, require_browser
from helpers import assert_one_line
from matplotlib.backends.backend_agg import FigureCanvasAgg
from simulated_study import KINDS, STUDY, Simulation, anchor, item, row, simulate, write_ratings
from study_folder import ID
from study_folder import write_study as write_folder

from keras_listen import analyse_study
from keras_listen.errors import ListenError, RunError
from keras_listen.listening_test.analyse import figures as study_figures
from keras_listen.listening_test.analyse.judgements import gather_judgements
from keras_listen.listening_test.analyse.mturk_results import read_batch
from keras_listen.listening_test.catalogue import read_catalogue
from keras_listen.listening_test.collect import api as collecting
from keras_listen.listening_test.collect.answers import Answer
from keras_listen.listening_test.collect.connection import connect
from keras_listen.listening_test.collect.database import CollectionSettings, Ratings
from keras_listen.listening_test.collect.order import Design, plan
from keras_listen.listening_test.collect.stored import DATABASE
from keras_listen.listening_test.folder import open_study
from keras_listen.plugins import default_registry

NOISE_NONE, NOISE_AE = KINDS[0], KINDS[3]
ITEMS = [
    item("yes-none", "yes", NOISE_NONE, cycle_probability=0.1),
    item("no-none", "no", NOISE_NONE, cycle_probability=0.2),
    item("yes-ae", "yes", NOISE_AE, cycle_probability=0.3),
    item("no-ae", "no", NOISE_AE, cycle_probability=0.4),
    anchor("clear", "yes", "clear"),
    anchor("unclear", "no", "unclear"),
]
#: Ratings of each rater, in the order of ITEMS.
GIVEN = {"anna": (1, 2, 3, 5, 5, 1), "ben": (1, 1, 4, 4, 4, 1)}
BATCH = ("WorkerId", "Input.experiment", "Input.class_label", "Input.audio_url")
ANSWER = "Answer.audio-naturalness.label"


def rows(given=GIVEN) -> list[dict]:
    names = [i["name"] for i in ITEMS]
    return [
        row(rater, name, value)
        for rater, values in given.items()
        for name, value in zip(names, values, strict=True)
        if value
    ]


def write_study(folder: Path, ratings: list[dict], items=ITEMS) -> tuple[Path, Path]:
    return Simulation(items, ratings).write(folder)


def analyse(folder: Path, ratings: list[dict], items=ITEMS, **settings) -> dict:
    """Analyse ratings of a study that is written to `folder`; return the results."""
    study, path = write_study(folder, ratings, items)
    settings = {"resamples": 50, "study": study, "out": folder / "out"} | settings
    return analyse_study([path], **settings).results


def write_batch(path: Path, lines: list[tuple], more: tuple = ()) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*BATCH, ANSWER, *more])
        writer.writerows(lines)
    return path


def by(rows_: list[dict], name: str) -> dict:
    return {line[name]: line for line in rows_}


# What is found


def test_means_by_hand(tmp_path):
    found = by(analyse(tmp_path, rows())["rating"]["conditions"], "condition")
    assert list(found) == ["noise none", "noise ae", "anchor, clear", "anchor, unclear"]
    none, ae = found["noise none"], found["noise ae"]
    assert (none["mean"], ae["mean"]) == (1.25, 4.0)
    assert none["histogram"] == [3, 1, 0, 0, 0]
    assert (none["judgements"], none["raters"], none["recordings"]) == (4, 2, 2)
    assert found["anchor, clear"]["mean"] == 4.5
    assert none["low"] <= 1.25 <= none["high"]


def test_words_and_the_counts_of_the_paper_by_hand(tmp_path):
    rating = analyse(tmp_path, rows())["rating"]
    means = {(r["condition"], r["word"]): r["mean"] for r in rating["words"]}
    assert means == {
        **{("noise none", "no"): 1.5, ("noise none", "yes"): 1},
        **{("noise ae", "no"): 4.5, ("noise ae", "yes"): 3.5},
    }
    above = by(rating["words_above"], "condition")
    assert (above["noise none"]["above_1.5"], above["noise ae"]["above_2.5"]) == (0, 2)


def test_comparison_by_hand(tmp_path):
    (found,) = analyse(tmp_path, rows())["rating"]["comparisons"]
    assert (found["kind"], found["condition"], found["against"]) == (
        *("prior", "noise ae", "noise none"),
    )
    assert (found["mean"], found["against_mean"], found["difference"]) == (4.0, 1.25, 2.75)
    # Both words and both raters differ upwards: of 4 choices of signs, one on each side.
    for pairs in (found["by_word"], found["by_rater"]):
        assert (pairs["pairs"], pairs["p"], pairs["effect"]) == (2, 0.5, 1)


def test_first_presentations_count_and_second_ones_check(tmp_path):
    again = [row("anna", "yes-none", 3, repeat=1), row("ben", "yes-none", 1, repeat=1)]
    results = analyse(tmp_path, rows() + again, repeat_tolerance=2)
    assert by(results["rating"]["conditions"], "condition")["noise none"]["mean"] == 1.25
    about = results["agreement"]
    assert (about["repeats"], about["repeats_same"], about["repeats_difference"]) == (2, 0.5, 1)


def test_proxies_by_hand(tmp_path):
    (found,) = analyse(tmp_path, rows())["proxies"]["rating"]
    # Probabilities 1 2 3 4, means 1 1.5 3.5 4.5: the same order, over all and within.
    assert (found["proxy"], found["rank"], found["recordings"]) == ("cycle_probability", 1, 4)
    assert found["correlation"] == pytest.approx(1)
    assert found["within"] == pytest.approx(1)
    # Of two words, drawn anew, all draws with both are the same: no interval, rather than one of
    # no width.
    assert [found[end] for end in ("low", "high", "within_low", "within_high")] == [None] * 4


def test_the_text_beside_a_small_confusion_matrix_is_whole(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(study_figures, "save_both", lambda figure, stem: drawn.append(figure))
    counts = {"no": {"no": 1}, "yes": {"something else": 1}}
    study_figures.draw_confusion(tmp_path / "confusion", counts, ["no", "yes"], "noise none")
    (figure,) = drawn
    FigureCanvasAgg(figure).draw()
    for axis in figure.axes:
        for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
            box = label.get_window_extent()
            assert 0 <= box.y0 < box.y1 <= figure.bbox.height or not label.get_text()


def test_other_raters_are_the_measure_of_proxies(tmp_path):
    # Anna 1 2 3 5 against Ben 1 1 4 4: ranks 1 2 3 4 and 1.5 1.5 3.5 3.5.
    results = analyse(tmp_path, rows())
    r = 4 / (5 * 4) ** 0.5
    assert results["other_raters"]["rating"]["correlation"] == pytest.approx(2 * r / (1 + r))
    assert results["other_raters"]["heard"] == {"correlation": None, "within": None}


def test_proxies_of_a_simulated_study_come_in_the_order_of_their_noise(tmp_path):
    simulation = simulate(2, raters=6)
    study, ratings = simulation.write(tmp_path)
    done = analyse_study([ratings], study=study, resamples=100, out=tmp_path / "out")
    found = by(done.results["proxies"]["rating"], "proxy")
    assert found["cycle_probability"]["rank"] == 1
    assert found["cycle_probability"]["low"] > 0.7
    assert found["feature_distance"]["high"] < 0  # farther from real ones is worse
    assert found["speech_band_share"]["low"] < 0 < found["speech_band_share"]["high"]
    assert 0 < found["referee_probability"]["within"] < found["referee_probability"]["correlation"]


def test_words_that_were_heard(tmp_path):
    said = [
        ("yes-none", "no"), ("no-none", "nothing"), ("yes-ae", "yes"), ("no-ae", "other: No "),
        ("clear", "yes"), ("unclear", "nothing"),
    ]  # fmt: skip
    more = [("yes-none", "other:yeast"), ("no-none", "no"), ("yes-ae", "yes"), ("no-ae", "yes")]
    given = [row("anna", name, mode="word", heard=heard) for name, heard in said]
    given += [row("ben", name, mode="word", heard=heard) for name, heard in more]
    results = analyse(tmp_path, given)
    assert results["rating"] is None
    found = by(results["word"]["conditions"], "condition")
    assert (found["noise none"]["mean"], found["noise none"]["right"]) == (0.25, 1)
    assert found["noise ae"]["mean"] == 0.75
    hearing = results["word"]["hearing"]
    assert hearing["chance"] == 0.5
    assert hearing["confusion"]["noise none"] == {
        "no": {"no": 1, "nothing": 1},
        "yes": {"no": 1, "something else": 1},
    }
    assert hearing["confusion"]["noise ae"]["no"] == {"no": 1, "yes": 1}
    assert [tuple(line.values()) for line in hearing["confused"]] == [
        ("noise ae", "no", "yes", 1),
        ("noise none", "yes", "no", 1),
    ]
    assert hearing["typed"] == [{"text": "no", "count": 1}, {"text": "yeast", "count": 1}]
    (comparison,) = results["word"]["comparisons"]
    assert comparison["difference"] == 0.5
    assert (tmp_path / "out" / "confusion-2.png").is_file()


def test_what_was_maximized_is_compared_with_what_it_was(tmp_path):
    items = [item(f"{w}-{k[1]}", w, k) for w in ("yes", "no") for k in (KINDS[1], KINDS[2])]
    given = [row("anna", f"{w}-before", 5) for w in ("yes", "no")]
    given += [row("anna", f"{w}-after", 3) for w in ("yes", "no")]
    (found,) = analyse(tmp_path, given, items)["rating"]["comparisons"]
    assert (found["kind"], found["difference"]) == ("maximization", -2)
    assert (found["condition"], found["against"]) == ("class none, after", "class none, before")


def test_other_combinations_are_compared_with_none(tmp_path):
    kind = (5, "generated", "noise ppgn", "ppgn")
    items = [*ITEMS, item("yes-ppgn", "yes", kind), item("real", "yes", (6, "", "real", ""))]
    given = [*rows(), row("anna", "yes-ppgn", 5), row("anna", "real", 5)]
    found = analyse(tmp_path, given, items)["rating"]
    pairs = [(c["condition"], c["against"]) for c in found["comparisons"]]
    assert pairs == [("noise ae", "noise none"), ("noise ppgn", "noise none")]
    assert "real" in by(found["conditions"], "condition")


def test_priors_are_compared_where_all_else_is_the_same(tmp_path):
    logit = {"objective": "logit"}
    with_prior, without = (
        (5, "generated", "noise ae logit", "ae"),
        (6, "generated", "other", "none"),
    )
    items = [*ITEMS, item("yes-logit", "yes", with_prior, **logit)]
    given = [*rows(), row("anna", "yes-logit", 5)]
    found = analyse(tmp_path / "a", given, items)["rating"]["comparisons"]
    assert [(c["condition"], c["against"]) for c in found] == [("noise ae", "noise none")]
    items.append(item("yes-other", "yes", without, **logit))
    given.append(row("anna", "yes-other", 2))
    found = analyse(tmp_path / "b", given, items)["rating"]["comparisons"]
    assert [(c["condition"], c["against"]) for c in found] == [
        ("noise ae", "noise none"),
        ("noise ae logit", "other"),
    ]


STEPS = {"1": {"steps": 20}, "3": {"steps": 20, "prior.pull": 0.1}}
LONGER = (5, "generated", "noise longer", "ae")


def test_a_prior_is_not_compared_with_none_of_other_settings(call, tmp_path):
    """Though they are called alike: with 30 steps anything may be clearer."""
    items = [*ITEMS, item("yes-longer", "yes", LONGER)]
    given = [*rows(), row("anna", "yes-longer", 5)]
    study, path = Simulation(items, given, STEPS | {"5": {"steps": 30}}).write(tmp_path)
    done = call("study", "analyse", path, "--study", study, "--out", tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    pairs = [(c["condition"], c["against"]) for c in results["rating"]["comparisons"]]
    assert pairs == [("noise ae", "noise none")]
    told = (
        "noise longer is not compared with noise none: they differ in steps 30 against 20. For a "
        "comparison, make recordings without a prior by the same settings: --with prior=none,..."
    )
    assert told in results["notes"]
    assert told in done.out.splitlines()
    found = by(results["rating"]["conditions"], "condition")
    assert {name: line["settings"] for name, line in found.items()} == {
        "noise none": "steps=20",
        "noise ae": "steps=20",
        "noise longer": "steps=30",
        "anchor, clear": "",
        "anchor, unclear": "",
    }
    assert '<td class="name">steps=30</td>' in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_a_prior_is_compared_with_the_none_that_has_its_settings(tmp_path):
    plain = (6, "generated", "noise none longer", "none")
    items = [*ITEMS, item("yes-longer", "yes", LONGER), item("yes-plain", "yes", plain)]
    given = [*rows(), row("anna", "yes-longer", 5), row("anna", "yes-plain", 2)]
    settings = STEPS | {"5": {"steps": 30}, "6": {"steps": 30}}
    study, path = Simulation(items, given, settings).write(tmp_path)
    results = analyse_study([path], study=study, resamples=10, out=tmp_path / "out").results
    pairs = [(c["condition"], c["against"]) for c in results["rating"]["comparisons"]]
    assert pairs == [("noise ae", "noise none"), ("noise longer", "noise none longer")]
    assert not [note for note in results["notes"] if "is not compared" in note]


def test_recordings_before_maximization_have_no_settings_of_the_ascent(tmp_path):
    items = [item(f"yes-{i}", "yes", kind) for i, kind in enumerate(KINDS)]
    """Nor of the objective; and real speech was not even encoded."""
    some = {"steps": 20, "objective.unit": 3, "prior.pull": 0.1, "vocoder.iterations": 9}
    settings = {"2": some, "5": some}
    study, _ = Simulation(items, [], settings).write(tmp_path)
    found = read_catalogue(study).recordings
    assert found["yes-1"].settings == {"prior.pull": 0.1, "vocoder.iterations": 9}
    assert found["yes-2"].settings == settings["2"]
    assert found["yes-0"].settings == {}


# Raters


def test_careless_raters_are_dropped_with_the_reason(tmp_path):
    given = GIVEN | {"carl": (5, 5, 1, 1, 2, 4), "dora": (1, 1, 1, 1, 5, 1)}
    again = [row("dora", name, 4, repeat=1) for name in ("yes-none", "no-none", "yes-ae")]
    results = analyse(tmp_path, rows(given) + again)
    raters = by(results["raters"], "name")
    assert [name for name, rater in raters.items() if rater["reasons"]] == ["carl", "dora"]
    assert raters["carl"]["reasons"] == [
        "clear anchors were rated -2.00 against unclear ones; expected +1.5 or more"
    ]
    assert raters["dora"]["reasons"] == [
        "second ratings differ by 3.00 on average; expected 1.5 or less"
    ]
    assert by(results["rating"]["conditions"], "condition")["noise none"]["mean"] == 1.25
    assert results["counts"]["raters_dropped"] == 2
    kept = analyse(
        tmp_path / "all", rows(given) + again, anchor_margin=-4, repeat_tolerance=4
    )  # fmt: skip
    assert kept["counts"]["raters_dropped"] == 0


def test_who_hears_no_clear_word_is_dropped(tmp_path):
    given = [row("anna", "clear", mode="word", heard="no"), row("anna", "yes-ae", 4)]
    (rater,) = analyse(tmp_path, given)["raters"]
    assert rater["reasons"] == [
        "0 % of the clear anchors were heard rightly; expected 50 % or more"
    ]


def test_the_published_rule_stands_beside_and_changes_nothing_else(tmp_path):
    given = GIVEN | {"eva": (4, 1, 4, 5, 5, 1)}
    plain = analyse(tmp_path / "plain", rows(given))
    results = analyse(tmp_path / "rule", rows(given), published_rule=True)
    published = results.pop("published_rule")
    assert plain.pop("published_rule") is None
    assert results == plain
    assert published["dropped"] == ["eva"]
    means = [
        by(r["conditions"], "condition")["noise none"]["mean"] for r in (published, plain["rating"])
    ]
    assert means == [1.25, 10 / 6]
    assert "selects on the outcome" in published["note"]
    page = (tmp_path / "rule" / "out" / "index.html").read_text(encoding="utf-8")
    assert page.index("What tells it without people?") < page.index("By the published rule")


def test_the_published_rule_is_printed_as_what_it_is(call, tmp_path):
    study, ratings = write_study(tmp_path / "s", rows())
    given = ["study", "analyse", ratings, "--study", study, "--resamples", 10]
    assert "published rule" not in call(*given, "--out", "a").out
    done = call(*given, "--published-rule", "--out", "b")
    assert "by the published rule, which selects on the outcome:" in done.out


def test_simulated_careless_raters_are_found_and_attentive_ones_kept(tmp_path):
    study, ratings = simulate(3, raters=8, careless=4, words=("yes", "no", "up")).write(tmp_path)
    done = analyse_study([ratings], study=study, resamples=20, out=tmp_path / "out")
    dropped = {r["name"] for r in done.results["raters"] if r["reasons"]}
    assert dropped == {f"careless-{n:02d}" for n in (8, 9, 10, 11)}


# Files of others


def test_published_batch_results(tmp_path):
    published = [
        ("w1", 1, "yes", "https://a/1.wav", "Bad - Completely unclear speech"),
        ("w1", 2, "yes", "https://a/original/2.wav", "Excellent - Completely clear speech"),
        ("w1", 2, "yes", "https://a/2_max.wav", "Good - Mostly clear speech"),
        ("w1", 3, "yes", "https://a/before/3.wav", "Fair - Equally clear and unclear speech"),
        ("w1", 4, "yes", "https://a/4_before.wav", "Poor - Mostly unclear speech"),
        ("w1", 4, "yes", "https://before.org/4.wav", " excellent - completely clear speech"),
    ]
    path = write_batch(tmp_path / "batch.csv", published)
    results = analyse_study([path], resamples=10, out=tmp_path / "out").results
    found = {r["condition"]: r["mean"] for r in results["rating"]["conditions"]}
    assert found == {
        "noise none": 1,
        "class none, before": 5,
        "class none, after": 4,
        "noise decoder": 3,
        "class decoder, before": 2,
        "class decoder, after": 5,
    }
    assert [c["condition"] for c in results["rating"]["comparisons"] if c["kind"] == "prior"] == [
        "noise decoder",
        "class decoder, before",
        "class decoder, after",
    ]
    assert (tmp_path / "out" / "figure-3.pdf").is_file()


@pytest.mark.parametrize(("folder", "told"), [("originals/", True), ("", False)])
def test_a_folder_that_makes_all_recordings_original_is_told(tmp_path, folder, told):
    lines = [
        ("w1", 2, "yes", f"https://a/{folder}yes_after.wav", "Good - so"),
        ("w1", 2, "yes", f"https://a/{folder}yes_before.wav", "Bad - so"),
    ]
    notes = gather_judgements([write_batch(tmp_path / "batch.csv", lines)]).notes
    assert [note for note in notes if "so all count as recordings before" in note] == notes
    assert len(notes) == told


def test_batch_results_of_a_study_are_found_by_name_or_address(tmp_path):
    study, own = write_study(tmp_path, rows())
    lines = [
        ("w1", 1, "yes", "https://a/x/yes-none.wav?v=2", "Fair - so", ""),
        ("w1", 3, "yes", "https://a/renamed.wav", "Good - so", "yes-ae"),
        ("w1", "", "yes", "https://a/clear.wav", "Excellent - so", ""),
        ("w1", "", "no", "https://a/unclear.wav", "", ""),
    ]
    path = write_batch(tmp_path / "batch.csv", lines, ("Input.name",))
    results = analyse_study([own, path], study=study, resamples=10, out=tmp_path / "out").results
    found = by(results["rating"]["conditions"], "condition")
    assert found["noise none"]["histogram"] == [3, 1, 1, 0, 0]
    assert found["noise ae"]["histogram"] == [0, 0, 1, 3, 1]
    assert results["counts"]["raters"] == 3
    assert f"{path}: 1 rows without an answer were left out." in results["notes"]


REJECTIONS = [
    ("w1", 1, "yes", "https://a/1.wav", "Bad - so", "Approved"),
    ("w2", 1, "yes", "https://a/1.wav", "Good - so", "Submitted"),
    ("w3", 1, "yes", "https://a/1.wav", "Excellent - so", "Rejected"),
    ("w3", 3, "yes", "https://a/3.wav", "", "Rejected"),
    ("w4", 3, "yes", "https://a/3.wav", "nonsense", "rejected"),
]


def test_rejected_assignments_do_not_count_and_are_told(call, tmp_path):
    path = write_batch(tmp_path / "batch.csv", REJECTIONS, ("AssignmentStatus",))
    done = call("study", "analyse", path, "--out", tmp_path / "out", "--resamples", 10)
    told = f"{path}: rejected assignments: 3, by 2 of 4 workers; left out, --rejected counts them."
    assert told in done.out.splitlines()
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    (only,) = results["rating"]["conditions"]
    assert (only["histogram"], results["counts"]["raters"]) == ([1, 0, 0, 1, 0], 2)
    assert [note for note in results["notes"] if str(path) in note] == [told]
    assert told in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_rejected_assignments_count_when_asked(call, tmp_path):
    path = write_batch(tmp_path / "batch.csv", REJECTIONS[:4], ("AssignmentStatus",))
    done = call("study", "analyse", path, "--out", tmp_path / "out", "--rejected")
    told = [line for line in done.out.splitlines() if line.startswith(str(path))]
    assert told == [
        f"{path}: rejected assignments: 2, by 1 of 3 workers; they count like the others.",
        f"{path}: 1 rows without an answer were left out.",
    ]
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["rating"]["conditions"][0]["histogram"] == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("answers", "coding", "expected"),
    [
        (("0", "3"), "auto", [1, 4]),
        (("5", "3"), "auto", [5, 3]),
        (("1", "3"), "0-4", [2, 4]),
        (("1", "3"), "1-5", [1, 3]),
        (("Good - so", "Bad - so"), "0-4", [4, 1]),
    ],
)
def test_codings(tmp_path, answers, coding, expected):
    lines = [("w", 1, "yes", f"https://a/{i}.wav", answer) for i, answer in enumerate(answers)]
    found = gather_judgements([write_batch(tmp_path / "b.csv", lines)], coding=coding).judgements
    assert [j.rating.rating for j in found] == expected


# Bad input


def line(**changes) -> dict:
    return row("anna", "yes-none", 3) | changes


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            line(name="yes-nome"),
            r"ratings.csv:3: no recording is called 'yes-nome'; did you mean 'yes-none'\?$",
        ),
        (line(study="beef"), rf"ratings.csv:3 is of the listening test 'beef', .* is '{STUDY}'"),
        (line(rating=6), r"ratings.csv:3: the rating is '6'; expected a whole number 1 to 5"),
        (line(rating=0), r"ratings.csv:3: the rating is '0'; expected"),
        (line(rating="2.5"), r"ratings.csv:3: the rating is '2.5'; expected"),
        (line(rating=""), r"ratings.csv:3: the rating is ''; expected"),
        (line(repeat=2), r"ratings.csv:3: the repeat is '2'; expected a whole number 0 to 1"),
        (line(mode="words"), r"ratings.csv:3: the mode is 'words'; expected rating or word"),
        (line(mode="word", rating=""), r"ratings.csv:3: nothing stands under heard"),
        (line(rater=" "), r"ratings.csv:3: the column rater is empty"),
        (line(seconds="nan"), r"ratings.csv:3: seconds is 'nan'; expected a number from 0 up"),
        (line(plays="-1"), r"ratings.csv:3: plays is '-1'; expected"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_bad_row_is_named_with_file_and_line(call, tmp_path, bad, message):
    study, ratings = write_study(tmp_path / "s", [row("anna", "yes-ae", 3), bad])
    done = call("study", "analyse", ratings, "--study", study, "--out", "new")
    assert_one_line(done, message)
    assert not Path("new").exists()


HEADING = ",".join((*BATCH, ANSWER))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.csv is empty; expected a CSV file with a heading"),
        (b"a,b\n1,2\n", "f.csv is no ratings file; expected the columns study, rater, .*WorkerId"),
        (b"rater,name\na,b\n", "f.csv lacks study, mode, repeat.*; expected study, rater, mode"),
        (b"WorkerId,x\n1,2\n", "f.csv lacks Input.experiment, .*Answer.audio.*; expected WorkerId"),
        (b"SQLite format 3\0....", "a database names recordings of a listening test, .*--study"),
        (b"rater,name\n\xe4nna,x\n", "f.csv:2 is not UTF-8; save the file as UTF-8"),
        (b"rater,rater\na,b\n", "f.csv:1 names the column 'rater' twice"),
        (b"rater,name\na,b,c\n", "f.csv:2 has 3 cells; expected 2"),
        (b'rater,name\na,"b\n', "f.csv:2 is no CSV: unexpected end of data"),
        (f"{HEADING}\nw,1,yes,u,Superb - yes\n".encode(), "f.csv:2: the answer is 'Superb - yes'"),
        (f"{HEADING}\nw,7,yes,u,Good - x\n".encode(), "f.csv:2: the experiment is '7'; .*--study"),
        (f"{HEADING}\nw,1,,u,Good - x\n".encode(), "f.csv:2: .*class_label is empty"),
        (f"{HEADING}\n,1,yes,u,Good - x\n".encode(), "f.csv:2: the column WorkerId is empty"),
        (f"{HEADING}\nw,1,yes,u,2\nw,1,no,v,4\n".encode(), "2 to 4, which may mean .*--coding"),
        (f"{HEADING}\nw,1,yes,u,0\nw,1,no,v,5\n".encode(), "answers of 0 and of 5"),
        (f"{HEADING}\nw,1,yes,u,0\nw,1,no,v,9\n".encode(), "f.csv:3: the answer is '9'.*0 to 4"),
        (f"{HEADING}\nw,1,yes,u,Good\nx,1,no,u,Bad\n".encode(), "f.csv:3: u is of another exper"),
    ],
)  # fmt: skip
def test_foreign_files(call, content, message):
    Path("f.csv").write_bytes(content)
    assert_one_line(call("study", "analyse", "f.csv"), message)
    assert not Path("analysis").exists()


LABELS = {"yes": "Good - x", "no": 'Bad - y; "z"'}


def batch_file(heading: str, separator: str = ",", above: str = "", answer=str, more: str = ""):
    """Write batch results of two recordings by eight workers."""
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=separator)
    table.writerow([*BATCH, heading, *(["Approve", "Reject"] if more else [])])
    for worker in range(8):
        for word, label in LABELS.items():
            table.writerow([f"w{worker}", 1, word, f"https://a.example/{word}.wav", answer(label)])
    Path("f.csv").write_bytes((above + text.getvalue()).encode("utf-8-sig"))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"more": "Approve"},
        {"separator": ";"},
        {"separator": "\t"},
        {"separator": ";", "above": "sep=;\r\n"},
        {"above": '"sep=,"\n'},
        {
            "heading": "Answer.taskAnswers",
            "answer": lambda label: json.dumps([{"audio-naturalness": {"label": label}}]),
        },
    ],
    ids=["plain", "approve", "semicolons", "tabs", "sep-semicolon", "sep-comma", "json"],
)
def test_batch_results_of_other_systems_are_read(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    batch_file(**{"heading": ANSWER} | how)
    ratings, _, _ = read_batch("f.csv")
    assert [rating.rating for rating in ratings] == [4, 1] * 8
    assert ratings[0].where == f"f.csv:{3 if 'above' in how else 2}"


def test_json_that_holds_no_label_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch_file("Answer.taskAnswers", answer=lambda label: "{}")
    with pytest.raises(RunError, match=r"f\.csv:2: Answer\.taskAnswers is '\{\}'; expected the"):
        read_batch("f.csv")
    # As the message shows it.
    shown = '[{"audio-naturalness": {"label": "Good"}}]'
    batch_file("Answer.taskAnswers", answer=lambda label: shown)
    assert {rating.rating for rating in read_batch("f.csv")[0]} == {4}


def test_folders_and_files_that_are_not_there(call, tmp_path):
    study, ratings = write_study(tmp_path / "s", rows())
    assert_one_line(call("study", "analyse", "none.csv"), "cannot read none.csv: No such file")
    assert_one_line(call("study", "analyse", ratings), "ratings.csv names .*--study")
    done = call("study", "analyse", ratings, "--study", tmp_path)
    assert_one_line(done, "no finished listening test|no listening test in")
    done = call("study", "analyse", ratings, "--study", study, "--out", study)
    assert_one_line(done, "is not empty; name another folder with --out")
    assert call("study", "analyse").status == 2


def test_a_damaged_proxy_is_named(tmp_path):
    items = [item("a", "yes", NOISE_NONE, feature_distance="inf")]
    study, _ = write_study(tmp_path, [], items)
    with pytest.raises(RunError, match=r"manifest.csv, feature_distance of a is 'inf'; expected"):
        read_catalogue(study)


def test_ratings_that_are_there_twice(tmp_path):
    given = rows()
    early = row("anna", "yes-none", 5, rated_at="2026-01-01T10:00:00Z")
    given[0] |= {"rated_at": "2026-01-01T11:00:00Z"}
    results = analyse(tmp_path, [*given, given[1], early, row("ben", "yes-none", 4)])
    # Anna's earlier 5 counts, and Ben's first 1.
    found = by(results["rating"]["conditions"], "condition")["noise none"]
    assert found["histogram"] == [2, 1, 0, 0, 1]
    notes = "\n".join(results["notes"])
    assert "1 ratings were there twice and count once." in notes
    assert re.search(r"ratings.csv:2 contradicts \S*ratings.csv:15 about 'yes-none'", notes)
    assert re.search(r"ratings.csv:16 contradicts \S*ratings.csv:8 about 'yes-none'", notes)


def test_one_file_given_twice_counts_once(tmp_path):
    study, ratings = write_study(tmp_path, rows())
    done = analyse_study([ratings, ratings], study=study, resamples=10, out=tmp_path / "out")
    assert done.results["counts"]["judgements"] == 12


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"carl": (5, 5, 1, 1, 1, 4)}, "No rater is left: all were dropped"),
        ({}, "There is no rating, so there is nothing to analyse"),
        ({"anna": GIVEN["anna"]}, "There is one rater"),
        ({"anna": (1, 2, 0, 0, 5, 1), "ben": (1, 1, 0, 0, 4, 1)}, "There is one condition"),
        ({"anna": (1, 2, 3, 4, 0, 0)}, "1 of 1 raters judged neither anchors nor repeats"),
        ({"anna": (1, 0, 0, 0, 0, 0)}, "There is one condition"),
    ],
)
def test_little_is_still_reported(call, tmp_path, given, note):
    study, ratings = write_study(tmp_path / "s", rows(given))
    done = call("study", "analyse", ratings, "--study", study, "--resamples", 10, "--out", "out")
    assert done.status == 0, done.err
    assert note in done.out
    assert note in Path("out/index.html").read_text(encoding="utf-8")


def test_raters_who_share_no_condition_make_no_pairs(tmp_path):
    results = analyse(tmp_path, rows({"anna": (1, 2, 0, 0, 5, 1), "ben": (0, 0, 4, 4, 4, 1)}))
    (found,) = results["rating"]["comparisons"]
    assert (found["difference"], found["by_rater"]) == (2.5, None)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "no difference is shown, which is not to say that there is none" in page


def test_many_words_are_still_drawn(tmp_path):
    items = [item(f"i{n}", f"word{n}", NOISE_NONE) for n in range(400)]
    analyse(tmp_path, [row("anna", f"i{n}", 1 + n % 5) for n in range(400)], items)
    assert (tmp_path / "out" / "from-noise.png").is_file()


def test_settings_that_mean_nothing(tmp_path):
    study, ratings = write_study(tmp_path, rows())
    for settings, message in (
        ({"coding": "2-6"}, "coding is '2-6'; expected auto, 0-4, 1-5"),
        ({"resamples": 0}, "resamples is 0; expected at least 1"),
    ):
        with pytest.raises(ListenError, match=message):
            analyse_study([ratings], study=study, out=tmp_path / "out", **settings)
    with pytest.raises(ListenError, match="no ratings file was named"):
        analyse_study([], study=study, out=tmp_path / "out")


# What is written


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The folder of an analysis with everything in it, whose words and raters are hostile."""
    root = tmp_path_factory.mktemp("study")
    words = ("<script>alert(1)</script>", "$x$ & \"'", "größe", "yes", "no")
    simulation = simulate(6, words=words, raters=4, careless=1, modes=("rating", "word"))
    for number, line in enumerate(simulation.items):
        old, line["name"] = line["name"], f"i{number:03d}"
        line["audio_url"] = f"audio/{line['name']}.wav"
        for rating in simulation.ratings:
            rating["name"] = line["name"] if rating["name"] == old else rating["name"]
    for rating in simulation.ratings:
        rating["rater"] = f"<b>{rating['rater']}</b>"
        if rating.get("heard") == "other:glorp":
            rating["heard"] = "other:<img src=x onerror=alert(2)>"
    study, ratings = simulation.write(root)
    for out in ("one", "two"):
        analyse_study(
            [ratings], study=study, published_rule=True, resamples=50, out=root / out / "analysis"
        )
    return root / "one" / "analysis"


def test_the_same_bytes_for_the_same_seed(report):
    other = report.parents[1] / "two" / "analysis"
    names = sorted(path.name for path in report.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        assert (report / name).read_bytes() == (other / name).read_bytes(), name


def test_another_seed_changes_intervals_alone(tmp_path):
    first, second = (analyse(tmp_path / str(s), rows(), seed=s) for s in (0, 1))
    ends = [
        by(found["rating"]["conditions"], "condition")["noise ae"] for found in (first, second)
    ]  # fmt: skip
    assert ends[0]["mean"] == ends[1]["mean"]
    assert first != second


def test_all_files_are_there(report):
    stems = ("conditions", "figure-3", "from-noise", "histograms", "proxies-rating", "heard")
    for stem in (*stems, "proxies-heard", "confusion-1", "confusion-6"):
        for suffix in (".png", ".pdf"):
            assert (report / f"{stem}{suffix}").stat().st_size > 1000
    manifest = json.loads((report / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["study"] == STUDY
    assert manifest["command"]["seed"] == 0
    assert manifest["plugins"] == default_registry().versions()
    assert [len(value) for value in manifest["files"].values()] == [64, 64]
    with open(report / "recordings.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 5 * 6 * 3 + 8
    assert {"rating", "heard", "cycle_probability", "word"} <= set(table[0])
    text = (report / "results.json").read_text(encoding="utf-8")
    results = json.loads(text, parse_constant=pytest.fail)
    assert float(table[0]["rating"]) == results["recordings"][0]["rating"]


def test_hostile_words_and_raters_are_escaped(report):
    page = (report / "index.html").read_text(encoding="utf-8")
    for text in ("<script>alert", "<img src=x", "<b>"):
        assert text not in page
    assert "&lt;b&gt;careless-04&lt;/b&gt;" in page
    assert "größe" in page


@pytest.mark.parametrize("width", [1400, 390])
def test_page_in_a_browser(report, width):
    require_browser()
    with open_browser() as browser:
        browser.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.driver.get((report / "index.html").as_uri())
        browser.run("for (const image of document.images) image.loading = 'eager'")
        browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
        loaded = "return [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
        assert browser.wait(loaded)
        assert browser.complaints() == []
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        rows_ = "[...document.querySelector('#ratings table').tBodies[0].rows]"
        column = f"{rows_}.map((row) => Number(row.cells[1].dataset.value))"
        head = browser.find("#ratings table th:nth-child(2) button")
        browser.run("arguments[0].click()", head)
        means = browser.run(f"return {column}")
        assert means == sorted(means)
        browser.run("arguments[0].click()", head)
        assert browser.run(f"return {column}") == sorted(means, reverse=True)


def test_help_says_what_ratings_are(call):
    done = call("study", "analyse", "--help")
    assert done.status == 0
    assert "batch results of Mechanical Turk" in " ".join(done.out.split())


@pytest.fixture
def served(tmp_path) -> Path:
    """A study's folder with two raters' answers in its database."""
    root = write_folder(tmp_path / "served")
    with closing(connect(root / DATABASE, create=True)) as connector:
        database = Ratings(connector, ID)
        database.set(CollectionSettings())
        for number in range(2):
            token = database.register(9, lambda n: plan(open_study(root), n, Design()))
            rater = database.rater(token)
            for shown in database.order(rater)[: 20 + number]:
                value = 1 + (shown.position + number) % 5
                database.rate(rater, shown.position, Answer(value, "", 1, 2.0))
    return root


def test_databases_are_read_as_what_is_exported_from_them(served, tmp_path):
    collecting.export(served, tmp_path / "ratings.csv")
    database = served / DATABASE
    limits = {"anchor_margin": -4, "repeat_tolerance": 4, "resamples": 20}
    given = (
        [served],
        [database],
        [f"sqlite:///{database}"],
        [tmp_path / "ratings.csv"],
        [served, tmp_path / "ratings.csv"],
    )
    results = []
    for number, sources in enumerate(given):
        study = None if sources[0] == served else served
        done = analyse_study(sources, study=study, out=tmp_path / str(number), **limits)
        results.append(done.results)
    assert results[0]["counts"]["judgements"] == 41
    assert results[0] == results[1] == results[2] == results[3]
    assert results[4].pop("notes").pop(0) == "41 ratings were there twice and count once."
    assert results[4].items() <= results[0].items()
    manifest = json.loads((tmp_path / "0" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"]["ratings"] == [f"sqlite:///{database}"]
    assert manifest["command"]["study"] == str(served)
    assert list(manifest["files"]) == [f"sqlite:///{database}", f"{served}/manifest.csv"]


def test_databases_that_cannot_be_read_are_one_line(call, served, tmp_path):
    unserved = write_folder(tmp_path / "unserved")
    for given, message in (
        ((served / DATABASE,), "a database names recordings of a listening test, .*--study"),
        (("sqlite:///none.sqlite", "--study", served), "there is no database none.sqlite"),
        ((tmp_path,), "there is no finished listening test in"),
        ((unserved,), "unserved has no ratings.sqlite: it has not been served yet"),
        (("postgresql://a:secret@127.0.0.1:1/x", "--study", served), r"a:\*\*\*@127.0.0.1:1/x can"),
    ):
        done = call("study", "analyse", *given)
        assert_one_line(done, message)
        assert "secret" not in done.err
    other = tmp_path / "other"
    shutil.copytree(served, other)
    (other / "manifest.json").write_text('{"study": "0123abcd"}', encoding="utf-8")
    done = call("study", "analyse", served / DATABASE, "--study", other)
    assert_one_line(done, "has nothing of listening test 0123abcd")
    (served / DATABASE).write_bytes(b"no database at all")
    assert_one_line(call("study", "analyse", served), "is no database, or a damaged one")
    assert not Path("analysis").exists()


def test_ratings_file_of_a_spreadsheet(tmp_path):
    study, _ = write_study(tmp_path, [])
    path = write_ratings(tmp_path / "own.csv", rows())
    text = path.read_text(encoding="utf-8").replace("\n", "\r\n") + ",,,,,,,,,,\r\n\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(gather_judgements([path], read_catalogue(study)).judgements) == 12
