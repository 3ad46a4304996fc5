"""Settings that several commands share: declared once, taken by each, kept in manifests."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import fields
from typing import get_type_hints

import click
import numpy as np
import pytest
from helpers import assert_one_line

import keras_listen
from keras_listen.cli import keras_listen as program
from keras_listen.errors import RunError
from keras_listen.experiment.settings import (
    ModelChoice,
    SharedKeywords,
    SharedSettings,
    shared_fields,
)
from keras_listen.maximization.ascent import Ascent
from keras_listen.maximization.settings import AscentSettings

#: Keywords that each function had before they were declared in one place.
ASCENT = ("steps", "step_size", "optimizer", "shift", "gain", "stop_at", "keep_best")
MODELS = (
    *("bundle", "classifier", "words_file", "spec", "trust_model", "frontend", "head"),
    *("builder", "imports", "place"),
)
COMMON = ("preset", "options", "seed", "block_size", "resume", "track")
FUNCTIONS = {
    "listen": ("prior", "objective", "vocoder", "words", "samples", "start", "reader", "out"),
    "evaluate": (
        *("priors", "objectives", "samples", "start", "speech", "vocoder"),
        *("cycle_samples", "referees", "npz", "out", "scheduler", "workers"),
    ),
    "debug": (
        *("store", "split", "prior", "objective", "vocoder", "words", "speakers", "misclassified"),
        *("tickets", "commands", "speakers_shown", "audio", "reader", "single_file", "out"),
    ),
    "make_study": (
        *("store", "out", "split", "per_word", "words", "prior", "objective", "vocoder", "real"),
        *("combinations", "anchors", "tries", "referees"),
    ),
}
COMMANDS = (("run",), ("evaluate",), ("debug",), ("study", "make"))
CHANGED = {
    "optimizer": "adam", "shift": 2, "gain": 3.0, "stop_at": 0.9, "keep_best": True,
}  # fmt: skip


def command(names: tuple[str, ...]) -> click.Command:
    found = program
    for name in names:
        found = found.get_command(click.Context(found), name)
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_have_every_parameter(name):
    function = getattr(keras_listen, name)
    parameters = inspect.signature(function).parameters
    assert set(parameters) == {*FUNCTIONS[name], *ASCENT, *MODELS, *COMMON}
    assert parameters["steps"].default == 20
    assert parameters["block_size"].default == 72
    for shared in shared_fields():
        assert f"\n        {shared}: " in function.__doc__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shared_parameters_have_types(name):
    function = getattr(keras_listen, name)
    parameters = inspect.signature(function).parameters
    types = get_type_hints(SharedKeywords)
    assert {shared: parameters[shared].annotation for shared in types} == types
    hints = get_type_hints(function)
    assert set(FUNCTIONS[name]) <= set(hints)
    assert hints["return"] is not type(None)
    assert function.__doc__.count("\n        **shared") == 0
    for shared, field in shared_fields().items():
        assert f"\n        {shared}: {field.metadata['help']}\n" in function.__doc__


def test_each_field_is_a_keyword():
    parts = {one.name for one in fields(SharedSettings)} - {"ascent", "models", "asked"}
    parts |= {one.name for part in (AscentSettings, ModelChoice) for one in fields(part)}
    assert parts == set(SharedKeywords.__annotations__)


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_each_field_is_an_option_of_each_command(names):
    options = {parameter.name for parameter in command(names).params}
    assert set(SharedKeywords.__annotations__) <= options


def test_nothing_given_is_the_published_ascent(tiny_store):
    assert Ascent.from_settings(SharedSettings.of({}).ascent, tiny_store.spec) == Ascent()
    nothing = dict.fromkeys(SharedKeywords.__annotations__)
    assert SharedSettings.of(nothing) == SharedSettings()


def test_settings_reach_the_ascent(tiny_store):
    ascent = Ascent.from_settings(SharedSettings.of(CHANGED).ascent, tiny_store.spec)
    assert (ascent.optimizer, ascent.stop_at, ascent.keep_best) == ("adam", 0.9, True)
    shift, gain = ascent.transforms
    assert shift.frames == 2
    assert gain.amount == pytest.approx(3.0 / -tiny_store.spec.floor_db)


def test_an_unknown_keyword_is_refused_with_a_hint(bundle, tmp_path):
    with pytest.raises(TypeError, match=r"keyword argument 'step'; did you mean 'steps'\?"):
        keras_listen.listen(bundle=bundle, step=3, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_manifests_keep_what_differs_and_what_they_always_had():
    assert AscentSettings().recorded(always=("steps",)) == {"steps": 20}
    changed = AscentSettings(steps=3, shift=2)
    assert changed.recorded(always=("steps",)) == {"steps": 3, "shift": 2}
    assert list(AscentSettings().recorded()) == list(ASCENT)


QUICK = {"vocoder": "none", "steps": 3, "block_size": 8}


def test_debug_climbs_as_it_is_told(bundle, tiny_store, tmp_path):
    plain = keras_listen.debug(tiny_store.root, bundle=bundle, **QUICK, out=tmp_path / "plain")
    given = {**QUICK, "optimizer": "adam", "keep_best": True}
    told = keras_listen.debug(tiny_store.root, bundle=bundle, **given, out=tmp_path / "told")
    commands = [
        json.loads((done.root / "manifest.json").read_text(encoding="utf-8"))["command"]
        for done in (plain, told)
    ]
    assert "optimizer" not in commands[0]
    assert {k: v for k, v in commands[1].items() if commands[0].get(k) != v} == {
        "optimizer": "adam", "keep_best": True,
    }  # fmt: skip
    before = [np.load(done.root / "latents_before.npy") for done in (plain, told)]
    after = [np.load(done.root / "latents_after.npy") for done in (plain, told)]
    np.testing.assert_array_equal(*before)
    assert np.abs(after[0] - after[1]).max() > 1e-3
    with pytest.raises(RunError, match=r"command\.optimizer 'adam', now None"):
        keras_listen.debug(tiny_store.root, bundle=bundle, **QUICK, out=told.root, resume=True)


#: Steps so large that the last is seldom the best.
LARGE = ("--vocoder", "none", "--steps", 3, "--block-size", 8, "--step-size", 30)


def latents(root, when: str) -> np.ndarray:
    return np.load(root / f"latents_{when}.npy")


@pytest.fixture(scope="module")
def plain(bundle, tiny_store, tmp_path_factory):
    out = tmp_path_factory.mktemp("debugged") / "plain"
    given = {**QUICK, "step_size": 30.0}
    return keras_listen.debug(tiny_store.root, bundle=bundle, **given, out=out).root


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        (("--optimizer", "adam"), "optimizer", "adam"),
        (("--shift", 4), "shift", 4),
        (("--gain", 6), "gain", 6.0),
        (("--stop-at", 1e-6), "stop_at", 1e-6),
        (("--keep-best",), "keep_best", True),
    ],
)
def test_options_of_debug_reach_the_ascent(
    call, plain, bundle, tiny_store, tmp_path, option, name, value
):
    out = tmp_path / "changed"
    given = ("--bundle", bundle, *LARGE, "--out", out)
    done = call("debug", tiny_store.root, *given, *option)
    assert done.status == 0, done.err
    commands = [
        json.loads((root / "manifest.json").read_text(encoding="utf-8"))["command"]
        for root in (plain, out)
    ]
    assert set(ASCENT) & set(commands[0]) == {"steps", "step_size"}
    assert commands[1] == commands[0] | {name: value}
    np.testing.assert_array_equal(latents(out, "before"), latents(plain, "before"))
    assert np.abs(latents(out, "after") - latents(plain, "after")).max() > 1e-3
    if name == "stop_at":
        # Every word has this probability from the start.
        np.testing.assert_array_equal(latents(out, "after"), latents(out, "before"))
    done = call("debug", tiny_store.root, *given, "--resume")
    assert_one_line(done, f"command.{name} {value!r}, now None")


def test_a_backend_without_the_engine_is_refused_in_one_line():
    code = "import keras_listen\nkeras_listen.listen(words=['yes'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("keras_listen.errors.ListenError: Keras is set to the backend jax")
