"""Open the models that a user chose."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from ..errors import ListenError, ModelError
from ..features import FeatureSpec
from ..models.bundle import Bundle, load_bundle
from ..models.classifier import Classifier, average_problem, load_classifier
from ..models.formats.keras_file import open_model
from ..models.problem import Problem
from ..models.sound_classifier import SoundClassifier, input_given, load_sound_classifier
from .check import origin_of
from .chosen_model import ChosenModel, chosen_model
from .component_options import Options, options_among, options_in_use
from .settings import ModelChoice


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
