"""Plugins: found, isolated, told apart, and explained when they fail."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest

from keras_listen.errors import ParameterError, PluginError, Unavailable
from keras_listen.hookspecs import hookimpl
from keras_listen.plugins import Component, Registry, default_registry, new_manager

if TYPE_CHECKING:
    from keras_listen.bundle import Bundle


def plugin(name: str = "plugin", **hooks) -> types.ModuleType:
    """Return a module whose hooks are the functions given."""
    module = types.ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def brings(name: str, factory=lambda bundle: "made", **settings):
    """Return a hook that registers one component."""

    def hook(register):
        register(name, factory, **settings)

    return hook


class Loader:
    """A registry and a manager to load plugins with, as the program does."""

    def __init__(self):
        self.registry, self.manager = Registry(), new_manager()

    def load(self, module: Any, owner: str = "other", version: str = "1.0") -> Registry:
        self.registry.add_plugin(self.manager, module, (owner, version))
        return self.registry


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_components_of_every_kind_are_found_and_created(loader):
    for kind in ("prior", "objective", "vocoder", "reader"):
        factory = lambda bundle, kind=kind: (kind, bundle)  # noqa: E731
        loader.load(plugin(kind, **{f"register_{kind}s": brings("mine", factory)}))
        assert loader.registry.create(kind, "mine", "the bundle") == (kind, "the bundle")
    assert loader.registry.failures == []
    assert [c.kind for c in loader.registry.components] == [
        "prior",
        "objective",
        "vocoder",
        "reader",
    ]


def test_an_object_is_a_plugin_too(loader):
    class Plugin:
        @hookimpl
        def register_priors(self, register):
            register("bound", lambda bundle: "from a method")

    assert loader.load(Plugin()).create("prior", "bound") == "from a method"


def test_names_have_an_owner(loader):
    loader.load(plugin(register_priors=brings("mine")), "keras-listen-mine", "2.3")
    [component] = loader.registry.components
    assert (component.distribution, component.version) == ("keras-listen-mine", "2.3")
    assert component.full_name == "keras-listen-mine:mine"


def test_a_failing_plugin_breaks_nothing_else(loader, caplog):
    def fail(register):
        raise RuntimeError("no such\n  luck")

    loader.load(plugin("before", register_priors=brings("before")))
    with caplog.at_level(logging.WARNING, "keras_listen"):
        loader.load(plugin("bad", register_priors=fail), "bad-one", "0.1")
    loader.load(plugin("after", register_priors=brings("after")))

    assert [c.name for c in loader.registry.components] == ["before", "after"]
    [failure] = loader.registry.failures
    assert (failure.distribution, failure.version) == ("bad-one", "0.1")
    assert failure.reason == "RuntimeError: no such luck"
    [record] = caplog.records
    assert record.getMessage() == (
        "plugin bad-one 0.1 failed and is left out: RuntimeError: no such luck"
    )


def test_a_plugin_that_fails_half_way_leaves_nothing_behind(loader):
    def half(register):
        register("first", lambda bundle: None)
        raise RuntimeError

    module = plugin(
        register_priors=brings("early"), register_readers=brings("late"), register_vocoders=half
    )
    loader.load(module)
    assert loader.registry.components == []
    assert len(loader.registry.failures) == 1
    assert not loader.manager.is_registered(module)


def test_a_plugin_that_exits_breaks_nothing_else(loader):
    def leave(register):
        sys.exit("needs a licence")

    loader.load(plugin("bad", register_priors=leave))
    loader.load(plugin("good", register_priors=brings("good")))
    assert [c.name for c in loader.registry.components] == ["good"]
    assert "needs a licence" in loader.registry.failures[0].reason


def test_a_misspelt_hook_is_named(loader):
    loader.load(plugin("bad", register_prior=brings("mine")))
    assert "unknown hook 'register_prior'" in loader.registry.failures[0].reason
    # It is forgotten: the next plugin is judged by its own hooks.
    loader.load(plugin("good", register_priors=brings("good")))
    assert len(loader.registry.failures) == 1
    assert loader.registry.create("prior", "good") == "made"


def test_a_misspelt_argument_of_a_hook_is_named(loader):
    loader.load(plugin(register_priors=lambda registry: None))
    assert "Argument(s) {'registry'} are declared" in loader.registry.failures[0].reason


def test_one_plugin_cannot_register_a_name_twice(loader):
    def twice(register):
        register("mine", lambda bundle: 1)
        register("mine", lambda bundle: 2)

    loader.load(plugin(register_priors=twice))
    assert loader.registry.components == []
    assert loader.registry.failures[0].reason == "PluginError: prior mine is registered twice"


def test_one_name_may_stand_for_components_of_two_kinds(loader):
    module = plugin(
        register_priors=brings("mine", lambda bundle: "prior"),
        register_readers=brings("mine", lambda bundle: "reader"),
    )
    registry = loader.load(module)
    assert registry.create("prior", "mine") == "prior"
    assert registry.create("reader", "mine") == "reader"


def test_two_plugins_with_one_name_are_told_apart_by_distribution(loader):
    for owner in ("red", "blue"):
        hook = brings("mine", lambda bundle, owner=owner: owner)
        loader.load(plugin(owner, register_priors=hook), owner)
    with pytest.raises(PluginError) as caught:
        loader.registry.create("prior", "mine")
    assert str(caught.value) == (
        "prior mine is claimed by blue and red; name one: blue:mine or red:mine"
    )
    assert loader.registry.create("prior", "red:mine") == "red"
    assert loader.registry.create("prior", "blue:mine") == "blue"


def test_an_unknown_component_gets_its_nearest_match_and_the_failures(loader):
    loader.load(plugin("good", register_priors=brings("gauss")))
    with pytest.raises(ParameterError, match=r"no prior is called 'gaus'; did you mean 'gauss'\?"):
        loader.registry.find("prior", "gaus")
    with pytest.raises(ParameterError, match=r"no vocoder is called 'gauss'; known: none$"):
        loader.registry.find("vocoder", "gauss")
    loader.load(plugin("bad", register_prior=brings("x")), "bad-one")
    with pytest.raises(ParameterError, match=r"; plugin bad-one failed: .*register_prior"):
        loader.registry.find("prior", "x")


Width = Annotated[float, "how wide it is"]


def sample_factory(
    bundle,
    *,
    width: Width = 0.5,
    steps: int = 3,
    fast: bool = False,
    mode: Literal["soft", "hard"] = "soft",
    level: Literal[1, 2] = 1,
    limit: float | None = None,
    count: Optional[int] = 4,  # noqa: UP045 plugins may be written this way
    name: str = "x",
):
    """Make nothing of use.

    And say no more.
    """
    return locals()


def component(factory=sample_factory, distribution: str = "other", **settings) -> Component:
    return Component("prior", "sample", factory, distribution, "1.0", **settings)


def test_options_are_the_keyword_only_arguments():
    options = {option.name: option for option in component().options}
    assert list(options) == [
        "width",
        "steps",
        "fast",
        "mode",
        "level",
        "limit",
        "count",
        "name",
    ]
    assert (options["width"].default, options["width"].doc) == (0.5, "how wide it is")
    assert options["width"].type_name == "float"
    assert options["limit"].type_name == "float | None"
    assert component().doc == "Make nothing of use."


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("width", "1e-3", 0.001),
        ("steps", "12", 12),
        ("fast", "yes", True),
        ("fast", "True", True),
        ("fast", "1", True),
        ("fast", "off", False),
        ("fast", "False", False),
        ("mode", "hard", "hard"),
        ("level", "2", 2),
        ("limit", "none", None),
        ("limit", "2.5", 2.5),
        ("count", "None", None),
        ("count", "7", 7),
        ("name", "12", "12"),
        ("width", 2, 2),
    ],
)
def test_strings_become_what_the_signature_says(name, text, value):
    made = component().create("the bundle", {name: text})
    assert made["bundle"] == "the bundle"
    assert made[name] == value
    assert type(made[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "width",
            "wide",
            r"option prior\.sample\.width is 'wide'; expected float, for instance 0\.5",
        ),
        ("steps", "1.5", r"steps is '1\.5'; expected int, for instance 3"),
        ("fast", "maybe", "fast is 'maybe'; expected bool, for instance False"),
        ("limit", "high", r"limit is 'high'; expected float \| None"),
        ("mode", "loud", "mode is 'loud'; expected .*soft.*hard"),
        ("count", "many", "count is 'many'; expected .*int"),
    ],
)
def test_a_bad_value_says_what_was_expected(name, text, message):
    with pytest.raises(ParameterError, match=message):
        component().create(None, {name: text})


def test_an_unknown_option_gets_its_nearest_match():
    with pytest.raises(
        ParameterError,
        match=r"no option of prior sample is called 'widht'; did you "
        r"mean 'width'\? known: count, ",
    ):
        component().create(None, {"widht": "1"})


def test_a_class_is_a_factory():
    class Prior:
        """Half of everything."""

        def __init__(self, bundle, *, scale: float = 0.5):
            self.scale = scale

    made = component(Prior)
    assert [(option.name, option.type) for option in made.options] == [("scale", float)]
    assert made.create(None, {"scale": "2"}).scale == 2.0


def annotated_for_type_checkers(bundle: Bundle, *, scale: float = 0.5) -> float:
    """Name the bundle's class, which is not imported here when the program runs."""
    return scale


def test_annotations_for_type_checkers_do_no_harm():
    made = component(annotated_for_type_checkers)
    assert [option.name for option in made.options] == ["scale"]
    assert made.create(None, {"scale": "2"}) == 2.0


def test_an_unavailable_component_says_why():
    made = component(unavailable=lambda: "needs a newer machine")
    assert made.why_unavailable() == "needs a newer machine"
    with pytest.raises(Unavailable, match=r"^prior sample is unavailable: needs a newer machine$"):
        made.create()
    assert component(unavailable=lambda: None).create()["steps"] == 3
    assert component().why_unavailable() is None


def test_unavailable_is_registered_with_the_component(loader):
    loader.load(plugin(register_priors=brings("mine", unavailable=lambda: "not today")))
    with pytest.raises(Unavailable, match="not today"):
        loader.registry.create("prior", "mine")


def test_a_failing_check_of_availability_is_a_reason():
    def check():
        raise OSError("no driver")

    made = component(unavailable=check)
    assert "no driver" in made.why_unavailable()
    with pytest.raises(Unavailable, match="no driver"):
        made.create()


def broken(bundle):
    raise KeyError("gone")


def test_a_failing_factory_of_a_plugin_is_blamed_on_it():
    with pytest.raises(PluginError) as caught:
        component(broken, "keras-listen-bad").create()
    assert str(caught.value) == "prior sample of keras-listen-bad 1.0 failed: KeyError: 'gone'"
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_that_a_user_can_mend_is_passed_on():
    def factory(bundle):
        raise ParameterError("steps is -1; expected at least 1")

    with pytest.raises(ParameterError, match=r"^steps is -1; expected at least 1$"):
        component(factory).create()


def test_a_failing_factory_of_our_own_keeps_its_traceback():
    with pytest.raises(KeyError):
        component(broken, "keras-listen").create()


def test_built_ins_are_plugins_of_this_distribution():
    found = default_registry().find("reader", "soundfile")
    assert found.distribution == "keras-listen"
    assert found is default_registry().find("reader", "keras-listen:soundfile")


def install(folder: Path, distribution: str, module: str, code: str) -> None:
    """Write a module and what an installer would write about its distribution."""
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{distribution.replace('-', '_')}-0.7.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.7\n")
    (about / "entry_points.txt").write_text(f"[keras_listen]\n{module} = {module}\n")


GOOD = """
from keras_listen.hookspecs import hookimpl

@hookimpl
def register_readers(register):
    def raw(bundle, *, gain: float = 1.0):
        return lambda paths, rate: [(path, gain) for path in paths]
    register("raw", raw)
"""

LIST = """
import json
from keras_listen.plugins import default_registry
registry = default_registry()
print(json.dumps({
    "components": [c.full_name for c in registry.components],
    "versions": sorted({c.version for c in registry.components if c.name == "raw"}),
    "failures": [[f.distribution, f.version, f.reason] for f in registry.failures],
    "read": registry.create("reader", "raw", None, {"gain": "2"})(["a.raw"], 8000),
}))
"""


def run_with(folder: Path) -> tuple[dict, str]:
    """List the plugins in a process that finds those of `folder`; return the list and the log."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", LIST],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_installed_plugins_are_found_by_their_entry_points(tmp_path):
    install(tmp_path, "keras-listen-raw", "listen_raw", GOOD)
    install(tmp_path, "keras-listen-broken", "listen_broken", "import no_such_module\n")
    install(tmp_path, "keras-listen-typo", "listen_typo", GOOD.replace("_readers", "_reader"))
    found, log = run_with(tmp_path)
    assert "keras-listen-raw:raw" in found["components"]
    assert "keras-listen:soundfile" in found["components"]
    assert found["versions"] == ["0.7"]
    assert found["read"] == [["a.raw", 2.0]]
    reasons = {name: reason for name, _, reason in found["failures"]}
    assert set(reasons) == {"keras-listen-broken", "keras-listen-typo"}
    assert "No module named 'no_such_module'" in reasons["keras-listen-broken"]
    assert "unknown hook 'register_reader'" in reasons["keras-listen-typo"]
    # Each is reported, once.
    assert log.count("failed and is left out") == 2


def test_an_installed_plugin_that_exits_breaks_nothing_else(tmp_path):
    install(tmp_path, "keras-listen-raw", "listen_raw", GOOD)
    install(tmp_path, "keras-listen-exit", "listen_exit", "raise SystemExit('not here')\n")
    found, _ = run_with(tmp_path)
    assert found["read"] == [["a.raw", 2.0]]
    [(name, _, reason)] = found["failures"]
    assert name == "keras-listen-exit"
    assert "not here" in reason
