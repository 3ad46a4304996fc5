"""Components: their options, how they are made, and what is said when that fails."""

from __future__ import annotations

import asyncio
import copy
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import numpy as np
import pytest
from plugin_folder import made_of

from keras_listen.errors import BundleError, ParameterError, PluginError, Unavailable
from keras_listen.features import FeatureSpec
from keras_listen.plugins import Component

if TYPE_CHECKING:
    from keras_listen.models.bundle import Bundle

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
    values = locals()
    return made_of(FeatureSpec(), values=values)


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
    made = component().create("the bundle", {name: text}).values
    assert made["bundle"] == "the bundle"
    assert made[name] == value
    assert type(made[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "width",
            "wide",
            r"option prior\.sample\.width of other 1.0 is 'wide'; expected float, .* 0\.5",
        ),
        ("steps", "1.5", r"steps of other 1.0 is '1\.5'; expected int, for instance 3"),
        ("fast", "maybe", "fast of other 1.0 is 'maybe'; expected bool, for instance False"),
        ("mode", "loud", "is 'loud'; expected 'soft' or 'hard', for instance 'soft'"),
        ("level", "3", "is '3'; expected 1 or 2, for instance 1"),
        ("limit", "high", r"limit of other 1.0 is 'high'; expected float \| None"),
        ("count", "many", "count of other 1.0 is 'many'; expected .*int"),
    ],
)
def test_a_bad_value_says_what_was_expected(name, text, message):
    with pytest.raises(ParameterError, match=message):
        component().create(None, {name: text})


def test_an_unknown_option_gets_its_nearest_match():
    with pytest.raises(
        ParameterError,
        match=r"no option of prior sample of other 1.0 is called 'widht'; did you "
        r"mean 'width'\? known: count, ",
    ):
        component().create(None, {"widht": "1"})


def demanding(bundle, *, words: str, width: float = 0.5, plain=3):
    """Need an option."""
    return made_of(FeatureSpec(), values=locals())


def test_an_option_without_a_default_is_required():
    made = component(demanding)
    assert [(o.name, o.required, o.default) for o in made.options] == [
        ("words", True, None),
        ("width", False, 0.5),
        ("plain", False, 3),
    ]
    with pytest.raises(ParameterError) as caught:
        made.create(None, {"width": "1"})
    assert str(caught.value) == (
        "prior sample of other 1.0 needs its option words (str); give -o prior.sample.words=VALUE"
    )
    assert made.create(None, {"words": "yes"}).values["words"] == "yes"


def test_a_default_of_a_narrower_type_tells_the_option_what_it_is():
    half = np.float64(0.5)

    def factory(bundle, *, size=half, folder=Path("a"), anything=None):
        return made_of(FeatureSpec(), values=locals())

    assert [o.type_name for o in component(factory).options] == ["float", "Path", "Any"]
    assert component(factory).create(None, {"size": "2"}).values["size"] == 2.0


def test_an_option_without_an_annotation_is_of_its_defaults_type():
    assert component(demanding).create(None, {"words": "", "plain": "7"}).values["plain"] == 7
    with pytest.raises(
        ParameterError, match=r"plain of other 1.0 is 'x'; expected int, for instance 3$"
    ):
        component(demanding).create(None, {"words": "", "plain": "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", [1.0]),
        ("width", True),
        ("steps", 1.5),
        ("fast", 1),
        ("mode", 3),
        ("level", 3),
        ("count", 1.5),
        ("name", 7),
        ("name", None),
    ],
)
def test_values_from_python_are_checked_too(name, value):
    with pytest.raises(
        ParameterError, match=rf"^option prior\.sample\.{name} of other 1.0 is .*; expected "
    ):
        component().create(None, {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 1), ("width", np.float32(1)), ("steps", np.int64(3)), ("limit", None), ("level", 2)],
)
def test_values_from_python_that_fit_are_passed_on(name, value):
    assert component().create(None, {name: value}).values[name] is value


def test_a_path_and_a_union_of_several_types_are_options():
    def factory(bundle, *, folder: Path = Path(), size: int | float | None = None, any_: Any = ()):
        return made_of(FeatureSpec(), values=locals())

    made = component(factory)
    given = {"folder": "a/b", "size": "2.5", "any_": "x"}
    assert made.create(None, given).values == {
        "bundle": None,
        "folder": Path("a/b"),
        "size": 2.5,
        "any_": "x",
    }
    assert made.create(None, {"size": "2"}).values["size"] == 2
    with pytest.raises(
        ParameterError, match=r"size of other 1.0 is 'x'; expected int \| float \| None"
    ):
        made.create(None, {"size": "x"})


def test_what_is_annotated_within_a_union_is_of_its_type():
    def factory(
        bundle,
        *,
        size: Annotated[int, "in bins"] | None = None,
        mode: Annotated[Literal["soft", "hard"], len, "how"] = "soft",
        bare: Literal["a", "b"] = "a",
    ):
        return made_of(FeatureSpec(), values=locals())

    made = component(factory)
    assert [(o.type_name, o.doc) for o in made.options] == [
        ("Optional[int]", ""),
        ("Literal['soft', 'hard']", "how"),
        ("Literal['a', 'b']", ""),
    ]
    assert made.create(None, {"size": "2"}).values["size"] == 2
    with pytest.raises(ParameterError, match=r"size of other 1\.0 is 'x'; expected "):
        made.create(None, {"size": "x"})


def test_a_component_knows_where_it_is_defined():
    line = sample_factory.__code__.co_firstlineno
    assert component().source == f"{__file__}:{line}"
    assert component(partial(sample_factory, steps=2)).source == f"{__file__}:{line}"
    assert component(dict).source is None


def test_a_class_is_a_factory():
    class Prior(SimpleNamespace):
        """Half of everything."""

        def __init__(self, bundle, *, scale: float = 0.5):
            super().__init__(**vars(made_of(FeatureSpec())), scale=scale)

    made = component(Prior)
    assert [(option.name, option.type) for option in made.options] == [("scale", float)]
    assert made.create(None, {"scale": "2"}).scale == 2.0


def annotated_for_type_checkers(bundle: Bundle, *, scale: float = 0.5) -> float:
    """Name the bundle's class, which is not imported here when the program runs."""
    return made_of(FeatureSpec(), scale=scale)


def test_annotations_for_type_checkers_do_no_harm():
    made = component(annotated_for_type_checkers)
    assert [option.name for option in made.options] == ["scale"]
    assert made.create(None, {"scale": "2"}).scale == 2.0


def test_an_unavailable_component_says_why():
    made = component(unavailable=lambda: "needs a\nnewer machine")
    assert made.why_unavailable() == "needs a newer machine"
    with pytest.raises(Unavailable) as caught:
        made.create()
    assert str(caught.value) == "prior sample of other 1.0 is unavailable: needs a newer machine"
    assert component(unavailable=lambda: None).create().values["steps"] == 3
    assert component().why_unavailable() is None


@pytest.mark.parametrize("error", [OSError, SystemExit, asyncio.CancelledError])
def test_a_failing_check_of_availability_is_a_reason(error):
    def check():
        raise error("no driver")

    made = component(unavailable=check)
    assert "no driver" in made.why_unavailable()
    with pytest.raises(Unavailable, match="no driver"):
        made.create()


def broken(bundle):
    raise KeyError("gone")


def test_a_failing_factory_of_a_plugin_is_blamed_on_it():
    with pytest.raises(PluginError) as caught:
        component(broken, "keras-listen-bad").create()
    line = broken.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        f"prior sample of keras-listen-bad 1.0 failed: KeyError: 'gone' ({__file__}:{line})"
    )
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_refused_option_is_said_to_be_the_components():
    def factory(bundle):
        raise ParameterError("steps is -1; expected at least 1")

    with pytest.raises(ParameterError, match=r"^prior sample: steps is -1; expected at least 1$"):
        component(factory).create()


def test_another_error_that_a_user_can_mend_is_passed_on():
    def factory(bundle):
        raise BundleError("there is no ae; train it")

    with pytest.raises(BundleError, match=r"^there is no ae; train it$"):
        component(factory).create()


@pytest.mark.parametrize(
    ("kind", "made", "lacks"),
    [
        ("prior", None, "spec, bounded, step_size, start, encode, decode"),
        ("prior", made_of(None, decode=3), "decode"),
        ("objective", 3, "__call__"),
        ("vocoder", SimpleNamespace(spec=1), "synthesize"),
        ("reader", None, "__call__"),
    ],
)
def test_what_is_no_component_is_blamed_on_its_factory(kind, made, lacks):
    with pytest.raises(PluginError) as caught:
        Component(kind, "mine", lambda bundle: made, "bad-one", "2.0").create()
    assert re.fullmatch(
        rf"{kind} mine of bad-one 2\.0: the factory made .+, which lacks {lacks}; see the contract "
        rf"of register_{kind}s",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step_size": 0}, "step_size is 0; expected a number above 0"),
        ({"step_size": "0.1"}, "step_size is '0.1'; expected a number above 0"),
        ({"step_size": float("nan")}, "step_size is nan; expected a number above 0"),
        ({"bounded": "no"}, "bounded is 'no'; expected True or False"),
    ],
)
def test_attributes_of_another_type_are_blamed_on_the_factory(changes, message):
    made = made_of(FeatureSpec(), **changes)
    with pytest.raises(PluginError) as caught:
        component(lambda bundle: made).create()
    assert str(caught.value) == f"prior sample of other 1.0: {message}"


def test_an_attribute_that_cannot_be_had_is_blamed_on_its_plugin():
    class Prior:
        start = encode = decode = lambda *arguments: None
        bounded, step_size, luck = True, 0.1, 0

        @property
        def spec(self):
            return 1 // self.luck

    with pytest.raises(PluginError, match=r"^prior sample of bad-one 1\.0 failed: ZeroDivisionErr"):
        component(lambda bundle: Prior(), "bad-one").create()
    # Later, too.
    Prior.luck = 1
    made = component(lambda bundle: Prior(), "bad-one").create()
    assert made.spec == 1
    Prior.luck = 0
    with pytest.raises(PluginError, match=r"^prior sample of bad-one 1\.0: spec failed: ZeroDiv"):
        _ = made.spec
    with pytest.raises(AttributeError):
        _ = made.nothing


def test_what_was_made_can_be_changed_through_what_watches_it():
    made = component().create()
    made.step_size = 0.5
    assert made.watched_made.step_size == 0.5
    assert copy.copy(made).step_size == 0.5


def test_an_equal_prior_is_watched_as_well_and_stays_the_same():
    plain = made_of(FeatureSpec())
    faster = made_of(FeatureSpec(), decode=lambda z: z[:, :1])
    plain.rewritten = faster
    made = component(lambda bundle: plain).create()
    assert made.rewritten is made.rewritten
    assert made.rewritten.watched_made is faster
    with pytest.raises(PluginError, match=r"decode returned \(2, 1, 80, 1\) of float32; expected "):
        made.rewritten.decode(np.zeros((2, 90, 80, 1), np.float32))


def test_an_objective_without_targets_needs_a_label():
    def objective(classifier, features, targets):
        return features

    objective.uses_targets = False
    made = Component("objective", "mine", lambda bundle: objective, "bad-one", "2.0")
    with pytest.raises(PluginError, match="which lacks label, which names samples without"):
        made.create()
    objective.label = 3
    with pytest.raises(PluginError, match=r"label is 3; expected a text$"):
        made.create()
    objective.label = "all"
    assert made.create().label == "all"


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_would_leave_the_program_is_blamed_on_its_plugin(error):
    def leave(*arguments):
        raise error("3")

    name = error.__name__
    with pytest.raises(PluginError, match=rf"^prior sample of bad-one 1.0 failed: {name}: 3 \("):
        component(leave, "bad-one").create()
    made = component(lambda bundle: made_of(FeatureSpec(), decode=leave), "bad-one").create()
    with pytest.raises(PluginError, match=rf"^prior sample of bad-one 1.0: decode failed: {name}"):
        made.decode(np.zeros((1, 2), np.float32))

    class Prior:
        spec = property(leave)

    with pytest.raises(PluginError, match=rf"^prior sample of bad-one 1.0 failed: {name}: 3 \("):
        component(lambda bundle: Prior(), "bad-one").create()


def test_an_interruption_is_not_taken_for_a_failure():
    def interrupt(*arguments):
        raise KeyboardInterrupt

    for factory in (interrupt, lambda bundle: made_of(FeatureSpec(), decode=interrupt)):
        with pytest.raises(KeyboardInterrupt):
            component(factory).create().decode(None)
    with pytest.raises(KeyboardInterrupt):
        component(unavailable=interrupt).why_unavailable()


def test_a_failing_factory_of_our_own_keeps_its_traceback():
    with pytest.raises(KeyError):
        component(broken, "keras-listen").create()
