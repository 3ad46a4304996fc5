"""Refuse what is known to be wrong before TensorFlow is imported, which takes seconds.

Names of components are known to the registry, words of a bundle to its `bundle.json`. Everything
else is found out later, with the same messages; nothing imported here imports TensorFlow, except
plugins that import it when they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..data.store import Store
from ..errors import ParameterError, unknown
from ..maximization.settings import require_ranges
from ..models.bundle import load_bundle
from ..plugins import Component, default_registry
from ..plugins.presets import PAPER
from .component_options import options_among, options_in_use, parse_options
from .presets import with_preset
from .samples import utterance_samples
from .settings import ModelChoice, SharedKeywords, SharedSettings

#: Parameters of the public functions that name components, by kind.
_NAMING = {
    "prior": ("prior", "priors"),
    "objective": ("objective", "objectives"),
    "vocoder": ("vocoder",),
    "reader": ("reader",),
    "frontend": ("frontend",),
}


def require_known(given: Mapping[str, Any], *, preset: str = PAPER) -> None:
    """Refuse names of components, presets, options and words that there are not.

    Args:
        given: the arguments of `listen` or of another public function that takes components.
        preset: the function's own, which holds where none is given.

    Raises:
        ListenError: as the function itself would raise.
    """
    found = _components(given)
    shared = SharedSettings.of(
        {k: v for k, v in given.items() if k in SharedKeywords.__annotations__}
    )
    used = [one for one in found if one.kind in ("prior", "vocoder")]
    shared = with_preset(shared, shared.preset or preset, used)
    _require_options(given, found, shared.options)
    ascent = shared.ascent
    require_ranges(ascent.steps, ascent.step_size, ascent.optimizer, ascent.stop_at)
    _require_words(given, shared.models)
    _require_starts(given)


def _require_words(given: Mapping[str, Any], models: ModelChoice) -> None:
    """Refuse words that the bundle's classifier does not have."""
    words, bundle = given.get("words") or (), load_bundle(models.bundle)
    # Words of a classifier that a user brings are checked when it is opened, those of a debugging
    # run are the store's.
    if "speakers" in given or models.classifier is not None:
        return
    for word in words:
        if word not in bundle.words:
            raise ParameterError(unknown("word of this classifier", word, bundle.words))


def _require_starts(given: Mapping[str, Any]) -> None:
    """Refuse starts and stores that do not exist."""
    start = given.get("start", "noise")
    if "prior" in given and start != "noise" and not Path(start).exists():
        utterance_samples(start, (), (), None)
    stores = [given.get("store"), given.get("speech")]
    if "priors" in given and start != "noise":
        stores.append(start)
    for store in stores:
        if store:
            Store.open(store)


def _components(given: Mapping[str, Any]) -> list[Component]:
    """Return the components that are named, in the order of `_NAMING`."""
    registry, found = default_registry(), []
    for kind, parameters in _NAMING.items():
        for parameter in parameters:
            value = given.get(parameter) or ()
            for name in (value,) if isinstance(value, str) else value:
                if (kind, name) != ("vocoder", "none"):
                    found.append(registry.find(kind, name))
    return found


def _require_options(
    given: Mapping[str, Any], found: Iterable[Component], texts: Iterable[str]
) -> None:
    """Refuse options that a component does not have, or that are of none in use.

    Args:
        given: the arguments of the function.
        found: the components named in it.
        texts: options, those of the preset among them.
    """
    options = parse_options(texts)
    # Conditions of a listening test name further components, a listen.toml its front end.
    if "combinations" not in given and "prior" in given:
        single = {one.kind: one for one in found if one.kind != "frontend"}
        options_in_use({k: v for k, v in options.items() if k[0] != "frontend"}, single)
    for component in found:
        mine: dict[str, Any] = {}
        for values in options_among(options, [component]).values():
            mine |= values
        component.convert_options(mine)
