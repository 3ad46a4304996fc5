"""Describe in one line why a plugin failed, with file and line of its own code."""

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
    """Return type and message of an exception, and the line of the plugin's code it came from.

    Args:
        error: the exception, which may have been raised in code that the plugin calls.
        plugin: a function of the plugin, or the name of its module; without it, no line is given.
    """
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    # TensorFlow adds names of nodes and a traceback to what Python code in a graph raised.
    text = _NODE.sub("", text).partition(_TRACEBACK)[0]
    text = shorten(text, _LONGEST, placeholder=" …")
    if not isinstance(error, ListenError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = _place(error, _top(plugin)) if plugin is not None else None
    return f"{text} ({place})" if place else text


def definition(function: Callable[..., Any]) -> str:
    """Return where a function is defined, as `file:line`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _top(plugin: Callable[..., Any] | str) -> str:
    """Return the name of a plugin's top-level module or package."""
    if not isinstance(plugin, str):
        function = inspect.unwrap(plugin)
        plugin = getattr(getattr(function, "func", function), "__module__", None) or ""
    return plugin.partition(".")[0]


def _place(error: BaseException, top: str) -> str | None:
    """Return the innermost line of the traceback that is in the plugin's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] == top:
            place = f"{frame.f_code.co_filename}:{line}"
    return place
