"""Presets: what they set, what stands above them, how manifests, pages and resuming know them."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from helpers import assert_one_line, digests

import keras_listen
from keras_listen.errors import ParameterError, PluginError, RunError
from keras_listen.experiment.api import RunSettings
from keras_listen.experiment.experiment import resolve
from keras_listen.experiment.presets import with_preset
from keras_listen.experiment.settings import SharedSettings
from keras_listen.maximization.presets import ANY, COMMANDS, PRESETS
from keras_listen.maximization.settings import AscentSettings
from keras_listen.models.bundle import Bundle
from keras_listen.plugins import default_registry
from keras_listen.plugins.component import Component, require_proper
from keras_listen.plugins.presets import ASCENT
from keras_listen.vocoders.griffin_lim import griffin_lim

NATURAL = PRESETS["natural"]["prior"]["ae"]
PULL = f"prior.ae.learned_pull={NATURAL['options']['learned_pull']}"
OF_ASCENT = {name: value for name, value in NATURAL.items() if name != "options"}
QUICK = {"vocoder": "none", "words": ["up"], "samples": 2, "block_size": 2}


def command_of(run) -> dict:
    return json.loads((run.root / "manifest.json").read_text(encoding="utf-8"))["command"]


@pytest.fixture(scope="module")
def natural(bundle, tmp_path_factory):
    """A run as a user has it who says nothing."""
    return keras_listen.listen(
        bundle=bundle, **QUICK, out=tmp_path_factory.mktemp("natural") / "run"
    )


def test_run_is_natural_by_default_and_says_so(natural):
    command = command_of(natural)
    assert command["preset"] == "natural"
    assert {name: command[name] for name in OF_ASCENT} == OF_ASCENT
    assert command["options"] == [PULL]
    page = (natural.root / "index.html").read_text(encoding="utf-8")
    assert f"{OF_ASCENT['steps']} steps, seed 0, preset <b>natural</b>." in page


def test_natural_is_what_its_settings_are(natural, bundle, tmp_path):
    given = {**OF_ASCENT, "options": [PULL], "preset": "paper"}
    run = keras_listen.listen(bundle=bundle, **given, **QUICK, out=tmp_path / "run")
    assert "preset" not in command_of(run)
    made, wanted = digests(run.root), digests(natural.root)
    assert made.keys() == wanted.keys()
    assert {name for name in made if made[name] != wanted[name]} == {"manifest.json", "index.html"}


def test_paper_is_what_run_did_before_there_were_presets(bundle, tmp_path):
    run = keras_listen.listen(bundle=bundle, preset="paper", **QUICK, out=tmp_path / "run")
    command = command_of(run)
    assert list(command)[:3] == ["prior", "objective", "vocoder"]
    assert AscentSettings.of(command) == AscentSettings()
    assert command["options"] == []
    page = (run.root / "index.html").read_text(encoding="utf-8")
    assert "20 steps, seed 0.</p>" in page.replace("\n", "")


def test_what_is_given_stands_above_a_preset(bundle):
    def settled(**shared) -> dict:
        own = {"prior": "ae", "objective": "softmax", "vocoder": "none", "words": ()}
        own |= {"samples": None, "start": "noise", "reader": "soundfile"}
        return RunSettings.of(own | {"shared": shared}).command()

    # Also what is the default of the published settings, and 0.
    given = settled(steps=20, shift=0, options=["prior.keras-listen:ae.learned_pull=0"])
    assert (given["steps"], given["shift"]) == (20, 0)
    assert given["step_size"] == OF_ASCENT["step_size"]
    assert given["options"] == ["prior.keras-listen:ae.learned_pull=0"]
    mixed = settled(options=["prior.ae.start_deviation=0.2"])
    assert mixed["options"] == [PULL, "prior.ae.start_deviation=0.2"]


@pytest.mark.parametrize("prior", ["ae", "none"])
def test_a_run_of_before_is_continued_with_preset_paper(bundle, tmp_path, prior):
    # For none, natural sets nothing but a note.
    settings = {"bundle": bundle, "prior": prior, **QUICK, "out": tmp_path / "run"}
    run = keras_listen.listen(preset="paper", **settings)
    before = digests(run.root)
    message = "started with the preset paper, now it is natural; give --preset paper to continue"
    with pytest.raises(RunError, match=message) as caught:
        keras_listen.listen(**settings, resume=True)
    assert "\n" not in str(caught.value)
    assert digests(run.root) == before
    keras_listen.listen(preset="paper", **settings, resume=True)
    assert digests(run.root) == before


def test_other_settings_of_the_same_preset_are_named(natural, bundle):
    with pytest.raises(RunError, match=r"command\.seed 0, now 3"):
        keras_listen.listen(bundle=bundle, seed=3, **QUICK, out=natural.root, resume=True)


def test_a_folder_from_before_presets_had_names_is_continued(natural, bundle, tmp_path):
    shutil.copytree(natural.root, tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["command"]["preset"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    run = keras_listen.listen(bundle=bundle, **QUICK, out=tmp_path / "run", resume=True)
    assert len(run.rows) == 2


def test_a_bundle_without_a_denoiser_works_and_says_what_helps(bundle, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run = keras_listen.listen(bundle=bundle, **QUICK, steps=1, out=tmp_path / "run")
    (line,) = [one.getMessage() for one in caplog.records if one.name == "keras_listen"]
    assert f"the bundle {bundle} has no component ae-denoiser" in line
    assert line.endswith(f"keras-listen train STORE {bundle} --only ae-denoiser")
    assert run.manifest["notes"] == [line]
    assert line.replace("'", "&#39;") in (run.root / "index.html").read_text(encoding="utf-8")


def test_a_prior_that_a_preset_does_not_know_keeps_its_own_settings(call, bundle):
    few = ("--word", "up", "--vocoder", "none", "--block-size", 1, "--out", "run")
    done = call("run", "--bundle", bundle, "--prior", "none", "--preset", "natural", *few)
    assert done.status == 0
    assert "the preset natural has no settings for the prior none, which keeps its own" in done.err
    manifest = json.loads(Path("run/manifest.json").read_text(encoding="utf-8"))
    assert AscentSettings.of(manifest["command"]) == AscentSettings()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--preset", "natrual"],
            r"no preset is called 'natrual'; did you mean 'natural'\? known: natural, paper, tr",
        ),
        (
            ["run", "--preset", "natural", "-o", "prior.ae.pull=0.1"],
            r"prior ae: pull is 0\.1 and learned_pull 0\.\d+, given or by the preset; both .* to 0",
        ),
        (
            ["run", "--preset", "transfer", "--prior", "vae", "-o", "prior.vae.learned_pull=0.3"],
            r"prior vae: pull is 0\.02 and learned_pull 0\.3, given or by the preset",
        ),
        (["run", "-o", "prior.ae.learned_pull=1.5"], r"learned_pull is 1\.5; expected .* 0 to 1"),
        (["run", "-o", "prior.ae.learned_pull=nan"], "learned_pull is nan; expected"),
        (
            ["debug", ".", "--preset", "papier"],
            "no preset is called 'papier'; did you mean 'paper'",
        ),
        (["study", "make", ".", "new", "--preset", "x"], "no preset is called 'x'; known: natural"),
        (["evaluate", "--preset", "x"], "no preset is called 'x'; known: natural"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, tmp_path, arguments, message):
    assert_one_line(call(*arguments), message)
    assert not list(tmp_path.iterdir())


def test_the_contradiction_is_mended_as_its_message_says(call, bundle):
    options = ("-o", "prior.ae.pull=0.1", "-o", "prior.ae.learned_pull=0")
    few = ("--vocoder", "none", "--steps", 1, "--block-size", 1, "--word", "up")
    done = call("run", "--bundle", bundle, *few, "--preset", "natural", *options)
    # The small bundle does not say how its latents are distributed; the contradiction is gone.
    assert_one_line(done, "does not say how the latents of real speech are distributed")


def test_every_entry_of_the_table_is_of_a_component_and_can_be_set():
    registry = default_registry()
    for preset, kinds in PRESETS.items():
        for kind, names in kinds.items():
            for name in set(names) - {ANY}:
                component = registry.find(kind, name)
                assert component.presets[preset] == names[name]
                require_proper(component)
                shared = with_preset(SharedSettings(), preset, [component])
                component.convert_options(names[name].get("options", {}))
                assert shared.preset == preset
    assert {preset for of in COMMANDS.values() for preset in of} <= set(PRESETS)


def test_a_preset_can_set_every_setting_of_the_ascent():
    types = get_type_hints(AscentSettings)
    assert set(ASCENT) == {one.name for one in fields(AscentSettings)}
    for name, (kind, _) in ASCENT.items():
        assert types[name] in (kind, kind | None)


def made(kind: str, presets) -> Component:
    def plain(bundle, *, depth: float = 1.0):
        """Does nothing."""

    return Component(kind, "own", plain, "mine", "1", presets=presets)


@pytest.mark.parametrize(
    ("kind", "presets", "message"),
    [
        ("objective", {"natural": {}}, "objective own is registered with presets; only priors and"),
        ("prior", ["natural"], "presets of prior own are .*; expected a dictionary from"),
        ("prior", {"natural": 3}, "preset natural of prior own is 3; expected a dictionary"),
        (
            "prior",
            {"Natural!": {}},
            "preset of prior own is called 'Natural!'; expected at most 64",
        ),
        ("prior", {"paper": {}}, "brings a preset paper, which stands for the defaults"),
        ("prior", {"natural": {"step": 3}}, "sets 'step'; did you mean 'steps'. expected some of"),
        ("prior", {"natural": {"steps": "3"}}, "sets steps to '3'; expected int of at least 0"),
        ("prior", {"natural": {"steps": -1}}, "sets steps to -1; expected int of at least 0"),
        ("prior", {"natural": {"shift": 2.5}}, r"sets shift to 2\.5; expected int of at least 0"),
        ("prior", {"natural": {"keep_best": 1}}, "sets keep_best to 1; expected bool"),
        ("prior", {"natural": {"options": 3}}, "has the options 3; expected a dictionary"),
        (
            "prior",
            {"natural": {"options": {"dept": 2}}},
            "in preset natural of prior own, no option is called 'dept'; did you mean 'depth'",
        ),
        ("prior", {"natural": {"options": {"depth": "x"}}}, "option depth to 'x'; expected float"),
        ("vocoder", {"natural": {"steps": 3}}, "sets 'steps'; expected some of options"),
    ],
)
def test_presets_that_cannot_be_set_are_refused_when_they_are_registered(kind, presets, message):
    with pytest.raises(PluginError, match=message) as caught:
        require_proper(made(kind, presets))
    assert "\n" not in str(caught.value)


PLUGIN = '''
from keras_listen import hookimpl, priors

def softer(bundle, *, scale: float = 1.0):
    """Softer."""
    return priors.Identity(bundle.spec, scale)

@hookimpl
def register_priors(register):
    register("softer", softer, presets={
        "natural": {"steps": 3, "shift": 2, "options": {"scale": 0.5}},
        "vowels": {"steps": 4, "step_size": 0.5},
    })
'''


@pytest.fixture
def softer(tmp_path):
    """A folder with a plugin that brings presets."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mine.py").write_text(PLUGIN)
    before = keras_listen.configure_plugins()
    yield ("--plugins-dir", tmp_path / "plugins")
    keras_listen.configure_plugins(folders=before.folders)


def test_plugins_bring_presets(call, softer, bundle):
    few = ("run", "--bundle", bundle, "--prior", "softer", "--vocoder", "none", "--word", "up")
    for preset, steps, options in (("natural", 3, ["prior.softer.scale=0.5"]), ("vowels", 4, [])):
        given = ("--block-size", 1, "--preset", preset, "--out", preset)
        done = call(*softer, *few, *given)
        assert done.status == 0, done.err
        with open(f"{preset}/manifest.json", encoding="utf-8") as file:
            command = json.load(file)["command"]
        assert (command["preset"], command["steps"]) == (preset, steps)
        assert command["options"] == options
    shown = call(*softer, "plugins", "show", "softer").out
    assert "natural  steps=3, shift=2, scale=0.5" in shown
    (entry,) = json.loads(call(*softer, "plugins", "show", "softer", "--json").out)
    assert entry["presets"]["vowels"] == {"steps": 4, "step_size": 0.5}


def test_a_fallback_has_the_options_that_the_preset_has_for_it(bundle, monkeypatch):
    def find(kind: str, name: str) -> Component:
        if name == "absent":
            return Component(
                "vocoder", "absent", griffin_lim, "mine", "1", lambda: "it is absent", "quiet"
            )
        if name == "quiet":
            presets = {"natural": {"options": {"iterations": 3}}}
            return Component("vocoder", "quiet", griffin_lim, "mine", "1", presets=presets)
        return registry.find(kind, name)

    registry = default_registry()
    looked = type("Looked", (), {"find": staticmethod(find)})()
    made = resolve(Bundle(bundle), vocoder="absent", preset="natural", registry=looked)
    assert made.components["vocoder"].name == "quiet"
    assert made.vocoder.iterations == 3


def test_a_study_takes_a_preset_for_the_prior_of_each_condition(bundle, tmp_path):
    from keras_listen.listening_test.make.conditions import make_conditions, parse_combination

    names = {"prior": "none", "objective": "softmax", "vocoder": "griffin-lim"}
    asked = [
        parse_combination(text, names)
        for text in ("label=a", "prior=ae", "prior=ae,steps=2,prior.learned_pull=0")
    ]
    shared = SharedSettings(preset="natural", block_size=2)
    none, ae, own = (
        one.settings
        for one in make_conditions(Bundle(bundle), asked, shared=shared)
        if one.start == "noise"
    )
    assert none["steps"] == 20
    assert {name: ae[name] for name in OF_ASCENT} == OF_ASCENT
    assert ae["prior.learned_pull"] == NATURAL["options"]["learned_pull"]
    assert own["steps"] == 2
    # At their default, later options change no name of a recording.
    assert "prior.learned_pull" not in {**own, **none}
    assert own["shift"] == OF_ASCENT["shift"]


def test_an_unknown_preset_is_refused_from_python(bundle, tmp_path):
    with pytest.raises(ParameterError, match="no preset is called 'Paper'; did you mean 'paper'"):
        keras_listen.listen(bundle=bundle, preset="Paper", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_learned_pull_makes_words_that_other_networks_know(tmp_path):
    """On two starts of each word of the embedded bundle: far outside of chance."""
    bundle = keras_listen.load_bundle()
    few = {"vocoder": "none", "samples": 2, "seed": 5, "block_size": 34}
    agreed = {}
    for preset in ("paper", "natural"):
        run = keras_listen.listen(preset=preset, **few, out=tmp_path / preset)
        features = np.stack([np.load(run.root / f"{row['id']}.npy") for row in run.rows])
        heard = bundle.referees["separable"].predict(features[..., None]).argmax(axis=1)
        wanted = [bundle.words.index(row["word"]) for row in run.rows]
        agreed[preset] = (heard == wanted).mean()
    assert agreed["natural"] > 0.85
    assert agreed["natural"] > agreed["paper"] + 0.2
