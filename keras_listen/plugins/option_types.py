"""The types of options: from text to value, and whether a value fits.

Known are bool, int, float, str, pathlib.Path, Literal, and unions of them and None. What is
annotated with Any is passed on as it is.
"""

from __future__ import annotations

import types
import typing
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
#: What a value may be, by the type that is asked for.
_FITTING = {bool: bool, int: Integral, float: Real, str: str, Path: Path}

SIMPLE = tuple(_FITTING)
#: What an option may be annotated with, for messages.
KNOWN = "int, float, str, bool, pathlib.Path, a Literal, or some of these and None joined by |"


def is_known(kind: Any) -> bool:
    """Say whether it is known what becomes of a text for an option of this type."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return all(map(is_known, typing.get_args(kind)))
    return typing.get_origin(kind) is typing.Literal or kind in (*SIMPLE, type(None), Any)


def type_name(kind: Any) -> str:
    """Return a type as it stands in a signature."""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "")


def convert(value: Any, kind: Any) -> Any:
    """Turn a text into `kind`; pass another value on if it fits.

    Raises:
        ValueError: it does not.
    """
    if isinstance(value, str):
        return _from_text(value, kind)
    if not fits(value, kind):
        raise ValueError(value)
    return value


def _from_text(text: str, kind: Any) -> Any:
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        choices = {str(member): member for member in members}
        if text not in choices:
            raise ValueError(text)
        return choices[text]
    if origin in (typing.Union, types.UnionType):
        return _from_text_to_any(text, members)
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError(text)
    return kind(text) if kind in (int, float, Path) else text


def _from_text_to_any(text: str, members: tuple[Any, ...]) -> Any:
    """Turn a text into the first member of a union that it fits."""
    if type(None) in members and text.lower() == "none":
        return None
    for member in members:
        if member is not type(None):
            try:
                return _from_text(text, member)
            except ValueError:
                continue
    raise ValueError(text)


def fits(value: Any, kind: Any) -> bool:
    """Say whether a value, no text to be converted, is of an option's type."""
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return value in members
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, member) for member in members)
    if kind is type(None):
        return value is None
    if kind not in _FITTING:
        return True
    # A bool is an int, but nobody who writes True means 1.
    return isinstance(value, _FITTING[kind]) and (kind is bool or not isinstance(value, bool))
