"""What doctor found of a model on recordings: the table `[checked]` of a `listen.toml`.

It is of one model, used in one way; a fingerprint tells whether either has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models.provenance import Origin
from ..output.files import sha256
from .chosen_model import ChosenModel
from .hearing import Hearing


def checked_table(model: ChosenModel, heard: Hearing) -> dict[str, Any]:
    """Return what a `listen.toml` keeps of a check, as its table `[checked]`."""
    return {
        "accuracy": round(heard.accuracy, 4),
        "chance": round(heard.chance, 4),
        "bound": round(heard.bound, 4),
        "recordings": sum(heard.recordings),
        "words": len(heard.words),
        "of": fingerprint(model),
    }


def fingerprint(model: ChosenModel, digest: str | None = None) -> str:
    """Return a digest of all that a check depends on: the file, and how it is used.

    Args:
        model: the user's description.
        digest: SHA-256 of its file, where that is known already.
    """
    if digest is None and Path(model.path).exists():
        digest = sha256(model.path)
    parts = [
        digest,
        model.words,
        model.spec.to_dict() if model.spec else None,
        model.frontend,
        _plain_settings(model),
        model.head,
        model.builder,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _plain_settings(model: ChosenModel) -> dict[str, str]:
    """Return settings of the front end as text that is the same wherever they were written."""
    component = model.frontend_component()
    if component is None:
        return {}
    texts = {}
    for name, value in sorted(component.convert_options(model.settings).items()):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        # Files are told by their contents, not by their place.
        if isinstance(value, Path) and value.is_file():
            value = sha256(value)
        texts[name] = str(value)
    return texts


def origin_of(model: ChosenModel) -> Origin:
    """Return where a classifier comes from, with what doctor found out about it.

    Its files are read once, for manifests and to tell whether the check is still of this model.
    """
    digests = {path: sha256(path) for path in model.files}
    fault, checked = _fault(model.checked), None
    if model.checked and not fault:
        # A user may have written dates or tables beside what doctor writes.
        checked = {k: v for k, v in model.checked.items() if isinstance(v, (str, int, float))}
        checked["current"] = checked["of"] == fingerprint(model, digests.get(model.path))
    files = {Path(path).name: digest for path, digest in digests.items()}
    return Origin(files, checked, _check_note(model, checked, fault))


def _check_note(
    model: ChosenModel, checked: Mapping[str, Any] | None, fault: str | None
) -> str | None:
    """Return what a user should know before trusting results on a classifier; None if nothing.

    Args:
        model: the user's description.
        checked: the table of its check, with whether it is `current`; None without a usable one.
        fault: what is wrong with a table that cannot be used.
    """
    name = model.path
    if not model.checked:
        return (
            f"{name} was never checked on recordings, so its front end may be wrong and these "
            f"results without meaning; check it: {_command(model)}"
        )
    if checked is None:
        return (
            f"{name} counts as never checked on recordings, because the table [checked] of "
            f"{model.files[0]} cannot be read: {fault}; check it again: {_command(model)}"
        )
    if not checked["current"]:
        return (
            f"{name} or its front end has changed since it was checked on recordings; check it "
            f"again: {_command(model)}"
        )
    if not checked["accuracy"] >= checked["bound"]:
        return (
            f"{name} hears {100 * checked['accuracy']:.1f} % of recordings (chance "
            f"{100 * checked['chance']:.1f} %): its front end, its words or their order are "
            "wrong, and these results are without meaning"
        )
    return None


def _fault(checked: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the table of a check; None where it can be read."""
    for key in ("accuracy", "chance", "bound", "of"):
        if key not in checked:
            return f"it has no {key}"
        value = checked[key]
        if key == "of":
            fits, expected = isinstance(value, str), "a text"
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits, expected = number and 0 <= value <= 1, "a number from 0 to 1"
        if not fits:
            return f"{key} is {value!r}, expected {expected}"
    return None


def _command(model: ChosenModel) -> str:
    """Return the command that checks a model on recordings and keeps the result."""
    given = model.files[0] if model.files else model.path
    if given.endswith(".toml"):
        return f"keras-listen doctor {given} --audio RECORDINGS"
    return (
        f"keras-listen doctor {given} --words-file WORDS --audio RECORDINGS --suggest, which finds "
        "a front end and writes a listen.toml; where you know it, give --frontend NAME and --write "
        "listen.toml instead of --suggest"
    )
