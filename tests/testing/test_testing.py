"""The kit: what its checks share, and its registry."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from typing import Any, Literal

import numpy as np
import pytest
from kit import (
    SPEC,
    Voice,
    Wave,
    broken,
    bundle_of,
    logit,
    of_target,
    plugin_of,
    raised,
    raw,
    small_bundle,
    spoken,
)

from keras_listen import resolve, testing
from keras_listen.errors import ParameterError, PluginError, Unavailable
from keras_listen.plugins import default_registry


@pytest.fixture(scope="module")
def small():
    return small_bundle()


@pytest.mark.parametrize(
    "fields",
    [
        {"padding": "center"},
        {"sample_rate": 8000, "n_fft": 256, "hop_length": 80, "fmax": 3800.0},
        {"power": 2.0, "mel_scale": "htk", "window": "hann"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_other_features_are_no_obstacle(fields):
    bundle = bundle_of(replace(SPEC, **fields))
    testing.check_prior(Wave, bundle)
    testing.check_objective(logit, bundle)
    testing.check_vocoder(Voice, bundle)
    late = type("Vocoder", (Voice,), spoken(lambda y: np.roll(y, bundle.spec.hop_length, axis=1)))
    assert "late" in broken(testing.check_vocoder, late, bundle).seen


def positional(bundle, scale: float = 0.5):
    return logit(bundle)


def unannotated(bundle, *, scale=0.5):
    return logit(bundle)


def without_default(bundle, *, scale: float):
    return logit(bundle)


def listed(bundle, *, scales: list = ()):
    return logit(bundle)


def untold(bundle, *, scales: Any = ()):
    return logit(bundle)


def wrong_default(bundle, *, scale: int = 0.5):
    return logit(bundle)


def none_by_default(bundle, *, scale: float = None):  # noqa: RUF013
    return logit(bundle)


def anything(bundle, **options):
    return logit(bundle)


def unpolite(bundle, *, scale: float = 0.5):
    if not scale > 0:
        raise ValueError("math domain error")
    return logit(bundle)


def talkative(bundle, *, scale: float = 0.5):
    if not scale > 0:
        raise ParameterError(f"scale is {scale}\nand that is no scale")
    return logit(bundle)


def late(bundle, *, layer: str = "dense"):
    def objective(classifier, x, t):
        return {"dense": of_target}[layer](classifier, x, t)

    return objective


def choosy(bundle, *, layer: Literal["dense", "last"] | int = "dense"):
    """Refuse what cannot be given, which no user ever sees, with an exception of Python's own."""
    if not isinstance(layer, int):
        layer = {"dense": 0, "last": 1}[layer]
    return logit(bundle)


def test_a_choice_is_tried_with_its_own_values_only(small):
    testing.check_objective(choosy, small)


BAD_OPTIONS = {
    positional: ("factory: arguments", "scale: 'float' = 0.5", "behind a `*`"),
    anything: ("factory: arguments", "**options", "behind a `*`"),
    unannotated: ("option scale: type and default", "`scale=0.5`", "annotate it"),
    without_default: ("option scale: type and default", "`scale: 'float'`", "give a default"),
    listed: ("factory: it can be registered", "option scales of objective listed", "factories and"),
    untold: ("option scales: type and default", "the type Any", "choose one of these"),
    wrong_default: ("option scale: type and default", "0.5 of type float", "annotated type"),
    none_by_default: ("option scale: type and default", "None of type NoneType", "annotated type"),
    unpolite: ("option scale: odd values", "with nan, ValueError", "raise keras_listen.errors"),
    talkative: ("option scale: odd values", "\\nand that", "with one line"),
    late: ("option layer: odd values", "with 'no-such-thing', KeyError", "check layer"),
}


@pytest.mark.parametrize("factory", BAD_OPTIONS, ids=lambda factory: factory.__name__)
def test_bad_options_are_blamed(factory, small):
    contract, seen, mend = BAD_OPTIONS[factory]
    error = broken(testing.check_objective, factory, small)
    assert error.contract == contract
    assert seen in error.seen
    assert mend in error.mend


def test_the_message_names_the_component_and_what_to_do(small):
    error = broken(testing.check_objective, wrong_default, small)
    assert str(error) == (
        "objective wrong_default breaks its contract: option scale: type and default\n"
        "    seen:     the default 0.5 of type float\n"
        "    expected: int\n"
        "    to mend:  give a default of the annotated type"
    )


def test_what_is_given_may_be_a_name_or_a_component():
    testing.check_objective("keras-listen:logit")
    with pytest.raises(ParameterError, match="no objective is called 'logitt'; did you mean"):
        testing.check_objective("logitt")
    with pytest.raises(ParameterError, match="no option of objective logit is called 'scale'"):
        testing.check_objective("logit", scale=1)


def test_an_option_without_a_default_is_given_to_the_check(small):
    testing.check_objective(without_default, small, scale=2)


def test_what_cannot_work_here_is_not_checked():
    registry = testing.IsolatedRegistry()

    def elsewhere(register):
        register("far", raw, unavailable=lambda: "too far away")

    far = registry.load(plugin_of(register_readers=elsewhere)).find("reader", "far")
    with pytest.raises(Unavailable, match=r"^reader far is unavailable: too far away$"):
        testing.check_reader(far)


def test_the_fixture_has_the_built_ins_and_what_is_loaded(listen_registry, small):
    assert {c.distribution for c in listen_registry.components} == {"keras-listen"}
    names = {(c.kind, c.name) for c in listen_registry.components}
    assert {("prior", "ae"), ("objective", "logit"), ("reader", "soundfile")} <= names
    mine = plugin_of(register_objectives=lambda register: register("mine", logit))
    component = listen_registry.load(mine, "keras-listen-mine", "0.3").find("objective", "mine")
    assert (component.distribution, component.version) == ("keras-listen-mine", "0.3")
    testing.check_objective(component, small)
    listen_registry.find("objective", "keras-listen-mine:mine")


def test_the_fixtures_components_go_together(listen_registry):
    listen_registry.load(plugin_of(register_priors=lambda register: register("wave", Wave)))
    bundle = testing.sounds.embedded_bundle()
    experiment = resolve(bundle, prior="wave", vocoder="none", registry=listen_registry)
    block = experiment.compute(experiment.noise_samples(["yes"], 1))
    assert block.maximization.scores[-1, 0] > block.maximization.scores[0, 0]


def test_the_fixture_is_fresh_and_nobody_elses(listen_registry):
    assert all(component.name != "mine" for component in listen_registry.components)
    assert all(component.name != "mine" for component in default_registry().components)


def test_the_fixture_says_why_a_plugin_cannot_be_loaded(listen_registry):
    with pytest.raises(PluginError, match="register_prior"):
        listen_registry.load(plugin_of(register_prior=lambda register: None))
    with pytest.raises(PluginError, match="no luck"):
        listen_registry.load(plugin_of(register_priors=lambda register: raised(OSError("no luck"))))
    # What was there before is there still.
    listen_registry.find("prior", "ae")


PYTEST = """
import sys
import keras_listen.testing

def test_nothing_big_is_there(listen_registry):
    assert listen_registry.find("prior", "ae")
    assert not {"tensorflow", "keras", "librosa", "numba"} & set(sys.modules)
"""


@pytest.mark.parametrize("automatic", [True, False], ids=["by its entry point", "by its name"])
def test_pytest_finds_the_fixture_without_tensorflow(automatic, tmp_path):
    known = {point.name for point in metadata.entry_points(group="pytest11")}
    if automatic and "keras_listen.testing" not in known:
        pytest.fail("the project must be installed again: pip install -e .")
    named = "" if automatic else 'pytest_plugins = ["keras_listen.testing"]\n'
    (tmp_path / "test_it.py").write_text(named + PYTEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    variables = {} if automatic else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("kind", ["prior", "objective", "vocoder", "reader"])
def test_there_is_a_check_of_each_kind(kind):
    check = getattr(testing, f"check_{kind}")
    assert f"hookspecs.register_{kind}s" in inspect.getdoc(check)
    assert next(iter(inspect.signature(check).parameters)) == kind
