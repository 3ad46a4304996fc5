"""Open the models that a user chose, and parse options of components.

Options are texts such as `prior.ae.start_deviation=0.2`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import ListenError, ModelError, ParameterError, unknown
from ..features import FeatureSpec
from ..models.bundle import Bundle, load_bundle
from ..models.classifier import Classifier, average_problem, load_classifier
from ..models.formats.keras_file import open_model
from ..models.problem import Problem
from ..models.sound_classifier import SoundClassifier, input_given, load_sound_classifier
from ..plugins import KINDS, Component
from .check import origin_of
from .chosen_model import ChosenModel, chosen_model
from .settings import ModelChoice

#: Values of options by kind and name of their component.
Options = Mapping[tuple[str, str], Mapping[str, Any]]


def open_models(
    choice: ModelChoice, options: Options | None = None, model: ChosenModel | None = None
) -> Bundle:
    """Open the chosen bundle, with the chosen classifier in its place.

    Args:
        choice: of the user.
        options: of components, those of a front end among them.
        model: from `chosen_model`, where that was called already.

    Raises:
        ListenError: a file is missing, damaged or does not fit.
    """
    bundle = load_bundle(choice.bundle)
    model = model or chosen_model(choice)
    if model is None:
        return bundle
    return bundle.with_classifier(
        open_classifier(model, bundle.spec, options, trust=choice.trust_model)
    )


def open_classifier(
    model: ChosenModel, spec: FeatureSpec, options: Options | None = None, *, trust: bool = False
) -> Classifier | SoundClassifier:
    """Open a classifier that a user brings.

    Args:
        model: the user's description.
        spec: of the features that a classifier behind a front end is climbed on.
        options: of components; those of the front end stand above its settings in the description.
        trust: open its file even if it holds Python code.

    Raises:
        ListenError: a file is missing or damaged, or the parts do not fit together.
    """
    with averages_first(model, trust=trust):
        words = model.require_words()
    component = model.frontend_component()
    how = {"builder": model.builder, "imports": model.imports, "head": model.head, "trust": trust}
    if component is None:
        opened = load_classifier(model.path, words, model.spec or FeatureSpec(), **how)
        opened.origin = origin_of(model)
        return opened
    mine = options_in_use(options_among(options or {}, [component]), {"frontend": component})
    settings = {**model.settings, **mine.get("frontend", {})}
    frontend = component.create(None, settings)
    opened = load_sound_classifier(model.path, words, frontend, spec, place=model.place, **how)
    opened.origin = origin_of(dataclasses.replace(model, settings=settings))
    return opened


@contextlib.contextmanager
def averages_first(model: ChosenModel, *, trust: bool = False) -> Iterator[None]:
    """Refuse a model on averages over time instead of any other fault that is met inside.

    No words and no recordings would mend it, so nobody should be asked for them.

    Args:
        model: the user's description.
        trust: open its file even if it holds Python code.

    Raises:
        ModelError: it takes averages over time.
    """
    try:
        yield
    except ListenError:
        if problem := _average_problem(model, trust):
            raise ModelError(f"the model {model.path}: {problem}") from None
        raise


def _average_problem(model: ChosenModel, trust: bool) -> Problem | None:
    """Return the problem of a model on averages that its front end does not give."""
    try:
        network = open_model(model.path, trust=trust, builder=model.builder, imports=model.imports)
        component = model.frontend_component()
        frontend = component and component.create(None, model.settings)
        given = frontend and input_given(frontend, FeatureSpec())
    except ListenError:
        return None
    shape = getattr(network, "input_shape", None)
    if not isinstance(shape, tuple) or (given and given[1:] == shape[1:]):
        return None
    return average_problem(shape)


def parse_options(texts: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Parse `KIND.NAME.KEY=VALUE` texts into options by kind and name.

    Raises:
        ParameterError: a text has another form or an unknown kind, or an option is given twice.
    """
    options: dict[tuple[str, str], dict[str, str]] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        # A distribution may have dots in its name, kinds and options have none.
        kind, _, rest = path.partition(".")
        name, _, key = rest.rpartition(".")
        simple = ":" in name or "." not in name
        if not (equals and kind and name and key and simple):
            raise ParameterError(
                f"option {text!r} was not understood; expected KIND.NAME.KEY=VALUE, such as "
                "prior.ae.start_deviation=0.2"
            )
        if kind not in KINDS:
            raise ParameterError(f"in option {text!r} {unknown('kind', kind, KINDS)}")
        mine = options.setdefault((kind, name), {})
        if key in mine:
            raise ParameterError(
                f"option {path} was given twice, as {mine[key]!r} and as {value!r}; drop one"
            )
        mine[key] = value
    return options


def options_in_use(options: Options, found: Mapping[str, Component]) -> dict[str, Mapping]:
    """Return the options of each kind of component.

    Raises:
        ParameterError: one is of a component that is not in use, or is given by two names.
    """
    mine: dict[str, dict[str, Any]] = {}
    spelled: dict[tuple[str, str], str] = {}
    for (kind, name), values in options.items():
        component = found.get(kind)
        if component is None or not component.is_called(name):
            used = f"the {kind} of this run is {component.name}" if component else f"no {kind}"
            key = next(iter(values))
            raise ParameterError(f"option {kind}.{name}.{key} was given, but {used}; drop it")
        # Options may use either name of their component, but no option both.
        for key in values:
            path = f"{kind}.{name}.{key}"
            if (other := spelled.setdefault((kind, key), path)) != path:
                raise ParameterError(
                    f"option {key} of {component.described} was given twice, as {other} and as "
                    f"{path}; drop one"
                )
        mine.setdefault(kind, {}).update(values)
    return mine


def options_among(options: Options, components: Iterable[Component]) -> dict[tuple, Mapping]:
    """Return the options of the given components."""
    components = tuple(components)
    return {key: values for key, values in options.items() if _is_among(key, components)}


def require_used(options: Options, components: Iterable[Component], nobody: str) -> None:
    """Refuse options of components that are not in use.

    Args:
        options: all that were given.
        components: in use.
        nobody: subject of the message, such as "no cell of the evaluation".

    Raises:
        ParameterError: one is of another component.
    """
    components = tuple(components)
    for (kind, name), values in options.items():
        if not _is_among((kind, name), components):
            raise ParameterError(
                f"option {kind}.{name}.{next(iter(values))} was given, but {nobody} has the {kind} "
                f"{name}; drop it"
            )


def _is_among(key: tuple[str, str], components: Iterable[Component]) -> bool:
    """Return whether one of the components has this kind and name."""
    kind, name = key
    return any(c.kind == kind and c.is_called(name) for c in components)
