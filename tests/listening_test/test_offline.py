"""The page that needs no server: what is in it, and raters at it in a real browser."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest
from browser import open_browser, require_browser
from helpers import assert_one_line
from study_folder import HOSTILE, ID, WORDS, write_study
from study_rater import ENTER, Seat, downloaded, keep_downloads

from keras_listen.listening_test.collect import offline
from keras_listen.listening_test.collect.order import Design, plan
from keras_listen.listening_test.folder import open_study
from keras_listen.listening_test.ratings import read_ratings

SMALL = {"per_rater": 6, "anchors": 2, "repeats": 1}
DESIGN = Design(**SMALL)
COUNT = 9


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "small", [*WORDS, *HOSTILE])


@pytest.fixture(scope="module")
def chromium():
    """A browser for the module's tests."""
    require_browser()
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module", params=["beside", "single file"])
def page(request, root, tmp_path_factory):
    """A page, moved away from where it was made, and away from the study."""
    out = tmp_path_factory.mktemp("page") / "made"
    single = request.param == "single file"
    offline.write_page(root, out, single_file=single, return_to="a@b.example", **SMALL)
    if single:
        assert [path.name for path in out.iterdir()] == ["index.html"]
    return shutil.move(out, out.with_name("moved to & fro")) / "index.html"


@pytest.fixture
def seat(chromium, page, tmp_path):
    """A rater's seat in a browser that remembers nothing; the console must stay empty."""
    keep_downloads(chromium, tmp_path)
    seat = Seat(chromium)
    seat.visit(page.as_uri())
    chromium.run("localStorage.clear()")
    yield seat
    assert chromium.complaints() == []


def test_a_whole_session_with_a_reload_and_double_clicks(seat, page, root, tmp_path):
    """The saved file holds each rating once, and is read as any other ratings file."""
    seat.visit(f"{page.as_uri()}#3")
    seat.click("#begin")
    for i in range(1, 5):
        seat.wait_for_place(i)
        seat.hear()
        seat.double_click(f"#scale label:nth-of-type({1 + i % 5})")
        seat.double_click("#next")
    seat.wait_for_place(5)
    seat.reload()
    assert seat.text("#begin") == f"Continue (4 of {COUNT} done)"
    seat.press(ENTER)
    for i in range(5, COUNT + 1):
        seat.wait_for_place(i)
        seat.rate(1 + i % 5)
    seat.wait_for("done")
    assert "a@b.example" in seat.text("#done")
    seat.click("#save")
    path = downloaded(tmp_path)
    assert re.fullmatch(rf"ratings-{ID}-p-[0-9a-f]{{10}}\.csv", path.name)
    rows = read_ratings(path)
    expected = plan(open_study(root), 2, DESIGN)
    assert [(r.position, r.mode, r.name, r.repeat) for r in rows] == [
        (p.position, p.mode, p.name, p.repeat) for p in expected
    ]
    assert [row.rating for row in rows] == [1 + i % 5 for i in range(1, COUNT + 1)]
    assert {(row.study, row.rater) for row in rows} == {(ID, path.stem.partition(f"{ID}-")[2])}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row.rated_at) for row in rows)
    assert all(row.plays >= 1 and 0 < row.seconds < 60 for row in rows)
    seat.reload()
    assert seat.screen() == "done"
    shown = seat.browser.run("return document.getElementById('copy').value")
    assert shown == path.read_text(encoding="utf-8")
    with open(path, encoding="utf-8", newline="") as file:
        assert {row["headphones"] for row in csv.DictReader(file)} == {"skipped"}


def test_what_is_rated_so_far_can_be_saved(seat, page, tmp_path):
    seat.visit(page.as_uri())
    assert not seat.browser.find("#save-now").is_displayed()
    seat.press(ENTER)
    seat.rate(4)
    seat.wait_for_place(2)
    seat.click("#save-now")
    assert [row.rating for row in read_ratings(downloaded(tmp_path))] == [4]


def test_a_sound_that_is_not_there_is_said_and_can_be_tried_again(seat, page):
    if not (page.parent / "sounds").is_dir():
        pytest.skip("this page holds its sounds")
    away = page.parent.with_name("away")
    (page.parent / "sounds").rename(away)
    try:
        seat.visit(page.as_uri())
        seat.press(ENTER)
        seat.browser.wait("return !document.getElementById('message').hidden")
        said = "This recording cannot be played. Press Space to try again."
        assert seat.message() == said
        seat.press("3", ENTER)
        assert seat.place() == 1
    finally:
        away.rename(page.parent / "sounds")
    seat.press(" ")
    seat.hear()
    assert seat.message() == ""
    assert all("ERR_FILE_NOT_FOUND" in line for line in seat.browser.complaints())


def test_starting_as_another_rater_asks_first(seat, page):
    seat.visit(page.as_uri())
    seat.press(ENTER)
    seat.rate(4)
    seat.wait_for_place(2)
    seat.reload()
    seat.click("#start-anew")
    seat.browser.driver.switch_to.alert.dismiss()
    seat.reload()
    assert seat.text("#begin").startswith("Continue (1 of")
    seat.click("#start-anew")
    seat.browser.driver.switch_to.alert.accept()
    seat.browser.wait("return document.getElementById('begin')?.textContent === 'Begin'")


def test_a_second_window_of_the_same_rater_loses_nothing(seat, page, tmp_path):
    """What one window was answered, the other keeps; the first answer stays."""
    driver = seat.browser.driver
    first = driver.current_window_handle
    seat.visit(page.as_uri())
    driver.switch_to.new_window("tab")
    seat.visit(page.as_uri())
    second = driver.current_window_handle
    for window, answer in ((first, 4), (second, 2), (second, 5)):
        driver.switch_to.window(window)
        if seat.screen() == "start":
            seat.press(ENTER)
        place = seat.place()
        seat.rate(answer)
        seat.wait_for_place(place + 1)
    driver.close()
    driver.switch_to.window(first)
    seat.reload()
    assert seat.text("#begin") == f"Continue (2 of {COUNT} done)"
    keep_downloads(seat.browser, tmp_path)
    seat.click("#save-now")
    assert [row.rating for row in read_ratings(downloaded(tmp_path))] == [4, 5]


def test_a_window_takes_in_what_another_one_was_answered(seat, page, tmp_path):
    """Without a reload: nothing is asked again, and everything is in the file."""
    driver = seat.browser.driver
    first = driver.current_window_handle
    seat.visit(page.as_uri())
    seat.press(ENTER)
    seat.hear()
    driver.switch_to.new_window("tab")
    seat.visit(page.as_uri())
    seat.press(ENTER)
    for place, answer in ((1, 4), (2, 2), (3, 5)):
        seat.wait_for_place(place)
        seat.rate(answer)
    seat.wait_for_place(4)
    driver.close()
    driver.switch_to.window(first)
    seat.rate(1)
    seat.wait_for_place(4)
    keep_downloads(seat.browser, tmp_path)
    seat.click("#save-now")
    assert [row.rating for row in read_ratings(downloaded(tmp_path))] == [4, 2, 5]


def test_a_headphones_check_in_another_window_is_kept(seat, page):
    seat.visit(page.as_uri())
    seat.press(ENTER)
    seat.rate(4)
    seat.wait_for_place(2)
    stored = "const [place] = Object.keys(localStorage), kept = JSON.parse(localStorage[place]);"
    assert seat.browser.run(f"{stored} return kept.headphones") == "skipped"
    seat.browser.run(
        f"{stored} kept.headphones = 'passed 6'; localStorage[place] = JSON.stringify(kept)"
    )
    seat.rate(3)
    seat.wait_for_place(3)
    assert seat.browser.run(f"{stored} return kept.headphones") == "passed 6"


def test_windows_of_two_orders_overwrite_nothing(seat, page):
    """Where one is begun, the test goes on in it, and the other says so."""
    driver = seat.browser.driver
    first = driver.current_window_handle
    seat.visit(f"{page.as_uri()}#3")
    driver.switch_to.new_window("tab")
    seat.visit(f"{page.as_uri()}#2")
    second = driver.current_window_handle
    driver.switch_to.window(first)
    seat.press(ENTER)
    seat.rate(4)
    seat.wait_for_place(2)
    driver.switch_to.window(second)
    # Who begins without a check has skipped it, which cannot be kept here either.
    seat.press(ENTER)
    seat.wait_for_place(1)
    seat.rate(1)
    said = "The test goes on in another window of this browser. Close this one, or reload it"
    seat.browser.wait("return !document.getElementById('message').hidden")
    assert seat.message() == f"{said} to go on here."
    assert seat.place() == 1
    seat.reload()
    assert seat.text("#begin") == f"Continue (1 of {COUNT} done)"
    seat.press(ENTER)
    seat.wait_for_place(2)
    driver.close()
    driver.switch_to.window(first)
    kept = seat.browser.run("return JSON.parse(Object.values(localStorage)[0])")
    assert (kept["order"], [answer["rating"] for answer in kept["answers"].values()]) == (2, [4])


def test_a_page_of_other_orders_begins_anew(chromium, root, tmp_path):
    """Answers belong to places in an order, and must not move to other recordings."""
    seat = Seat(chromium)
    path = offline.write_page(root, tmp_path / "page", **SMALL)
    seat.visit(path.as_uri())
    chromium.run("localStorage.clear()")
    seat.visit(path.as_uri())
    seat.press(ENTER)
    seat.rate(4)
    seat.wait_for_place(2)
    shutil.rmtree(path.parent)
    offline.write_page(root, path.parent, **SMALL | {"repeats": 0})
    seat.visit(path.as_uri())
    assert (seat.text("#greeting"), seat.text("#begin")) == ("Welcome", "Begin")


def test_an_order_may_be_asked_for_until_one_has_begun(seat, page):
    order = "return JSON.parse(Object.values(localStorage)[0]).order"
    for fragment, expected in (("#3", 2), ("#2", 1), ("", 1)):
        seat.visit(f"{page.as_uri()}{fragment}")
        assert seat.browser.run(order) == expected
    seat.press(ENTER)
    seat.rate(4)
    seat.wait_for_place(2)
    seat.visit(f"{page.as_uri()}#5")
    assert seat.browser.run(order) == 1
    assert seat.text("#begin").startswith("Continue (1 of")


def test_examples_play(seat, page):
    seat.visit(page.as_uri())
    ready = "return [...document.querySelectorAll('.examples audio')].map(a => a.duration > 0.1)"
    seat.browser.wait(f"{ready}.filter(Boolean).length === 4")


def test_guessed_words_with_odd_characters_come_back_as_they_are(chromium, root, tmp_path):
    """Quotes, commas, tags and what a rater writes themselves, through the browser's own CSV."""
    page = offline.write_page(root, tmp_path / "page", mode="word", title='A "test" <b>', **SMALL)
    keep_downloads(chromium, tmp_path)
    seat = Seat(chromium)
    seat.visit(page.as_uri())
    chromium.run("localStorage.clear()")
    seat.visit(page.as_uri())
    assert seat.text("h1") == 'A "test" <b>'
    seat.press(ENTER)
    written = 'so, "this"; <script>'
    for i, keys in enumerate([["<"], ["q"], ["ž"], ["9", written], ["0"]], start=1):
        seat.wait_for_place(i)
        seat.hear()
        seat.press(*keys)
        seat.press(ENTER)
    seat.wait_for_place(6)
    seat.click("#save-now")
    rows = read_ratings(downloaded(tmp_path))
    assert [row.heard for row in rows] == [*HOSTILE, f"other:{written}", "nothing"]
    assert {row.rating for row in rows} == {None}
    assert chromium.complaints() == []


def data_of(path):
    """Return the data that stands in a page."""
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.search(r'id="data-study">(.*?)</script>', text)[1])


def test_the_page_holds_orders_but_no_conditions(page, root):
    text, data = data_of(page)
    study = open_study(root)
    for row in study.rows:
        assert row["condition"] not in text
    # 6 conditions, 2 takes.
    assert len(data["orders"]) == 12
    for number, order in enumerate(data["orders"]):
        assert [
            (data["modes"][mode], data["items"][item]["name"], repeat)
            for mode, item, repeat in order
        ] == [(p.mode, p.name, p.repeat) for p in plan(study, number, DESIGN)]


def test_hostile_words_cannot_leave_the_data(page):
    text, data = data_of(page)
    assert data["words"] == sorted([*WORDS, *HOSTILE])
    assert "<script>alert" not in text


def test_only_the_pages_own_scripts_may_run(page):
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "connect-src" not in policy
    assert "default-src &#39;none&#39;" in policy
    assert policy.count("sha256-") == 4


def test_the_number_of_orders_can_be_given_and_is_limited(tmp_path):
    root = write_study(tmp_path / "study", takes=5)
    assert len(data_of(offline.write_page(root, tmp_path / "a"))[1]["orders"]) == 24
    assert len(data_of(offline.write_page(root, tmp_path / "b", orders=2))[1]["orders"]) == 2


def test_the_command_says_where_and_refuses_a_folder_in_use(tmp_path, call):
    root = write_study(tmp_path / "study")
    done = call("study", "page", root)
    assert done.out == f"page: {root}/page/index.html\n"
    assert len(list((root / "page" / "sounds").iterdir())) == len(open_study(root).rows)
    assert_one_line(call("study", "page", root), "the output folder .*page is not empty; name an")
