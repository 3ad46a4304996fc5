"""Ratings in SQLite and in PostgreSQL: each once, whatever happens; one line for each trouble."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter

import pytest
from postgres import open_cluster, require_postgres
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError
from study_folder import write_study
from study_server import serving

from keras_listen.errors import DatabaseError, ListenError, ParameterError, StudyError, Unavailable
from keras_listen.listening_test.collect import api as collecting
from keras_listen.listening_test.collect import schema
from keras_listen.listening_test.collect.answers import Answer
from keras_listen.listening_test.collect.connection import connect
from keras_listen.listening_test.collect.database import AlreadyRated, CollectionSettings, Ratings
from keras_listen.listening_test.collect.order import Design, plan
from keras_listen.listening_test.folder import open_study
from keras_listen.listening_test.ratings import read_ratings


@pytest.fixture(scope="module")
def cluster():
    """The URL of a PostgreSQL cluster."""
    require_postgres()
    pytest.importorskip("psycopg")
    with open_cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ratings.sqlite'}"
    url = request.getfixturevalue("cluster")
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url.replace("postgresql", "postgres", 1)) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def connector(address):
    connector = connect(address, create=True)
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return open_study(write_study(tmp_path_factory.mktemp("study") / "small"))


@pytest.fixture
def ratings(connector, study):
    """A study in the database, with nobody in it."""
    ratings = Ratings(connector, study.id)
    ratings.set(CollectionSettings(url="http://localhost"))
    return ratings


def join(ratings, study, most=1000):
    token = ratings.register(most, lambda number: plan(study, number, Design(per_rater=12)))
    return token, ratings.rater(token)


def rated(value):
    return Answer(rating=value, heard="", plays=2, seconds=3.25)


def test_a_rating_comes_out_as_it_went_in(ratings, study):
    _, rater = join(ratings, study)
    shown = plan(study, 0, Design(per_rater=12))[4]
    assert ratings.rate(rater, 5, rated(4)) is True
    (row,) = ratings.ratings()
    assert (row.study, row.rater, row.mode) == (study.id, rater.name, "rating")
    assert (row.name, row.repeat, row.position) == (shown.name, shown.repeat, 5)
    assert (row.rating, row.heard, row.plays, row.seconds) == (4, "", 2, 3.25)
    assert len(row.rated_at) == len("2026-01-01T00:00:00Z")
    assert [p.position for p in ratings.order(rater) if p.done] == [5]


def test_the_same_rating_sent_again_is_kept_once_and_another_one_is_refused(ratings, study):
    _, rater = join(ratings, study)
    assert ratings.rate(rater, 1, rated(2)) is True
    assert ratings.rate(rater, 1, rated(2)) is False
    with pytest.raises(AlreadyRated, match="rated already; the first rating stays"):
        ratings.rate(rater, 1, rated(5))
    assert [row.rating for row in ratings.ratings()] == [2]


def test_a_place_that_is_not_in_the_order_is_refused(ratings, study):
    _, rater = join(ratings, study)
    with pytest.raises(StudyError, match="no recording 999 in this rater's order"):
        ratings.rate(rater, 999, rated(2))
    assert ratings.ratings() == []


def test_the_database_itself_refuses_what_cannot_be(ratings, study, connector):
    _, rater = join(ratings, study)
    row = {"rater": rater.key, "position": 1, "plays": 1, "seconds": 1, "rated_at": ""}
    for wrong in ({"rating": 6, "heard": ""}, {"rating": 3, "heard": "up"}, {"heard": ""}):
        with pytest.raises(IntegrityError), connector.writing() as connection:
            connection.execute(insert(schema.ratings).values(row | wrong))
    assert ratings.ratings() == []


def test_many_raters_at_once_get_numbers_of_their_own_and_every_rating_is_kept(ratings, study):
    """Twelve threads join and rate everything, each rating from two of them."""
    raters = []

    def go():
        _, rater = join(ratings, study)
        raters.append(rater)
        for presentation in ratings.order(rater):
            twice = [
                threading.Thread(target=ratings.rate, args=(rater, presentation.position, r))
                for r in (rated(3), rated(3))
            ]
            for thread in twice:
                thread.start()
            for thread in twice:
                thread.join()

    threads = [threading.Thread(target=go) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = Counter((r.name, p.position) for r in raters for p in ratings.order(r))
    assert len(raters) == 12
    assert expected.total() == 12 * 18
    assert Counter((row.rater, row.position) for row in ratings.ratings()) == expected
    # Each had another number, so another order.
    orders = {tuple(p.name for p in ratings.order(rater)) for rater in raters}
    assert len(orders) == 12


def test_links_and_tokens_are_not_in_the_database(ratings, study, connector):
    token, _ = join(ratings, study)
    admin = ratings.make_admin_token()
    with connector.reading() as connection:
        stored = [
            str(row)
            for table in schema.metadata.tables.values()
            for row in connection.execute(table.select())
        ]
    assert stored
    assert not [row for row in stored if token in row or admin in row]
    assert ratings.is_admin(admin)
    assert not ratings.is_admin(token)
    assert ratings.rater(admin) is None


def test_a_token_of_administrators_stays_until_another_is_asked_for(ratings):
    assert not ratings.is_admin("")
    first = ratings.make_admin_token()
    assert ratings.make_admin_token() is None
    second = ratings.make_admin_token(replace=True)
    assert not ratings.is_admin(first)
    assert ratings.is_admin(second)


def test_there_are_no_more_raters_than_there_may_be(ratings, study):
    join(ratings, study, most=1)
    with pytest.raises(StudyError, match=r"has 1 raters and takes 1; .*--most-raters 2 or more$"):
        join(ratings, study, most=1)


def test_studies_in_one_database_do_not_see_each_other(ratings, study, connector):
    token, rater = join(ratings, study)
    ratings.rate(rater, 1, rated(1))
    other = Ratings(connector, "ffff")
    other.set(CollectionSettings())
    assert other.ratings() == []
    assert other.overview() == []
    assert other.rater(token) is None
    assert other.code() != ratings.code()


def test_settings_come_back(ratings):
    settings = CollectionSettings(
        design=Design(mode="both", per_rater=7), is_open=False, url="https://a.b"
    )
    ratings.set(settings)
    assert ratings.settings() == settings


def test_overview_counts(ratings, study):
    _, first = join(ratings, study)
    join(ratings, study)
    ratings.rate(first, 1, rated(1))
    ratings.rate(first, 2, rated(2))
    ratings.set_headphones(first, "passed 6/6")
    one, two = ratings.overview()
    assert (one["rated"], one["recordings"], one["headphones"]) == (2, 18, "passed 6/6")
    assert (two["rated"], two["last_at"], two["headphones"]) == (0, None, "")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (0, "has schema 0, made by an older keras-listen; this one needs 1: export the ratings "),
        (2, "has schema 2, made by a newer keras-listen; this one, .*, knows 1: update it"),
    ],
)
def test_another_schema_is_refused_and_nothing_is_changed(address, ratings, study, version, said):
    _, rater = join(ratings, study)
    ratings.rate(rater, 1, rated(1))
    with ratings.connector.writing() as connection:
        connection.execute(update(schema.schema).values(version=version))
    for create in (True, False):
        with pytest.raises(DatabaseError, match=said) as caught:
            connect(address, create=create)
        assert "\n" not in str(caught.value)
    assert len(ratings.ratings()) == 1


@pytest.mark.parametrize("name", ["listen_schema", "listen_ratings"])
def test_a_missing_table_is_named(address, connector, name):
    with connector.writing() as connection:
        connection.execute(text(f"DROP TABLE {name}"))
    with pytest.raises(DatabaseError, match=f"lacks the table {name}; bring a copy back"):
        connect(address, create=True)


def test_a_misspelt_file_is_named_and_not_made(tmp_path):
    path = tmp_path / "rating.sqlite"
    with pytest.raises(DatabaseError, match=r"there is no database .*/rating.sqlite; look at its"):
        connect(f"sqlite:///{path}")
    assert not path.exists()


def test_an_empty_database_is_no_study(address, tmp_path):
    (tmp_path / "ratings.sqlite").touch()
    with pytest.raises(DatabaseError, match="has no ratings; collect some with: keras-listen"):
        connect(address)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nonsense", "'nonsense' is no address of a database; expected for instance sqlite:///"),
        ("oracledb://x/y", "'oracledb' is no database that is known"),
        ("mysql+pymysql://x/y", "'mysql.pymysql' need the package pymysql; for PostgreSQL: pip"),
        ("sqlite:////nowhere/at/all.sqlite", "cannot be used: unable to open database file"),
        (
            "postgresql://me:secret@127.0.0.1:1/x",
            "postgresql.psycopg://me:...@127.0.0.1:1/x cannot",
        ),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line(given, said):
    if given.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises((DatabaseError, Unavailable), match=said) as caught:
        connect(given, create=True)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_study_is_served_from_either_database(address, tmp_path):
    root = write_study(tmp_path / "s")
    with serving(root, "--database", address, "--per-rater", "6") as server:
        rater = server.join()
        count = len(rater.session()["presentations"])
        for position in range(1, count + 1):
            assert rater.rate(position, rating=1 + position % 5).status_code == 201
            assert rater.rate(position, rating=1 + position % 5).status_code == 200
        server.process.kill()
    assert collecting.export(root, tmp_path / "r.csv", database=address) == count == 12
    ratings = read_ratings(tmp_path / "r.csv")
    assert [row.rating for row in ratings] == [1 + p % 5 for p in range(1, count + 1)]
    (link,) = collecting.invite(root, 1, database=address, url="http://h/")
    assert link.startswith("http://h/#")
    assert not (root / "ratings.sqlite").exists()


def test_a_file_that_is_no_database_is_one_line_and_stays(tmp_path):
    path = tmp_path / "ratings.sqlite"
    path.write_bytes(b"study,rater,mode\n" * 100)
    with pytest.raises(DatabaseError, match=r"is no database, or a damaged one .*; bring a copy"):
        connect(f"sqlite:///{path}", create=True)
    assert path.read_bytes() == b"study,rater,mode\n" * 100


def test_a_locked_database_is_one_line_and_loses_nothing(tmp_path, study, monkeypatch):
    monkeypatch.setattr("keras_listen.listening_test.collect.connection.PATIENCE", 0.2)
    path = tmp_path / "ratings.sqlite"
    connector = connect(f"sqlite:///{path}", create=True)
    ratings = Ratings(connector, study.id)
    ratings.set(CollectionSettings())
    _, rater = join(ratings, study)
    ratings.rate(rater, 1, rated(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseError, match="is locked by another program; end it, or try again"):
        ratings.rate(rater, 2, rated(2))
    # Who only reads does not wait for who writes.
    assert [row.rating for row in ratings.ratings()] == [1]
    other.execute("ROLLBACK")
    assert ratings.rate(rater, 2, rated(2)) is True
    assert [row.rating for row in ratings.ratings()] == [1, 2]
    connector.close()


def test_export_says_what_is_missing(tmp_path, study):
    root = write_study(tmp_path / "s")
    with pytest.raises(DatabaseError, match=r"has no ratings.sqlite: it has not been served yet"):
        collecting.export(root, tmp_path / "r.csv")
    with pytest.raises(ListenError, match=r"there is no listening test in .*/nothing"):
        collecting.export(tmp_path / "nothing", tmp_path / "r.csv")
    assert not (root / "ratings.sqlite").exists()


def test_export_of_another_study_is_refused(tmp_path, ratings, address):
    root = write_study(tmp_path / "s")
    (root / "manifest.json").write_text('{"study": "0123abcd"}', encoding="utf-8")
    message = "has nothing of listening test 0123abcd; serve it first, or name"
    with pytest.raises(StudyError, match=message):
        collecting.export(root, tmp_path / "r.csv", database=address)
    with pytest.raises(StudyError, match="has nothing of listening test 0123abcd"):
        collecting.invite(root, 1, database=address)


def test_a_design_that_cannot_be_is_refused_before_anything_is_stored(tmp_path):
    root = write_study(tmp_path / "s")
    with pytest.raises(ParameterError, match="mode is 'guess'"):
        collecting.serve(root, port=0, mode="guess")
