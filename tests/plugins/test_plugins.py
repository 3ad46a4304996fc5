"""Plugins in a registry: isolated, told apart, and explained when they fail."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from plugin_folder import brings, made_of, plugin, reader

from keras_listen import hookimpl, hookspecs
from keras_listen.errors import ParameterError, PluginError, Unavailable
from keras_listen.features import FeatureSpec
from keras_listen.plugins import Registry, default_registry, new_manager

HERE = __file__


class Loader:
    """A registry and a manager to load plugins with, as the program does."""

    def __init__(self):
        self.registry, self.manager = Registry(), new_manager()

    def load(self, module: Any, owner: str = "other", version: str = "1.0") -> Registry:
        self.registry.add_plugin(self.manager, module, (owner, version))
        return self.registry

    @property
    def reason(self) -> str:
        """Why the only plugin that failed did."""
        [failure] = self.registry.failures
        return failure.reason


@pytest.fixture
def loader() -> Loader:
    return Loader()


def line_of(function) -> str:
    """Return where a function is defined, as messages tell it."""
    return f"{HERE}:{function.__code__.co_firstlineno}"


def test_components_of_every_kind_are_found_and_created(loader):
    spec = FeatureSpec()
    made = {
        "prior": made_of(spec),
        "objective": lambda classifier, features, targets: features,
        "vocoder": made_of(spec, synthesize=lambda features, seeds: features),
        "reader": lambda paths, sample_rate: iter(()),
    }
    for kind, thing in made.items():
        factory = lambda bundle, thing=thing: thing  # noqa: E731
        loader.load(plugin(kind, **{f"register_{kind}s": brings("mine", factory)}))
        watched = loader.registry.create(kind, "mine", "the bundle")
        assert watched.watched_made is thing
        assert repr(watched) == f"<{kind} mine of other 1.0: {thing!r}>"
    assert loader.registry.failures == []
    assert [c.kind for c in loader.registry.components] == list(made)


def test_an_object_is_a_plugin_too(loader):
    class Plugin:
        @hookimpl
        def register_readers(self, register):
            register("bound", reader)

    registry = loader.load(Plugin())
    assert registry.failures == []
    assert list(registry.create("reader", "bound")([], 8000)) == []


def test_names_have_an_owner(loader):
    loader.load(plugin(register_priors=brings("mine")), "keras-listen-mine", "2.3")
    [component] = loader.registry.components
    assert (component.distribution, component.version) == ("keras-listen-mine", "2.3")
    assert component.full_name == "keras-listen-mine:mine"
    assert component.described == "prior mine of keras-listen-mine 2.3"


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
        register("first", reader)
        raise RuntimeError

    module = plugin(
        register_priors=brings("early"), register_readers=brings("late"), register_vocoders=half
    )
    loader.load(module)
    assert loader.registry.components == []
    assert loader.reason == "RuntimeError"
    assert not loader.manager.is_registered(module)
    # What it had registered is remembered, to tell of when it is asked for.
    [failure] = loader.registry.failures
    assert failure.components == (("prior", "early"), ("vocoder", "first"))


@pytest.mark.parametrize("error", [SystemExit("needs a licence"), GeneratorExit("needs a licence")])
def test_a_plugin_that_leaves_the_program_breaks_nothing_else(loader, error):
    def leave(register):
        raise error

    loader.load(plugin("bad", register_priors=leave))
    loader.load(plugin("good", register_priors=brings("good")))
    assert [c.name for c in loader.registry.components] == ["good"]
    assert loader.reason == f"{type(error).__name__}: needs a licence"


def test_an_interruption_is_not_taken_for_a_failure(loader):
    def interrupted(register):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loader.load(plugin(register_priors=interrupted))


def test_a_strict_registry_raises_what_others_report(loader, caplog):
    loader.registry.strict = True
    with pytest.raises(PluginError) as caught:
        loader.load(plugin(register_prior=brings("mine")), "bad-one", "0.1")
    assert str(caught.value).startswith("plugin bad-one 0.1 failed: ")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("register_prior", " (did you mean register_priors?)"), ("on_start", "")],
)
def test_a_misspelt_hook_is_named_with_its_place(loader, misspelt, meant):
    hook = brings("mine")
    loader.load(plugin("bad", **{misspelt: hook}))
    place = f"{hook.__code__.co_filename}:{hook.__code__.co_firstlineno}"
    assert loader.reason == (
        f"{place}: there is no hook {misspelt}{meant}; hooks are register_priors, "
        "register_objectives, register_vocoders, register_readers, register_frontends"
    )
    # It is forgotten: the next plugin is judged by its own hooks.
    loader.load(plugin("good", register_readers=brings("good")))
    assert len(loader.registry.failures) == 1
    assert list(loader.registry.create("reader", "good")([], 8000)) == []


@pytest.mark.parametrize(
    ("hook", "given"),
    [
        (lambda registr: None, "(registr) (did you mean register?)"),
        (lambda: None, "()"),
        (lambda register, bundle: None, "(register, bundle)"),
        (lambda **anything: None, "(anything)"),
    ],
)
def test_wrong_arguments_of_a_hook_are_named_with_their_place(loader, hook, given):
    loader.load(plugin(register_priors=hook))
    assert loader.reason == (
        f"{line_of(hook)}: register_priors takes {given}; expected one argument, register"
    )


def test_a_hook_that_is_not_marked_is_named(loader):
    module = plugin(register_readers=brings("mine"))

    def register_priors(register):
        register("lost", reader)

    module.register_priors = register_priors
    loader.load(module)
    assert loader.reason == (
        f"{line_of(register_priors)}: register_priors is not marked; write @hookimpl above it"
    )


def test_a_plugin_without_hooks_says_so(loader):
    loader.load(plugin())
    assert loader.reason == (
        "it has no hook; expected one of register_priors, register_objectives, register_vocoders, "
        "register_readers, register_frontends, below @hookimpl"
    )


def test_a_wrapper_is_no_hook(loader):
    module = plugin()

    @hookimpl(wrapper=True)
    def register_priors(register):
        yield

    module.register_priors = register_priors
    loader.load(module)
    assert "register_priors is a wrapper; hooks here are plain functions" in loader.reason


def test_a_hook_may_have_another_name(loader):
    module = plugin()

    @hookimpl(specname="register_readers")
    def mine(register):
        register("mine", reader)

    module.mine = mine
    loader.load(module)
    assert [c.full_name for c in loader.registry.components] == ["other:mine"]


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (hookspecs.API_VERSION, None),
        (
            hookspecs.API_VERSION + 1,
            "it was made for version 2 of the plugin hooks, here is version 1; upgrade "
            "keras-listen",
        ),
        (
            0,
            "it was made for version 0 of the plugin hooks, here is version 1; upgrade the plugin",
        ),
        ("1", "KERAS_LISTEN_API is '1'; expected a whole number, now 1"),
        (True, "KERAS_LISTEN_API is True; expected a whole number, now 1"),
    ],
)
def test_a_plugin_may_say_which_hooks_it_was_made_for(loader, declared, reason):
    module = plugin(register_priors=brings("mine"))
    module.KERAS_LISTEN_API = declared
    loader.load(module)
    assert [f.reason for f in loader.registry.failures] == ([reason] if reason else [])
    assert len(loader.registry.components) == (0 if reason else 1)


def test_one_plugin_cannot_register_a_name_twice(loader):
    def twice(register):
        register("mine", reader)
        register("mine", reader)

    loader.load(plugin(register_priors=twice))
    assert loader.registry.components == []
    assert loader.reason == "prior mine is registered twice"


def test_a_misspelt_argument_of_register_is_said_of_register(loader):
    loader.load(plugin(register_priors=brings("mine", unavailabel=None)))
    assert "TypeError: register() got an unexpected keyword argument" in loader.reason


def test_two_plugins_of_one_distribution_cannot_share_a_name(loader):
    loader.load(plugin("one", register_priors=brings("mine")), "both")
    loader.load(plugin("two", register_priors=brings("mine")), "both")
    assert [c.full_name for c in loader.registry.components] == ["both:mine"]
    assert loader.reason == "prior mine is registered twice"


def test_one_name_may_stand_for_components_of_two_kinds(loader):
    loader.load(plugin(register_objectives=brings("mine"), register_readers=brings("mine")))
    for kind in ("objective", "reader"):
        assert loader.registry.find(kind, "mine").kind == kind


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a/b", "ä", "-a", "a:b", "a=b", "x" * 65, 7])
def test_odd_names_are_refused_when_they_are_registered(loader, name):
    loader.load(plugin(register_priors=brings(name)))
    assert loader.registry.components == []
    assert loader.reason == (
        f"a prior is called {name!r}; expected at most 64 letters, digits, - and _, beginning with "
        "a letter or digit"
    )


def test_a_vocoder_cannot_be_called_none(loader):
    loader.load(plugin("good", register_priors=brings("none")))
    loader.load(plugin("bad", register_vocoders=brings("none")))
    assert loader.reason == "a vocoder is called 'none', which stands for having none"


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (3, r"prior mine is registered with 3; expected a factory, called as factory\(bundle"),
        (lambda: None, "the factory of prior mine takes no bundle; expected "),
        (
            lambda bundle, scale: None,
            "the factory of prior mine takes scale by place; options are keyword-only",
        ),
    ],
)
def test_a_factory_that_cannot_be_called_is_refused(loader, factory, message):
    loader.load(plugin(register_priors=brings("mine", factory)))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(loader.reason)


def test_annotations_that_cannot_be_read_are_refused(loader):
    def factory(bundle, *, device: NoSuchType = None):  # noqa: F821
        return None

    loader.load(plugin(register_priors=brings("mine", factory)))
    assert loader.reason == (
        "the options of prior mine have annotations that cannot be read: NameError: name "
        "'NoSuchType' is not defined"
    )


def of_list(bundle, *, ready: int = 0, layers: Annotated[list[int], "sizes"] = ()):
    return None


def of_mapping(bundle, *, weights: dict | None = None):
    return None


def of_several(bundle, *, size: float | tuple[float, float] = 1.0):
    return None


def of_odd_default(bundle, *, sizes=(1, 2)):
    return None


@pytest.mark.parametrize(
    ("factory", "name", "type_"),
    [
        (of_list, "layers", "list[int]"),
        (of_mapping, "weights", "dict | None"),
        (of_several, "size", "float | tuple[float, float]"),
        (of_odd_default, "sizes", "tuple"),
    ],
)
def test_options_of_which_a_text_cannot_tell_the_value_are_refused(loader, factory, name, type_):
    loader.load(plugin(register_priors=brings("mine", factory)))
    loader.load(plugin("good", register_priors=brings("good")))
    assert loader.reason == (
        f"option {name} of prior mine is of the type {type_}; expected int, float, str, bool, "
        "pathlib.Path, a Literal, or some of these and None joined by |; a text can be taken apart "
        "in the factory"
    )
    assert [component.name for component in loader.registry.components] == ["good"]


def test_two_plugins_with_one_name_are_told_apart_by_distribution(loader):
    for owner in ("red", "Blue_Sky"):
        loader.load(plugin(owner, register_priors=brings("mine")), owner)
    with pytest.raises(PluginError) as caught:
        loader.registry.find("prior", "mine")
    assert str(caught.value) == (
        "prior mine is claimed by Blue_Sky and red; name one: Blue_Sky:mine or red:mine"
    )
    assert loader.registry.find("prior", "red:mine").distribution == "red"
    # Names of distributions are compared as installers do.
    assert loader.registry.find("prior", "blue-sky:mine").distribution == "Blue_Sky"
    assert [loader.registry.use(c) for c in loader.registry.components] == [
        "red:mine",
        "Blue_Sky:mine",
    ]


def test_a_built_in_keeps_its_name(loader):
    loader.load(plugin("own", register_priors=brings("ae")), "keras-listen", "0")
    loader.load(plugin("shade", register_priors=brings("ae")), "shade")
    own, other = loader.registry.components
    assert loader.registry.find("prior", "ae") is own
    assert loader.registry.find("prior", "keras-listen:ae") is own
    assert loader.registry.find("prior", "shade:ae") is other
    assert [loader.registry.use(own), loader.registry.use(other)] == ["ae", "shade:ae"]


def test_an_unknown_component_gets_its_nearest_match(loader):
    loader.load(plugin("good", register_priors=brings("gauss")))
    with pytest.raises(ParameterError, match=r"no prior is called 'gaus'; did you mean 'gauss'\?"):
        loader.registry.find("prior", "gaus")
    with pytest.raises(ParameterError, match=r"called 'other:gaus'; did you mean 'other:gauss'\?"):
        loader.registry.find("prior", "other:gaus")
    with pytest.raises(ParameterError, match=r"no vocoder is called 'gauss'; known: none$"):
        loader.registry.find("vocoder", "gauss")


def test_asking_for_what_a_failed_plugin_registered_repeats_why(loader):
    def half(register):
        register("mine", reader)
        raise RuntimeError("no luck")

    loader.load(plugin("good", register_priors=brings("gauss")))
    loader.load(plugin("bad", register_priors=half), "bad-one")
    with pytest.raises(ParameterError) as caught:
        loader.registry.find("prior", "mine")
    why = "plugin bad-one 1.0 failed: RuntimeError: no luck"
    assert str(caught.value) == f"no prior is called 'mine' here: {why}"
    with pytest.raises(ParameterError) as caught:
        loader.registry.find("prior", "Bad_One:whatever")
    assert str(caught.value) == f"no prior is called 'Bad_One:whatever' here: {why}"
    # It may have brought this one, too: nobody can tell.
    with pytest.raises(ParameterError) as caught:
        loader.registry.find("prior", "other")
    assert str(caught.value) == (
        "no prior is called 'other'; known: gauss; it may be of a plugin that is left out: " + why
    )
    # A slip of the pen is explained as one, and so is what another plugin does not have.
    for name in ("gaus", "elsewhere:mine"):
        with pytest.raises(ParameterError) as caught:
            loader.registry.find("prior", name)
        assert "bad-one" not in str(caught.value)


def test_unavailable_is_registered_with_the_component(loader):
    loader.load(plugin(register_priors=brings("mine", unavailable=lambda: "not today")))
    with pytest.raises(Unavailable, match="not today"):
        loader.registry.create("prior", "mine")


def test_versions_are_those_of_plugins_that_loaded(loader):
    def fail(register):
        raise RuntimeError

    loader.load(plugin("own", register_priors=brings("ae")), "keras-listen", "0")
    loader.load(plugin("b", register_priors=brings("b")), "second", "2.0")
    loader.load(plugin("a", register_priors=brings("a")), "first", "1.0")
    loader.load(plugin("c", register_priors=fail), "third", "3.0")
    assert loader.registry.versions() == {"first": "1.0", "second": "2.0"}


def test_built_ins_are_plugins_of_this_distribution():
    found = default_registry().find("reader", "soundfile")
    assert found.distribution == "keras-listen"
    assert found is default_registry().find("reader", "keras-listen:soundfile")
