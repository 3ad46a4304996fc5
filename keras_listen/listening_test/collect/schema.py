"""Tables of the database of ratings."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

#: Version of these tables; increase it with every change of them.
SCHEMA = 1

metadata = MetaData()

schema = Table("listen_schema", metadata, Column("version", Integer, primary_key=True))

studies = Table(
    "listen_studies",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("code", String(64), nullable=False),
    # SHA-256 of the administrators' token; empty before there is one.
    Column("admin", String(64), nullable=False),
    Column("settings", Text, nullable=False),
)

raters = Table(
    "listen_raters",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("study", ForeignKey(studies.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", String(32), nullable=False, unique=True),
    Column("token", String(64), nullable=False, unique=True),
    Column("headphones", String(32), nullable=False),
    Column("joined_at", String(32), nullable=False),
    UniqueConstraint("study", "number"),
)

presentations = Table(
    "listen_presentations",
    metadata,
    Column("rater", ForeignKey(raters.c.key), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("mode", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
    # Name of the sound for this presentation only, which reveals nothing of the recording.
    Column("sound", String(32), nullable=False, unique=True),
    UniqueConstraint("rater", "mode", "name", "repeat"),
)

ratings = Table(
    "listen_ratings",
    metadata,
    Column("rater", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("rating", Integer),
    Column("heard", Text, nullable=False),
    Column("plays", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("rated_at", String(32), nullable=False),
    ForeignKeyConstraint(["rater", "position"], [presentations.c.rater, presentations.c.position]),
    CheckConstraint("rating BETWEEN 1 AND 5"),
    CheckConstraint("(rating IS NULL) <> (heard = '')"),
)
