"""Types of options: convert text to them, and check values.

Supported are bool, int, float, str, pathlib.Path, Literal, and unions of them and None. Values of
an option annotated with Any are passed on unchanged.
"""

from __future__ import annotations

import types
import typing
from numbers import Integral, Real
from pathlib import Path
from typing import Any

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
#: Types of the values that each annotation accepts.
_FITTING = {bool: bool, int: Integral, float: Real, str: str, Path: Path}

SIMPLE = tuple(_FITTING)
NONE = type(None)
#: Supported annotations, for messages.
KNOWN = "int, float, str, bool, pathlib.Path, a Literal, or some of these and None joined by |"


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union; any other type is the only member."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def is_plain(kind: Any) -> bool:
    """Return whether a type is a Literal or one of `SIMPLE`: text can be converted to it."""
    return typing.get_origin(kind) is typing.Literal or kind in SIMPLE


def is_known(kind: Any) -> bool:
    """Return whether an option may be annotated with this type."""
    return all(is_plain(member) or member in (NONE, Any) for member in members_of(kind))


def type_name(kind: Any) -> str:
    """Return a type as written in a signature."""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "")


def described(kind: Any) -> str:
    """Return what is expected of a value, for messages: the choices where it has some."""
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(kind))
    return type_name(kind)


def convert(value: Any, kind: Any) -> Any:
    """Convert text to the type `kind`; return any other value if it is of that type.

    Raises:
        ValueError: the value is not of that type.
    """
    if isinstance(value, str):
        return _from_text(value, kind)
    if not fits(value, kind):
        raise ValueError(value)
    return value


def _from_text(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        choices = {str(choice): choice for choice in typing.get_args(kind)}
        if text not in choices:
            raise ValueError(text)
        return choices[text]
    members = members_of(kind)
    if len(members) > 1:
        return _from_text_to_any(text, members)
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError(text)
    return kind(text) if kind in (int, float, Path) else text


def _from_text_to_any(text: str, members: tuple[Any, ...]) -> Any:
    """Convert text to the first member of a union that accepts it."""
    if NONE in members and text.lower() == "none":
        return None
    for member in members:
        if member is not NONE:
            try:
                return _from_text(text, member)
            except ValueError:
                continue
    raise ValueError(text)


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value is of an option's type; text is not converted."""
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    members = members_of(kind)
    if len(members) > 1:
        return any(fits(value, member) for member in members)
    if kind is NONE:
        return value is None
    if kind not in _FITTING:
        return True
    # A bool is an int, but nobody who writes True means 1.
    return isinstance(value, _FITTING[kind]) and (kind is bool or not isinstance(value, bool))
