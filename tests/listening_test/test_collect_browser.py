"""Raters at a served study, in a real browser."""

from __future__ import annotations

import sqlite3

import pytest
from browser import open_browser, require_browser
from study_folder import HOSTILE, WORDS, write_study
from study_rater import ENTER, SPACE, Seat, downloaded, keep_downloads
from study_server import Rater, serving

from keras_listen.listening_test.collect import api as collecting
from keras_listen.listening_test.folder import open_study
from keras_listen.listening_test.ratings import read_ratings

SMALL = ("--per-rater", "6", "--anchors", "2", "--repeats", "1")
COUNT = 9


@pytest.fixture(scope="module")
def chromium():
    """A browser for the module's tests."""
    require_browser()
    with open_browser(loopback=True) as browser:
        yield browser


@pytest.fixture
def seat(chromium):
    """A rater's seat; nothing may be complained of in the console."""
    seat = Seat(chromium)
    yield seat
    assert chromium.complaints() == []


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "small", [*WORDS, *HOSTILE])


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path / 'ratings.sqlite'}"


@pytest.fixture
def server(root, database):
    with serving(root, "--database", database, *SMALL) as server:
        yield server


def join_link(server):
    return f"{server.url}/#join={server.code}"


def stored(root, database, tmp_path):
    """Return what the database holds."""
    collecting.export(root, tmp_path / "out.csv", database=database)
    return read_ratings(tmp_path / "out.csv")


def test_a_whole_session_with_a_reload_and_double_clicks(server, seat, root, database, tmp_path):
    """Each rating is in the database once, as it was chosen."""
    seat.visit(join_link(server))
    assert seat.text("#greeting") == "Welcome"
    assert seat.text("#count") == str(COUNT)
    seat.click("#begin")
    for i in range(1, 5):
        seat.wait_for_place(i)
        seat.hear()
        # The other one first: a second thought before Next counts.
        seat.double_click(f"#scale label:nth-of-type({1 + (i + 1) % 5})")
        seat.double_click(f"#scale label:nth-of-type({1 + i % 5})")
        seat.double_click("#next")
    seat.wait_for_place(5)
    seat.reload()
    assert seat.text("#greeting") == "Welcome back"
    assert seat.text("#begin") == f"Continue (4 of {COUNT} done)"
    seat.click("#begin")
    for i in range(5, COUNT + 1):
        seat.wait_for_place(i)
        assert seat.browser.run("return document.getElementById('progress').value") == i - 1
        seat.rate(1 + i % 5)
    seat.wait_for("done")
    seat.reload()
    assert seat.screen() == "done"
    rows = stored(root, database, tmp_path)
    assert [row.position for row in rows] == list(range(1, COUNT + 1))
    assert [row.rating for row in rows] == [1 + i % 5 for i in range(1, COUNT + 1)]
    assert {row.mode for row in rows} == {"rating"}
    assert all(row.plays >= 1 and 0 < row.seconds < 60 for row in rows)
    assert len({row.rater for row in rows}) == 1


def test_guessing_and_rating_by_keyboard_alone(seat, root, database, tmp_path):
    with serving(root, "--mode", "both", "--database", database, *SMALL) as server:
        seat.visit(join_link(server))
        seat.press(ENTER)
        heard = ["up", "nothing", "other:a new word", "stop", "down", HOSTILE[0], *["nothing"] * 3]
        keys = [["u"], ["0"], ["9", "a  new word"], ["s", "t"], ["d"], ["<", "s"], *[["0"]] * 3]
        for i, typed in enumerate(keys, start=1):
            seat.wait_for_place(i)
            # Neither keys nor Enter do anything before the sound has ended.
            seat.press("u", ENTER)
            seat.hear()
            assert not seat.browser.find("#word").is_displayed()
            seat.press(*typed)
            seat.press(ENTER)
        seat.wait_for("part")
        seat.press(ENTER)
        for i in range(COUNT + 1, 2 * COUNT + 1):
            seat.wait_for_place(i)
            seat.hear()
            assert seat.text("#word") in [*WORDS, *HOSTILE]
            seat.press(SPACE)
            seat.press("7", "0", "x", "5", "2", ENTER)
        seat.wait_for("done")
    rows = stored(root, database, tmp_path)
    assert [row.heard for row in rows if row.mode == "word"] == heard
    assert [row.rating for row in rows if row.mode == "rating"] == [2] * COUNT
    assert [row.plays for row in rows if row.mode == "rating"] == [2] * COUNT
    assert len(rows) == 2 * COUNT


def test_the_shown_word_is_that_of_the_stored_recording(server, seat, root, database, tmp_path):
    seat.visit(join_link(server))
    seat.press(ENTER)
    words = []
    for i in range(1, COUNT + 1):
        seat.wait_for_place(i)
        words.append(seat.text("#word"))
        seat.rate(3)
    seat.wait_for("done")
    study = open_study(root)
    rows = stored(root, database, tmp_path)
    assert [study.by_name[row.name]["class_label"] for row in rows] == words


def test_hostile_words_are_text(server, seat):
    """A script in a word would open a dialog, and an element of a word would be found."""
    seat.visit(join_link(server))
    seat.press(ENTER)
    seat.hear()
    marks = seat.browser.run(
        "return [...document.querySelectorAll('.words .mark')].map(m => m.textContent)"
    )
    assert marks == sorted([*WORDS, *HOSTILE])
    assert seat.browser.run("return document.querySelectorAll('main script').length") == 0


def test_nothing_in_the_page_tells_the_condition(server, seat, root):
    seat.visit(join_link(server))
    seat.press(ENTER)
    seat.hear()
    text = seat.browser.run(
        "return document.documentElement.outerHTML + JSON.stringify(localStorage)"
    )
    for row in open_study(root).rows:
        assert row["name"] not in text
        assert row["condition"] not in text


def test_the_same_link_is_the_same_place_until_one_starts_as_another(server, seat):
    seat.visit(join_link(server))
    assert not seat.browser.find("#stranger").is_displayed()
    seat.press(ENTER)
    seat.rate(3)
    seat.wait_for_place(2)
    seat.visit(join_link(server))
    assert seat.text("#begin").startswith("Continue (1 of")
    own = seat.browser.find("#own-link").get_attribute("href")
    seat.click("#start-anew")
    seat.browser.wait("return document.getElementById('begin').textContent === 'Begin'")
    # The own link of the first leads back; it offers nobody to start anew.
    seat.visit(own)
    assert seat.text("#begin").startswith("Continue (1 of")
    assert not seat.browser.find("#stranger").is_displayed()
    assert len(server.admin("status", server.token).json()["raters"]) == 2


def test_a_second_window_does_no_harm(server, seat, root, database, tmp_path):
    """Places that were answered elsewhere are left as they are, and need no second answer."""
    seat.visit(join_link(server))
    own = seat.browser.find("#own-link").get_attribute("href")
    other = Rater(server.url, own.partition("#")[2])
    seat.press(ENTER)
    seat.hear()
    for position in (1, 2, 3):
        assert other.rate(position, rating=5).status_code == 201
    seat.press("1", ENTER)
    seat.browser.wait("return document.getElementById('begin').textContent.startsWith('Continue')")
    assert seat.text("#begin") == f"Continue (3 of {COUNT} done)"
    seat.press(ENTER)
    seat.wait_for_place(4)
    seat.rate(2)
    seat.wait_for_place(5)
    assert [row.rating for row in stored(root, database, tmp_path)] == [5, 5, 5, 2]
    assert all("409" in line for line in seat.browser.complaints())


def test_a_server_that_is_away_loses_nothing(seat, root, database, tmp_path):
    """It dies while a rating is given: the rater is told, and it arrives when that is back."""
    with serving(root, "--database", database, *SMALL) as server:
        link, port = join_link(server), server.url.rpartition(":")[2]
        seat.visit(link)
        seat.press(ENTER)
        seat.rate(1)
        seat.wait_for_place(2)
        seat.hear()
        server.process.kill()
        server.process.wait()
    seat.press("4", ENTER, ENTER)
    seat.browser.wait("return !document.getElementById('message').hidden")
    assert seat.message().startswith("The server does not answer. Your answers are kept here")
    with serving(root, "--database", database, "--port", port):
        seat.wait_for_place(3)
        assert seat.message() == ""
        seat.hear()
    # And while it is away again, the page is closed.
    seat.press("5", ENTER)
    seat.browser.wait("return !document.getElementById('message').hidden")
    seat.browser.driver.get("about:blank")
    with serving(root, "--database", database, "--port", port):
        seat.visit(link)
        assert seat.text("#begin") == f"Continue (3 of {COUNT} done)"
    assert [row.rating for row in stored(root, database, tmp_path)] == [1, 4, 5]
    # The browser itself notes that it could not connect.
    assert all("ERR_CONNECTION" in line for line in seat.browser.complaints())


def test_a_locked_database_makes_the_rater_wait(server, seat, root, database, tmp_path):
    seat.visit(join_link(server))
    seat.press(ENTER)
    seat.hear()
    other = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    seat.press("2", ENTER)
    seat.browser.wait("return !document.getElementById('message').hidden", seconds=30)
    assert "cannot read or store anything at the moment" in seat.message()
    assert seat.place() == 1
    other.execute("ROLLBACK")
    seat.wait_for_place(2)
    assert [row.rating for row in stored(root, database, tmp_path)] == [2]
    assert all("503" in line for line in seat.browser.complaints())


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("", "This address lacks its last part, behind #: please use the whole link."),
        ("#wrong", "This link is not known here; ask for another one."),
        ("#join=wrong", "This link is not known here; ask for another one."),
    ],
)
def test_a_wrong_link_is_said(chromium, server, fragment, said):
    seat = Seat(chromium)
    chromium.driver.get("about:blank")
    chromium.driver.get(f"{server.url}/{fragment}")
    chromium.wait("return !document.getElementById('message').hidden")
    assert seat.message() == said
    assert not seat.screen()
    assert all("401" in line for line in chromium.complaints())


def test_skipping_the_headphones_check_is_noted(server, seat):
    seat.visit(join_link(server))
    seat.click("#check-headphones")
    seat.wait_for("headphones")
    assert not seat.browser.find("[data-tone='1']").is_enabled()
    seat.click("#skip-headphones")
    seat.wait_for("start")
    assert seat.text("#headphones-result") == "Skipped; that is noted."
    (rater,) = server.admin("status", server.token).json()["raters"]
    assert rater["headphones"] == "skipped"


@pytest.mark.slow
def test_the_headphones_check_counts_and_is_kept(server, seat):
    """Six trials of three tones, always answered with the first one."""
    seat.visit(join_link(server))
    seat.click("#check-headphones")
    seat.press(SPACE)
    for trial in range(1, 7):
        assert seat.text("#trial") == f"{trial} of 6"
        seat.browser.wait("return !document.querySelector('[data-tone]').disabled")
        seat.press("1")
    seat.wait_for("start")
    shown = seat.text("#headphones-result")
    (rater,) = server.admin("status", server.token).json()["raters"]
    word, count = rater["headphones"].split()
    right = int(count.partition("/")[0])
    assert word == ("passed" if right >= 5 else "failed")
    assert count in shown
    seat.reload()
    assert seat.text("#headphones-result") == shown


def test_examples_play(server, seat):
    seat.visit(join_link(server))
    ready = "return [...document.querySelectorAll('.examples audio')].map(a => a.duration > 0.1)"
    seat.browser.wait(f"{ready}.filter(Boolean).length === 4")
    labels = seat.browser.run(
        "return [...document.querySelectorAll('.examples label')].map(l => l.textContent)"
    )
    assert [label[-7:] for label in labels] == ["lear: 5", "lear: 5", "lear: 1", "lear: 1"]


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(server, seat, width):
    seat.visit(join_link(server), width=width, height=740)
    wide = "return document.documentElement.scrollWidth - innerWidth"
    assert seat.browser.run(wide) <= 0
    seat.press(ENTER)
    seat.hear()
    assert seat.browser.run(wide) <= 0
    # All that is needed is in the window without scrolling.
    bottom = seat.browser.run(
        "return document.getElementById('next').getBoundingClientRect().bottom"
    )
    assert bottom < 740


def test_administrators_see_and_save(server, seat, tmp_path):
    for rating in (3, 4):
        server.join().rate(1, rating=rating)
    token = server.token
    keep_downloads(seat.browser, tmp_path)
    seat.browser.driver.get(f"{server.url}/admin")
    seat.browser.find("#token").send_keys(token, ENTER)
    seat.browser.wait("return !document.getElementById('status').hidden")
    assert [seat.text(f"#{name}") for name in ("raters", "finished", "ratings")] == ["2", "0", "2"]
    cells = seat.browser.run(
        "return [...document.querySelectorAll('#rows tr')].map(r => r.cells[1].textContent)"
    )
    assert cells == ["1", "1"]
    seat.click("#export")
    saved = read_ratings(downloaded(tmp_path))
    assert [row.rating for row in saved] == [3, 4]
    assert seat.browser.complaints() == []
    seat.browser.driver.get("about:blank")
    seat.browser.driver.get(f"{server.url}/admin#wrong")
    seat.browser.wait("return !document.getElementById('message').hidden")
    assert seat.message() == "This is not the administrators' token."
    assert all("401" in line for line in seat.browser.complaints())
