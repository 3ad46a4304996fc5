"""What a check of a model found, and checks that never fail themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: of the check.
        ok: whether it passed; None for a note on something that works all the same.
        text: what was found.
        remedy: how to mend it; empty where there is nothing to mend.
    """

    name: str
    ok: bool | None
    text: str
    remedy: str = ""


def guarded(name: str, look: Callable[..., Finding], *arguments: Any) -> Finding:
    """Run a check; if the model fails in an unforeseen way, that is the finding."""
    try:
        return look(*arguments)
    except Exception as error:
        return failure(name, error)


def failure(name: str, error: Exception) -> Finding:
    """Return the finding that a model raised an error in a check."""
    reason = " ".join(str(error).split())[:200]
    return Finding(
        name,
        False,
        f"the model fails here: {type(error).__name__}: {reason}",
        "call it in Keras on one feature, mend what fails, and save it again",
    )
