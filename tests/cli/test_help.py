"""What `--help` says, and the ways in which words may be given."""

from __future__ import annotations

import re
from importlib import import_module

import click
import pytest

from keras_listen.cli import keras_listen as program
from keras_listen.cli.evaluate import _overall
from keras_listen.cli.options import split_words

MAXIMIZING = ("run", "evaluate", "debug", "study make")


def walk(group: click.Group, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """Return all commands that are no groups, by the words that call them."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found |= walk(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


COMMANDS = walk(program)


def help_of(name: str) -> str:
    return COMMANDS[name].get_help(click.Context(COMMANDS[name], max_content_width=100))


def test_all_commands_are_found():
    assert {*MAXIMIZING, "train", "vocode", "plugins new", "study mturk"} <= set(COMMANDS)
    assert len(COMMANDS) == 20


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_in_two_examples_that_can_be_given(name):
    _, _, end = help_of(name).partition("\nExamples:\n")
    lines = [line.strip() for line in end.splitlines() if line.strip()]
    assert len(lines) == 2
    for line in lines:
        said, *words = line.split()
        assert said == "keras-listen"
        # Taken apart as when they are given, without calling anything.
        rest, command = words[len(name.split()) :], COMMANDS[name]
        if words == ["plugins"] or words[:2] == ["plugins", "prior"]:
            rest = words[1:]
        else:
            assert " ".join(words[: len(name.split())]) == name
        assert command.make_context(name, rest).params


@pytest.mark.parametrize("name", MAXIMIZING)
def test_help_names_activation_maximization_once(name):
    assert " ".join(help_of(name).split()).count("activation maximization") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_seed_steps_block_size_and_split_are_explained(name):
    for parameter in COMMANDS[name].params:
        if parameter.opts[0] in ("--seed", "--steps", "--block-size", "--split"):
            assert len(parameter.help.split()) >= 6, parameter.opts
            assert ":" in parameter.help or "on which" in parameter.help


@pytest.mark.parametrize(
    ("name", "default", "why"),
    [
        ("run", "wavenet", "sounds best"),
        ("vocode", "wavenet", "sounds best"),
        ("study make", "wavenet", "sounds best"),
        ("debug", "griffin-lim", "is quick"),
        ("evaluate", "none", "leaves it out"),
    ],
)
def test_help_says_why_a_vocoder_is_the_default(name, default, why):
    (option,) = (one for one in COMMANDS[name].params if one.name == "vocoder")
    assert option.default == default
    assert f"{default} {why}" in option.help
    assert re.search(rf"\[default: {default}\]", " ".join(help_of(name).split()))


@pytest.mark.parametrize("name", ["run", "debug store", "study make store out", "prepare a b"])
@pytest.mark.parametrize(
    "given",
    [
        ["--word", "yes,no"],
        ["--words", "yes, no"],
        ["--word", "yes", "--word", "no"],
        ["--words", "yes", "--word", "no,"],
    ],
)
def test_words_are_given_in_any_way(monkeypatch, name, given):
    key = next(key for key in COMMANDS if name.startswith(key))
    command = COMMANDS[key]
    context = command.make_context(key, [*name.removeprefix(key).split(), *given])
    assert split_words(context.params["words"]) == ["yes", "no"]
    if key == "debug":
        context = command.make_context(key, ["store", "--speaker", "a,b", "--speakers", "c"])
        assert context.params["speakers"] == ["a", "b", "c"]


def test_a_word_of_the_bundle_may_have_a_comma():
    assert split_words(["up,down", "a, b"], known=("a, b", "up")) == ["up", "down", "a, b"]


def test_the_table_of_an_evaluation_fits_100_columns():
    all_words = import_module("keras_listen.evaluation.results").ALL
    rates = ("own success", "referee transfer", "residual transfer", "separable transfer", "cycle")
    rows = []
    for prior in ("none", "ae", "vae", "diffusion"):
        for objective in ("softmax", "log-probability"):
            row = {"prior": prior, "objective": objective, "word": all_words, "samples": 17000}
            for rate in rates:
                row |= {rate: 0.5, f"{rate} low": 0.123, f"{rate} high": 1.0}
            row |= {"diversity": 0.25, "nearest": None, "voiced": 0.5, "speech distance": 12.5}
            rows += [row, row | {"word": "yes"}]
    text = _overall(rows)
    assert max(map(len, text.splitlines())) <= 100
    tables = [part.splitlines() for part in text.split("\n\n")]
    assert len(tables) == 3
    assert tables[0][0].split() == ["prior", "none", "none", "ae"]
    assert tables[0][1].split() == ["objective", "softmax", "log-probability", "softmax"]
    cells = re.split(r"  +", tables[1][3])
    assert cells == ["own success", *["50.0 % (12.3-100.0)"] * 3]
    assert re.split(r"  +", tables[2][-1]) == ["speech distance", *["12.5 dB"] * 2]
    assert sum(len(one[0].split()) - 1 for one in tables) == 8
