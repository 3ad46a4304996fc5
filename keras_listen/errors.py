"""The errors keras-listen raises on purpose.

Each message is one line: what was given, what was expected, how to mend it. The command line prints
it as it is and exits with status 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ListenError(Exception):
    """Base of every error that a user can mend."""


class ParameterError(ListenError, ValueError):
    """A value that no setting of the program can use."""


class ReadError(ListenError):
    """A sound that cannot be used: unreadable, empty, silent or not sound at all."""


class CorpusError(ListenError):
    """A corpus or store that is not there, is empty or has not enough words."""


class BundleError(ListenError):
    """A bundle that is incomplete, damaged or of another version."""


class ModelError(ListenError):
    """A model file that cannot be opened, or does not fit its words or features."""


class SpecError(ListenError):
    """Two components that were made for different features."""


class PluginError(ListenError):
    """A plugin that failed, or two that claim one name."""


class RunError(ListenError):
    """An output folder that cannot be used."""


class StudyError(ListenError):
    """An answer of a rater, or a request of one, that a study cannot take."""


class DatabaseError(StudyError):
    """A database of ratings that is locked, damaged, of another schema or not there."""


class ClusterError(ListenError):
    """A cluster that does not answer, has no workers, or whose workers cannot do the work."""


class Unavailable(ListenError):
    """A component that is known but cannot work here.

    Attributes:
        fallback: name of the component of the same kind to use instead, or None.
    """

    def __init__(self, reason: str, fallback: str | None = None):
        super().__init__(reason)
        self.fallback = fallback


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """Say that `given` is no known `what`, with the nearest match and all that are known."""
    known = sorted(known)
    near = get_close_matches(given, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"no {what} is called {given!r}; {hint}known: {', '.join(known) or 'none'}"
