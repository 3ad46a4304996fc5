"""`keras-listen study serve` and what belongs to it, with real server processes."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from helpers import assert_one_line
from study_folder import HOSTILE, ID, WORDS, write_study
from study_server import Rater, serving

from keras_listen.errors import install_command
from keras_listen.listening_test.collect import api as collecting
from keras_listen.listening_test.collect.database import CollectionSettings, Ratings
from keras_listen.listening_test.collect.limits import Limiter, TooMany
from keras_listen.listening_test.folder import open_study
from keras_listen.listening_test.ratings import read_ratings

SMALL = ("--per-rater", "6", "--anchors", "2", "--repeats", "1")
COUNT = 9


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "small", [*WORDS, *HOSTILE])


@pytest.fixture(scope="module")
def server(root):
    """A server for tests that only add raters."""
    with serving(root, "--raters", "2", *SMALL) as server:
        server.token  # noqa: B018 - its line is read before others are printed
        yield server


def test_it_says_what_one_needs_to_know(server, root):
    lines = server.said.splitlines()
    assert lines[0] == f"80 recordings; a rater hears {COUNT}, about 1 min"
    assert lines[1] == f"ratings: sqlite:///{root}/ratings.sqlite"
    assert len(server.links) == 2
    assert len({link.partition("#")[2] for link in server.links}) == 2
    assert len(server.code) >= 16


def test_a_rater_goes_through_everything(server, root):
    rater = server.join()
    study = open_study(root)
    session = rater.session()
    assert session["study"] == ID
    assert session["words"] == sorted([*WORDS, *HOSTILE])
    shown = session["presentations"]
    assert [p["position"] for p in shown] == list(range(1, COUNT + 1))
    for p in shown:
        sound = rater.ask(f"sounds/{p['sound']}")
        assert sound.headers["content-type"] == "audio/wav"
        # It is one of the recordings of the word that is shown.
        assert sound.content in [
            study.sound(row["name"]) for row in study.rows if row["class_label"] == p["word"]
        ]
        assert rater.rate(p["position"], rating=1 + p["position"] % 5).status_code == 201
    assert all(p["done"] for p in rater.session()["presentations"])
    text = server.admin("ratings.csv", server.said.split()[-1]).text
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["rater"] == session["rater"]]
    assert [int(row["rating"]) for row in rows] == [1 + p["position"] % 5 for p in shown]
    words = [study.by_name[row["name"]]["class_label"] for row in rows]
    assert words == [p["word"] for p in shown]
    assert [row["repeat"] for row in rows].count("1") == 1


def test_nothing_a_rater_gets_tells_the_condition(server, root):
    """Names, sounds' addresses and headers are the same for a recording heard a second time."""
    rater, other = server.join(), server.join()
    text = rater.ask("session").text
    for row in open_study(root).rows:
        for value in (row["name"], row["condition"]):
            assert value not in text
    sounds = [p["sound"] for p in rater.session()["presentations"]]
    assert len(set(sounds)) == COUNT
    answer = rater.ask(f"sounds/{sounds[0]}")
    for header, value in answer.headers.items():
        assert header.lower() not in ("etag", "last-modified", "content-disposition"), value
    # Another rater cannot ask for them.
    assert other.ask(f"sounds/{sounds[0]}").status_code == 404
    # Nor for files.
    for path in (
        "..%2f..%2fmanifest.csv",
        "manifest.csv",
        "%00",
        "%ff",
        "0" * 3000,
        open_study(root).rows[0]["name"],
    ):
        assert rater.ask(f"sounds/{path}").status_code == 404


def test_examples_can_be_heard(server, root):
    rater = server.join()
    anchors = rater.session()["examples"]
    assert [a["clear"] for a in anchors] == [True, True, False, False]
    study = open_study(root)
    for anchor in anchors:
        sound = rater.ask(f"sounds/{anchor['sound']}").content
        role = "clear" if anchor["clear"] else "unclear"
        assert sound in [study.sound(row["name"]) for row in study.of_role(role)]


def test_a_double_click_and_a_second_thought(server):
    rater = server.join()
    statuses = []
    same = [
        threading.Thread(target=lambda: statuses.append(rater.rate(1, rating=4).status_code))
        for _ in range(6)
    ]
    for thread in same:
        thread.start()
    for thread in same:
        thread.join()
    assert Counter(statuses) == {201: 1, 200: 5}
    answer = rater.rate(1, rating=1)
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "this recording has been rated already; the first rating stays"
    }
    assert [p["done"] for p in rater.session()["presentations"]].count(True) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rating": 9}, "the rating is 9, expected a whole number from 1 to 5"),
        ({"rating": "<script>"}, "the rating is '<script>', expected a whole number from 1 to 5"),
        ({"heard": "up"}, "the answer has 'heard', 'plays', 'seconds', expected 'plays', 'rating'"),
        ({"rating": 3, "rater": "r-1"}, "the answer has 'plays', 'rater', 'rating', 'seconds'"),
    ],
)
def test_what_is_out_of_range_is_refused_and_not_stored(server, given, said):
    rater = server.join()
    answer = rater.rate(1, **given)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert not any(p["done"] for p in rater.session()["presentations"])


def test_ratings_of_unknown_recordings_are_refused(server):
    rater = server.join()
    for position in (0, 99, 2**31, 10**30):
        answer = rater.rate(position, rating=3)
        assert answer.status_code == 404
        assert answer.json()["error"] == f"there is no recording {position} in this rater's order"
    assert rater.ask("ratings/x", "PUT", json={}).status_code == 404
    # More digits than Python turns into a number.
    assert rater.ask(f"ratings/{'9' * 5000}", "PUT", json={}).status_code == 404


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{", "application/json", 400, "the request is no JSON"),
        (b'{"rating": NaN}', "application/json", 400, "the request is no JSON"),
        (b"[" * 4000, "application/json", 400, "the request is no JSON"),
        (b"{}", "text/plain", 400, "the request is not application/json"),
        (b"x" * 5000, "application/json", 413, "the request is longer than 4096 bytes"),
        (b"--x", "multipart/form-data; boundary=x", 400, "the request is not application/json"),
    ],
)
def test_bodies_that_are_no_answer_are_refused(server, body, kind, status, said):
    answer = server.join().ask("ratings/1", "PUT", data=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (status, said)


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "[]",
        "null",
        '{"code": null}',
        '{"code": "\\u00e9"}',
        '{"code": "\\ud800"}',
        '{"code": 1e400}',
        '{"code": {}}',
    ],
)
def test_odd_codes_are_refused(server, given):
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{server.url}/api/join", data=given, headers=headers, timeout=10)
    assert answer.status_code in (401, 429)


def test_what_was_answered_is_stored_whenever_the_server_is_killed(root, tmp_path):
    """Eight raters answer as fast as they can when it happens; whatever was said to be kept, is."""
    path = tmp_path / "r.sqlite"
    said = set()

    def go(rater, name):
        for position in range(1, 33):
            try:
                answer = rater.rate(position, rating=1 + position % 5)
            except requests.RequestException:
                return
            if answer.status_code == 201:
                said.add((name, position, 1 + position % 5))

    with serving(root, "--database", f"sqlite:///{path}", "--per-rater", "28") as server:
        raters = [server.join() for _ in range(8)]
        names = [rater.session()["rater"] for rater in raters]
        threads = [
            threading.Thread(target=go, args=pair) for pair in zip(raters, names, strict=True)
        ]
        for thread in threads:
            thread.start()
        while len(said) < 60:
            time.sleep(0.01)
        server.process.kill()
        for thread in threads:
            thread.join()
    assert len(said) < 8 * 32, "it was killed too late to tell anything"
    collecting.export(root, tmp_path / "r.csv", database=f"sqlite:///{path}")
    stored = Counter((r.rater, r.position, r.rating) for r in read_ratings(tmp_path / "r.csv"))
    assert said <= set(stored)
    assert set(stored.values()) == {1}


def test_orders_with_recordings_that_the_study_no_longer_has_are_one_line(tmp_path, call):
    root = write_study(tmp_path / "study")
    with serving(root) as server:
        server.join().rate(1, rating=4)
    lines = (root / "manifest.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (root / "manifest.csv").write_text("".join([*lines[:1], *lines[2:]]), encoding="utf-8")
    done = call("study", "serve", root, "--port", "0")
    assert_one_line(
        done, "has the recording [0-9a-f]{12} in a rater's order, which .* does not know"
    )
    assert call("study", "export", root, "--out", "r.csv").out == "1 ratings: r.csv\n"


def test_without_a_token_there_is_nothing(server):
    for path in ("session", "sounds/example-0", "admin/status", "admin/ratings.csv"):
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}):
            answer = requests.get(f"{server.url}/api/{path}", headers=headers, timeout=10)
            if answer.status_code == 429:
                continue
            assert answer.status_code == 401
            assert answer.json() == {"error": "this link is not known here; ask for another one"}
    rater = server.join()
    assert server.admin("ratings.csv", rater.token).status_code in (401, 429)


def test_guessing_tokens_and_codes_becomes_slow_and_raters_do_not_notice(root, tmp_path):
    database = f"sqlite:///{tmp_path / 'r.sqlite'}"
    with serving(root, "--database", database, *SMALL) as server:
        rater = server.join()
        statuses = [Rater(server.url, f"guess-{i}").ask("session").status_code for i in range(40)]
        assert Counter(statuses)[401] <= 32
        last = Rater(server.url, "guess").ask("session")
        assert last.status_code == 429
        assert int(last.headers["Retry-After"]) >= 1
        answer = requests.post(f"{server.url}/api/join", json={"code": "guess"}, timeout=10)
        assert answer.status_code == 429
        assert rater.ask("session").status_code == 200
        # A rater who asks faster than a person can is asked to wait.
        with ThreadPoolExecutor(8) as pool:
            statuses = [s.status_code for s in pool.map(rater.ask, ["sounds/nothing"] * 500)]
        assert set(statuses) == {404, 429}


def test_behind_a_proxy_each_address_has_its_own_share(root, tmp_path):
    """An address that somebody made up counts where a proxy says so, and nowhere else."""

    def guesses(server, address):
        """Guess 50 tokens; return how many of them were looked up."""
        rater, headers = Rater(server.url, "guess"), {"X-Forwarded-For": address}
        return [rater.ask("session", headers=headers).status_code for _ in range(50)].count(401)

    for proxy, second in (("127.0.0.1", range(30, 50)), ("10.0.0.1", range(20))):
        database = f"sqlite:///{tmp_path / f'{proxy}.sqlite'}"
        with serving(root, "--database", database, "--proxy", proxy) as server:
            assert guesses(server, "198.51.100.1") in range(30, 50)
            assert guesses(server, "198.51.100.2") in second


def test_a_limiter_lets_so_much_through():
    now = [0.0]
    limiter = Limiter(burst=3, rate=2, clock=lambda: now[0])
    for _ in range(3):
        limiter.spend("a")
    with pytest.raises(TooMany) as caught:
        limiter.spend("a")
    assert caught.value.wait == pytest.approx(0.5)
    limiter.spend("b")
    now[0] = 0.5
    limiter.spend("a")
    with pytest.raises(TooMany):
        limiter.spend("a")


def test_headers_are_safe(server):
    rater = server.join()
    page = requests.get(f"{server.url}/", timeout=10)
    admin = requests.get(f"{server.url}/admin", timeout=10)
    for answer in (page, admin, rater.ask("session"), rater.ask("nothing")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
    for answer in (page, admin):
        assert re.search(
            r"script-src( 'sha256-[^']+')+;", answer.headers["Content-Security-Policy"]
        )
    for answer in (rater.ask("session"), rater.ask("nothing")):
        assert answer.headers["Cache-Control"] == "no-store"


def test_other_methods_and_paths_are_refused(server):
    assert requests.post(f"{server.url}/", timeout=10).status_code == 405
    assert requests.put(f"{server.url}/api/session", timeout=10).status_code == 405
    answer = requests.get(f"{server.url}/manifest.csv", timeout=10)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


def test_words_to_be_guessed_are_not_told(root, tmp_path):
    database = f"sqlite:///{tmp_path / 'r.sqlite'}"
    with serving(root, "--mode", "both", "--database", database, *SMALL) as server:
        rater = server.join()
        shown = rater.session()["presentations"]
        assert [p["mode"] for p in shown] == ["word"] * COUNT + ["rating"] * COUNT
        assert [p["word"] for p in shown[:COUNT]] == [None] * COUNT
        assert all(p["word"] for p in shown[COUNT:])
        heard = [*HOSTILE, "nothing", "other:=1+1"]
        for i, word in enumerate(heard, start=1):
            assert rater.rate(i, heard=word).status_code == 201
        answer = rater.rate(9, heard="banana")
        assert answer.status_code == 400
        assert "what was heard is 'banana', expected a word" in answer.json()["error"]
        text = server.admin("ratings.csv", server.token).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["heard"] for row in rows] == heard
    assert {row["rating"] for row in rows} == {""}


def test_a_killed_server_goes_on_where_it_was(root, tmp_path, call):
    database = f"sqlite:///{tmp_path / 'r.sqlite'}"
    options = ("--database", database)
    with serving(root, *options, *SMALL) as server:
        token, code = server.token, server.code
        rater = server.join()
        before = rater.session()
        assert [rater.rate(i, rating=i).status_code for i in (1, 2, 3)] == [201] * 3
        server.process.kill()
        server.process.wait()
    with serving(root, *options) as server:
        assert server.code == code
        again = Rater(server.url, rater.token)
        after = again.session()
        assert [p["done"] for p in after["presentations"]] == [True] * 3 + [False] * (COUNT - 3)
        for one, other in zip(before["presentations"], after["presentations"], strict=True):
            assert one | {"done": True} == other | {"done": True}
        assert again.rate(3, rating=3).status_code == 200
        # The token of before holds, and what the study was set to, too.
        assert server.admin("status", token).json()["raters"][0]["rated"] == 3
        assert len(server.join().session()["presentations"]) == COUNT
    done = call("study", "export", root, "--out", "r.csv", "--database", database)
    assert (done.status, done.out) == (0, "3 ratings: r.csv\n")
    assert [row.rating for row in read_ratings("r.csv")] == [1, 2, 3]


def test_export_while_it_is_served_is_the_administrators_file(server, root, call):
    rater = server.join()
    rater.ask("headphones", "PUT", json={"headphones": "failed 2/6"})
    rater.rate(1, rating=2)
    done = call("study", "export", root, "--out", "r.csv")
    assert done.status == 0
    with open("r.csv", encoding="utf-8", newline="") as file:
        text = file.read()
    assert text == server.admin("ratings.csv", server.said.split()[-1]).text
    assert ",failed 2/6\n" in text


def test_invited_raters_only(root, tmp_path, call):
    database = f"sqlite:///{tmp_path / 'r.sqlite'}"
    options = ("--database", database, "--invited-only", "--url", "https://study.example/x/")
    with serving(root, *options, *SMALL) as server:
        assert server.code is None
        assert server.url == "https://study.example/x"
        done = call("study", "invite", root, "--raters", "2", "--database", database)
        links = done.out.splitlines()
        assert len(links) == 2
        assert re.fullmatch(r"rater 1: https://study\.example/x/#[\w-]{22}", links[0])
    with serving(root, *options[:2], "--url", "") as server:
        token = links[1].partition("#")[2]
        assert Rater(server.url, token).ask("session").status_code == 200
        # It stays as it was: joining is not possible, even with the right code.
        with sqlite3.connect(tmp_path / "r.sqlite") as connection:
            ((code,),) = connection.execute("SELECT code FROM listen_studies")
        answer = requests.post(f"{server.url}/api/join", json={"code": code}, timeout=10)
        assert answer.status_code == 401
        expected = "this listening test is open only to people who were invited"
        assert answer.json()["error"] == expected


def test_a_folder_with_odd_characters_is_served(tmp_path, call):
    root = write_study(tmp_path / "a study? #1 100%20")
    with serving(root, *SMALL) as server:
        server.join().rate(1, rating=2)
    assert (root / "ratings.sqlite").is_file()
    assert call("study", "export", root).out == "1 ratings: ratings.csv\n"


def test_links_are_made_until_there_are_so_many(tmp_path):
    root = write_study(tmp_path / "study")
    counts = []
    for wanted in ("2", "2", "3"):
        with serving(root, "--raters", wanted, *SMALL) as server:
            counts.append(len(server.links))
    assert counts == [2, 0, 1]


def test_a_locked_database_makes_raters_wait_and_loses_nothing(root, tmp_path):
    path = tmp_path / "r.sqlite"
    with serving(root, "--database", f"sqlite:///{path}", *SMALL) as server:
        rater = server.join()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = rater.rate(1, rating=5)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "cannot read or store anything at the moment" in answer.json()["error"]
        assert str(path) not in answer.text
        other.execute("ROLLBACK")
        assert rater.rate(1, rating=5).status_code == 201
        _, _, said = server.stop()
    (line,) = said.splitlines()
    assert (
        line == f"keras-listen: sqlite:///{path} is locked by another program; end it, or try again"
    )


def test_a_recording_that_vanishes_is_named_to_whoever_runs_it(tmp_path):
    root = write_study(tmp_path / "study")
    with serving(root, *SMALL) as server:
        rater = server.join()
        for path in (root / "audio").iterdir():
            path.rename(path.with_suffix(".away"))
        answer = rater.ask(f"sounds/{rater.session()['presentations'][0]['sound']}")
        assert answer.status_code == 503
        assert "audio" not in answer.text
        for path in (root / "audio").iterdir():
            path.rename(path.with_suffix(".wav"))
        answer = rater.ask(f"sounds/{rater.session()['presentations'][0]['sound']}")
        assert answer.status_code == 200
        _, _, said = server.stop()
    assert re.fullmatch(r"keras-listen: the recording .*\.wav is missing\n", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to(tmp_path, number):
    with serving(write_study(tmp_path / "study")) as server:
        server.join().rate(1, rating=1)
        status, out, err = server.stop(number)
    assert (status, out.splitlines()[-1], err) == (
        0,
        "stopped; every rating is in the database",
        "",
    )


def test_a_port_that_is_taken_is_one_line(root, call):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = call("study", "serve", root, "--port", port)
    assert_one_line(
        done, rf"cannot listen on 127\.0\.0\.1:{port} \(Address already in use\); give an"
    )


def test_a_folder_that_is_no_study_is_one_line(tmp_path, call):
    for name in ("serve", "export", "page"):
        done = call("study", name, tmp_path)
        assert_one_line(done, "there is no listening test in .*no manifest.json")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_recording_is_one_line(tmp_path, call):
    root = write_study(tmp_path / "study")
    path = next((root / "audio").iterdir())
    path.write_bytes(b"RIFF")
    for name in ("serve", "page"):
        assert_one_line(call("study", name, root), f"the recording .*{path.name} cannot be played")


def test_more_raters_than_there_may_be_are_told(tmp_path):
    root = write_study(tmp_path / "study")
    with serving(root, *SMALL) as server:
        from keras_listen.listening_test.collect.connection import connect

        connector = connect(f"sqlite:///{root}/ratings.sqlite")
        ratings = Ratings(connector, ID)
        ratings.set(CollectionSettings(most_raters=1))
        server.join()
        answer = requests.post(f"{server.url}/api/join", json={"code": server.code}, timeout=10)
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "this listening test has all its raters; thank you",
        )
        connector.close()


def test_how_many_raters_may_join_can_be_said(tmp_path, call):
    """It holds from then on, and links are made for all who are asked for, or for nobody."""
    root = write_study(tmp_path / "study")
    with serving(root, *SMALL, "--most-raters", "2") as server:
        server.join()
        full = "this listening test has 1 raters and takes 2; for 2 more, serve it with "
        full += "--most-raters 3 or"
        assert_one_line(call("study", "invite", root, "--raters", 2), full)
        assert len(call("study", "invite", root).out.splitlines()) == 1
        answer = requests.post(f"{server.url}/api/join", json={"code": server.code}, timeout=10)
        assert answer.status_code == 400
        said = "this listening test has 2 raters and takes 2; for 1 more, serve it with "
        said += "--most-raters 3 or"
        assert said in server.stop()[2]
    with serving(root, *SMALL) as server:
        answer = requests.post(f"{server.url}/api/join", json={"code": server.code}, timeout=10)
        assert answer.status_code == 400
    with serving(root, *SMALL, "--most-raters", "3") as server:
        server.join()


def test_links_are_told_though_others_take_the_last_places(tmp_path, monkeypatch, caplog):
    root = write_study(tmp_path / "study")
    with serving(root, *SMALL, "--most-raters", "3"):
        pass
    register = Ratings.register

    def crowded(ratings, most, order):
        """Register a rater, and then somebody else who joins."""
        token = register(ratings, most, order)
        register(ratings, most, order)
        return token

    monkeypatch.setattr(Ratings, "register", crowded)
    links = collecting.invite(root, 3)
    # The second link took the last place, and whoever joined behind it found none.
    assert len(links) == 1
    assert "this listening test has 3 raters and takes 3; for 1 more" in caplog.text


@pytest.mark.slow
def test_fifty_raters_at_once(tmp_path):
    """Each rating is stored once, and nothing is answered with an error."""
    root = write_study(tmp_path / "study")
    script = Path(__file__).parents[2] / "benchmarks" / "study_load.py"
    command = [sys.executable, str(script), str(root), "--raters", "50", "--per-rater", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "50 raters gave 600 ratings, the database holds 600" in done.stdout


LIGHT = """
import sys
from keras_listen.cli import main
sys.argv = ["keras-listen", *{arguments}]
try:
    main()
except SystemExit as end:
    status = end.code
heavy = [n for n in ("tensorflow", "keras", "librosa", "sklearn", "matplotlib") if n in sys.modules]
sys.exit(f"{{status}} {{heavy}}" if status or heavy else 0)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "--help"],
        ["study", "serve", "--help"],
        ["study", "export", "{root}"],
        ["study", "invite", "{root}"],
        ["study", "page", "{root}", "--out", "page"],
        ["study", "mturk", "{root}", "--audio-url", "https://x.example", "--out", "turk"],
    ],
)
def test_nothing_heavy_is_imported(server, root, tmp_path, arguments):
    script = LIGHT.format(arguments=json.dumps(arguments).replace("{root}", str(root)))
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_serving_imports_nothing_heavy(server):
    maps = Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")
    assert "sqlite" in maps
    assert not re.search(r"tensorflow|librosa|sklearn|matplotlib", maps)


def test_without_the_libraries_it_is_said_how_to_install_them(root, tmp_path):
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError(name='starlette')")
    done = subprocess.run(
        [sys.executable, "-m", "keras_listen", "study", "serve", str(root)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "keras-listen: collecting ratings with a server needs the package starlette: "
        f"{install_command('study')}\n"
    )
