"""Why a plugin failed, in one line, with the place in the plugin's own code."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable
from textwrap import shorten
from typing import Any

from ..errors import ListenError

_LONGEST = 400
_NODE = re.compile(r"\{\{function_node [^}]*\}\}")
_TRACEBACK = "Traceback (most recent call last)"


def reason(error: BaseException, plugin: Callable[..., Any] | str | None = None) -> str:
    """Return kind and message of an error, and where in the plugin's code it came from.

    Args:
        error: what was raised, however deep.
        plugin: a function of the plugin, or the name of its module.
    """
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    # Of what Python raised inside it, TensorFlow makes a text with names of nodes and a traceback.
    text = _NODE.sub("", text).partition(_TRACEBACK)[0]
    text = shorten(text, _LONGEST, placeholder=" …")
    if not isinstance(error, ListenError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = _place(error, _top(plugin)) if plugin is not None else None
    return f"{text} ({place})" if place else text


def definition(function: Callable[..., Any]) -> str:
    """Return file and line in which a function is defined, as `file:line`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _top(plugin: Callable[..., Any] | str) -> str:
    """Return the name of the module or package that a plugin is."""
    if not isinstance(plugin, str):
        function = inspect.unwrap(plugin)
        plugin = getattr(getattr(function, "func", function), "__module__", None) or ""
    return plugin.partition(".")[0]


def _place(error: BaseException, top: str) -> str | None:
    """Return the deepest place of the traceback that lies in the plugin's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] == top:
            place = f"{frame.f_code.co_filename}:{line}"
    return place
