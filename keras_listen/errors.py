"""Errors that keras-listen raises for problems that a user can fix.

Each message is one line: what was given, what was expected, how to fix it. The command line prints
the message alone and exits with status 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path


class ListenError(Exception):
    """Base class of errors that a user can fix."""


class ParameterError(ListenError, ValueError):
    """A setting has an invalid value."""


class ReadError(ListenError):
    """A sound file cannot be used: it is unreadable, empty, silent or no sound at all."""


class CorpusError(ListenError):
    """A corpus or store is missing, damaged, empty or has too few words."""


class BundleError(ListenError):
    """A bundle is incomplete, damaged or of another version."""


class ModelError(ListenError):
    """A model file cannot be opened, or the model does not fit its words or features."""


class SpecError(ListenError):
    """Two components were made for different features."""


class PluginError(ListenError):
    """A plugin failed, or two plugins register the same name."""


class RunError(ListenError):
    """An output folder cannot be used or written."""


class StudyError(ListenError):
    """A listening test cannot accept a rater's answer or request."""


class DatabaseError(StudyError):
    """A database of ratings is locked, damaged, missing or has another schema."""


class ClusterError(ListenError):
    """A cluster does not answer, has no workers, or its workers cannot compute the jobs."""


class Unavailable(ListenError):
    """A component is registered but cannot work on this machine.

    Args:
        reason: one line.
        fallback: name of the component of the same kind to use instead, or None.

    Attributes:
        fallback: as given.
    """

    def __init__(self, reason: str, fallback: str | None = None):
        super().__init__(reason)
        self.fallback = fallback


#: Of more names than these a message has the nearest only, where something else lists them all.
MOST_NAMES = 25


def unknown(what: str, given: str, known: Iterable[str], listed_by: str | None = None) -> str:
    """Return the message that no `what` is called `given`, with the nearest and all known names.

    Args:
        what: kind of the name.
        given: the unknown name.
        known: all known ones.
        listed_by: command that lists them, named in their place where there are many.
    """
    known = sorted(known)
    near = get_close_matches(given, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if listed_by and len(known) > MOST_NAMES:
        return f"no {what} is called {given!r}; {hint}{listed_by} shows all {len(known)}"
    return f"no {what} is called {given!r}; {hint}known: {', '.join(known) or 'none'}"


def install_command(extra: str) -> str:
    """Return the command that installs an extra of this project, from where it was installed.

    From a checkout that is its folder, since an index need not have the project.

    Args:
        extra: such as "study".
    """
    # Needed for messages alone.
    import json
    from importlib import metadata

    name = "keras-listen"
    folder = Path(__file__).resolve().parents[1]
    project = folder / "setup.cfg"
    here = project.is_file() and f"name = {name}\n" in project.read_text(encoding="utf-8")
    # In a checkout there may be metadata of a build, too, which don't say where it is from.
    texts = [one.read_text("direct_url.json") for one in metadata.distributions(name=name)]
    about: dict = {}
    with suppress(ValueError):
        about = json.loads(next(filter(None, texts), "{}"))
    url, details = about.get("url", ""), about.get("dir_info")
    if here or details is not None:
        editable = "-e " if (details or {}).get("editable") else ""
        return f"pip install {editable}'.[{extra}]' in the project's folder"
    if version_control := about.get("vcs_info"):
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    source = f" @ {url}" if url else ""
    return f"pip install '{name}[{extra}]{source}'"
