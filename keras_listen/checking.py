"""Watching what components do: where one is called, what it returns is checked, and a failure names
the plugin it came from.

Checks look at shapes and types, which TensorFlow knows while it traces, so they cost nothing in
each step; values are looked at where they are NumPy's anyway. Built-in components are checked like
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ListenError, ParameterError, PluginError, ReadError
from .faults import reason

if TYPE_CHECKING:
    from .components import Component

#: What each kind of component must have; those in the second tuple are called.
_NEEDED = {
    "prior": (("spec", "bounded", "step_size"), ("start", "encode", "decode")),
    "objective": ((), ("__call__",)),
    "vocoder": (("spec",), ("synthesize",)),
    "reader": ((), ("__call__",)),
}


class Watched:
    """What a factory made, with all its attributes; calls of its methods are checked.

    Attributes:
        watched_component: whose factory made it.
    """

    def __init__(self, made: Any, component: Component):
        self.__dict__.update(watched_made=made, watched_component=component)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "watched_")):
            raise AttributeError(name)
        value = _attribute(self, name)
        kind = self.watched_component.kind
        if name == "rewritten":
            # The engine's graphs are kept by the object they were made for: it must stay the same.
            value = self.__dict__[name] = Watched(value, self.watched_component)
        elif (kind, name) in _CHECKS:
            value = partial(_call, self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.watched_made, name, value)

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return _call(self, "__call__", self.watched_made, *arguments, **settings)

    def __repr__(self) -> str:
        return f"<{self.watched_component.described}: {self.watched_made!r}>"


def checked(made: Any, component: Component) -> Watched:
    """Watch what a component's factory made.

    Raises:
        PluginError: it lacks what its kind must have.
    """
    attributes, methods = _NEEDED[component.kind]
    missing = [name for name in attributes if not hasattr(made, name)]
    missing += [name for name in methods if not callable(getattr(made, name, None))]
    if not getattr(made, "uses_targets", True) and not hasattr(made, "label"):
        missing.append("label, which names samples without a target")
    if missing:
        raise PluginError(
            f"{component.described}: the factory made {_short(made)}, which lacks "
            f"{', '.join(missing)}; see the contract of register_{component.kind}s"
        )
    for name, fits, expected in _FITTING[component.kind]:
        value = getattr(made, name, None)
        if hasattr(made, name) and not fits(value):
            raise PluginError(f"{component.described}: {name} is {value!r}; expected {expected}")
    return Watched(made, component)


def _is_step(value: Any) -> bool:
    return isinstance(value, Real) and 0 < value < float("inf")


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


#: What attributes of each kind must be, where they are there.
_FITTING: dict[str, tuple[tuple[str, Callable[[Any], bool], str], ...]] = {
    "prior": (
        ("step_size", _is_step, "a number above 0"),
        ("bounded", _is_bool, "True or False"),
    ),
    "objective": (
        ("uses_targets", _is_bool, "True or False"),
        ("label", _is_text, "a text"),
    ),
    "vocoder": (),
    "reader": (),
}


def fault(made: Any, what: str, text: str) -> ListenError:
    """Return the error that blames what was made.

    Args:
        made: by a component's factory, or anything else.
        what: what it is called, where no plugin can be named, such as "the prior".
        text: what it did.
    """
    if isinstance(made, Watched) and not made.watched_component.is_own:
        return PluginError(f"{made.watched_component.described} {text}")
    return ParameterError(f"{what} {text}")


def is_foreign(made: Any) -> bool:
    """Say whether a plugin of another distribution made it."""
    return isinstance(made, Watched) and not made.watched_component.is_own


def _attribute(watched: Watched, name: str) -> Any:
    """Return an attribute of what was made; only that it is not there is no failure."""
    try:
        return getattr(watched.watched_made, name)
    except AttributeError:
        raise
    except Exception:
        made, component = watched.watched_made, watched.watched_component
        return _guarded(component, f"{name} ", partial(getattr, made, name))


def _call(watched: Watched, name: str, method: Callable, *arguments: Any, **settings: Any) -> Any:
    component = watched.watched_component
    called = "" if name == "__call__" else f"{name} "
    result = _guarded(component, called, partial(method, *arguments, **settings))
    result, wrong = _CHECKS[component.kind, name](watched, result, *arguments, **settings)
    if wrong:
        raise PluginError(f"{component.described}: {called}{wrong}")
    return result


def _guarded(component: Component, called: str, function: Callable[[], Any]) -> Any:
    """Call a plugin's function; blame the plugin for what it does not raise on purpose."""
    try:
        return function()
    except ListenError:
        raise
    except (Exception, SystemExit) as error:
        if component.is_own:
            raise
        why = reason(error, component.factory)
        raise PluginError(f"{component.described}: {called}failed: {why}") from error


def _unchecked(watched: Watched, result: Any, *given: Any, **named: Any) -> tuple[Any, str]:
    return result, ""


def _seconds(watched: Watched, result: Any, *given: Any, **named: Any) -> tuple[Any, str]:
    """Check what `seconds_for(sounds, frames)` returned."""
    return result, "" if isinstance(
        result, Real
    ) else f"returned {_short(result)}; expected seconds"


def _latents(watched: Watched, result: Any, *given: Any, **named: Any) -> tuple[Any, str]:
    """Check what `start(targets, seeds)` or `encode(features)` returned."""
    count = len((*given, *named.values())[0])
    if wrong := _not_numbers(result):
        return result, wrong
    if len(result.shape) < 2 or len(result) != count:
        return result, f"returned {_about(result)}; expected ({count}, ...), a latent a sample"
    if _holds_values(result) and not np.isfinite(result).all():
        return result, "returned values that are not finite"
    return result, ""


def _features(watched: Watched, result: Any, z: Any) -> tuple[Any, str]:
    """Check what `decode(z)` returned."""
    spec = watched.spec
    return result, _differs(result, (z.shape[0], spec.frames, spec.n_mels, 1))


def _change(watched: Watched, result: Any, z: Any, **settings: Any) -> tuple[Any, str]:
    """Check what `move(z, step, seeds)` returned."""
    return result, _differs(result, tuple(z.shape))


def _values(watched: Watched, result: Any, classifier: Any, features: Any, targets: Any):
    """Check what an objective returned."""
    return result, _differs(result, (features.shape[0],))


def _sounds(watched: Watched, result: Any, features: Any, seeds: Any) -> tuple[Any, str]:
    """Check what `synthesize(features, seeds)` returned."""
    if wrong := _not_numbers(result):
        return result, wrong
    if len(result.shape) != 2 or result.shape[0] != len(features):
        return result, f"returned {_about(result)}; expected ({len(features)}, samples)"
    if not np.isfinite(result).all():
        return result, "returned sounds with values that are not finite"
    return result, ""


def _pairs(watched: Watched, result: Any, paths: Iterable[Path], sample_rate: int):
    """Check what a reader yields, as it comes."""
    return _each_pair(watched.watched_component, result, list(paths)), ""


def _each_pair(component: Component, result: Any, paths: list[Path]) -> Iterator[tuple[Path, Any]]:
    pairs = _guarded(component, "", lambda: iter(result))
    for path in paths:
        pair = _guarded(component, f"reading {path} ", partial(next, pairs, None))
        if wrong := _wrong_pair(pair, path):
            raise PluginError(f"{component.described}: {wrong}")
        yield pair


def _wrong_pair(pair: Any, path: Path) -> str:
    if pair is None:
        return f"gave nothing for {path}; expected a pair for every path, in order"
    if not _is_pair(pair) or Path(pair[0]) != Path(path):
        return f"gave {_short(pair)} for {path}; expected (path, samples) of it, in order"
    if isinstance(pair[1], ReadError):
        return ""
    if wrong := _not_numbers(pair[1]):
        return f"{path}: {wrong}"
    if len(pair[1].shape) != 1:
        return f"{path}: returned {_about(pair[1])}; expected (samples,), mono"
    return ""


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str | Path)


def _not_numbers(result: Any) -> str:
    """Say what is wrong with a result that is no array of floating-point numbers."""
    if not hasattr(result, "shape") or not hasattr(result, "dtype"):
        return f"returned {_short(result)}; expected an array"
    if not np.issubdtype(_dtype(result), np.floating):
        return f"returned {_about(result)}; expected floating-point numbers"
    return ""


def _differs(result: Any, shape: tuple[int | None, ...]) -> str:
    """Say in what a tensor differs from a float32 one of the shape wanted."""
    wanted = f"{shape} of float32"
    if not hasattr(result, "shape") or not hasattr(result, "dtype"):
        return f"returned {_short(result)}; expected a tensor {wanted}"
    found = _known_shape(result)
    fits = (
        found is not None
        and len(found) == len(shape)
        and all(a == b or a is None or b is None for a, b in zip(found, shape, strict=True))
    )
    if fits and _dtype(result) == np.float32:
        return ""
    return f"returned {_about(result)}; expected {wanted}"


def _known_shape(array: Any) -> tuple[int | None, ...] | None:
    """Return the shape of an array; None where TensorFlow cannot tell while it traces."""
    try:
        return tuple(array.shape)
    except ValueError:
        return None


def _dtype(array: Any) -> np.dtype:
    return np.dtype(getattr(array.dtype, "as_numpy_dtype", array.dtype))


def _holds_values(array: Any) -> bool:
    """Say whether an array has values now; a tensor that is being traced has none."""
    return isinstance(array, np.ndarray) or hasattr(array, "numpy")


def _about(array: Any) -> str:
    shape = _known_shape(array)
    return f"{'an unknown shape' if shape is None else shape} of {_dtype(array).name}"


def _short(value: Any) -> str:
    """Return a value as a message can hold it."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{type(value).__name__}"


_CHECKS: dict[tuple[str, str], Callable[..., tuple[Any, str]]] = {
    ("prior", "start"): _latents,
    ("prior", "encode"): _latents,
    ("prior", "decode"): _features,
    ("prior", "move"): _change,
    ("objective", "__call__"): _values,
    ("prior", "refresh"): _unchecked,
    ("vocoder", "synthesize"): _sounds,
    ("vocoder", "seconds_for"): _seconds,
    ("reader", "__call__"): _pairs,
}
