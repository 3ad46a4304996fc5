"""The classifier that a user brings: its file, words, front end and head.

They are given one by one, or by a file that says it all, `listen.toml`:

    model = "model.keras"          # beside this file
    words = ["yes", "no"]          # or words_file = "words.txt"
    head = "sigmoid"               # where it is not found
    place = "anywhere"             # of words in a window that is longer; the middle without it
    builder = "module:function"    # builds the network for a file of weights
    imports = ["module"]           # registers custom layers

    [frontend]
    name = "mfcc"                  # or a preset, see keras-listen plugins
    n_mfcc = 13                    # any of its options

A model on the project's own features has a table `[spec]` in place of `[frontend]`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError, ParameterError, unknown
from ..features import FeatureSpec, window
from ..models.classifier import read_words
from ..plugins import Component, default_registry
from ..texts import read_toml
from .settings import ModelChoice

#: Keys of listen.toml with the type of their values, for messages.
_KEYS = {
    "model": (str, "a path"),
    "words": (list, "a list of words"),
    "words_file": (str, "a path"),
    "head": (str, "a kind of head"),
    "place": (str, "a place in the window"),
    "builder": (str, "MODULE:FUNCTION"),
    "imports": (list, "a list of modules"),
    "frontend": (dict, "a table with a name"),
    "spec": (dict, "a table of features"),
    "checked": (dict, "a table that doctor writes"),
}


@dataclass(frozen=True)
class ChosenModel:
    """A classifier before it is opened.

    Attributes:
        path: of the model file or folder.
        words: in the order of its outputs; None where they were not given.
        spec: of the features it takes, where it has no front end.
        frontend: name of its front end, or None.
        settings: options of the front end.
        place: of words in a longer window, see `models.sound_path.PLACES`.
        head: kind of its head; found where None.
        builder: "module:function" that builds the network, for a file of weights.
        imports: modules that register custom layers.
        files: what it was read from, for manifests.
        checked: what doctor found out on recordings, see `experiment.check`.
    """

    path: str
    words: tuple[str, ...] | None = None
    spec: FeatureSpec | None = None
    frontend: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: str = "middle"
    head: str | None = None
    builder: str | None = None
    imports: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    checked: Mapping[str, Any] = field(default_factory=dict)

    def frontend_component(self) -> Component | None:
        """Find the front end.

        Raises:
            ParameterError: there is none of its name.
        """
        return default_registry().find("frontend", self.frontend) if self.frontend else None

    def require_words(self) -> tuple[str, ...]:
        """Return the words.

        Raises:
            ModelError: none were given.
        """
        if self.words is None:
            raise ModelError(
                f"the model {self.path} has no words; give them with --words-file FILE, one "
                "a line, in the order of its outputs"
            )
        return self.words


def chosen_model(choice: ModelChoice) -> ChosenModel | None:
    """Gather what a user said of a classifier; None where the bundle's own is meant.

    What is given beside a `listen.toml` stands above what is written in it.

    Raises:
        ListenError: a file cannot be read, or says something that is not understood.
    """
    if choice.classifier is None:
        if given := _stray(choice):
            raise ModelError(
                f"{given} was given without a classifier; it describes --classifier FILE"
            )
        return None
    if Path(choice.classifier).suffix == ".toml":
        model = read_listen_file(choice.classifier)
    else:
        model = ChosenModel(choice.classifier, files=(choice.classifier,))
    over: dict[str, Any] = {}
    if choice.words_file:
        over["words"] = read_words(choice.words_file)
    if choice.spec:
        over["spec"] = FeatureSpec.from_toml(choice.spec)
    if choice.frontend:
        over["frontend"] = choice.frontend
        if choice.frontend != model.frontend:
            over["settings"] = {}
    for name in ("place", "head", "builder", "imports"):
        if value := getattr(choice, name):
            over[name] = value
    if over.keys() & {"frontend", "spec", "words"}:
        over["checked"] = {}
    files = [*model.files, *(path for path in (choice.words_file, choice.spec) if path)]
    model = dataclasses.replace(model, files=tuple(files), **over)
    if model.frontend and model.spec:
        raise ModelError(
            f"the model {model.path} was given both a spec and a front end; a spec describes the "
            "project's own features, so drop one"
        )
    if choice.place and not model.frontend:
        raise ModelError(
            f"a place in the window was given, but the model {model.path} takes the project's own "
            "features, which fill it; drop --place, or name its front end"
        )
    return model


def _stray(choice: ModelChoice) -> str | None:
    """Return what describes a classifier where none was given."""
    if choice.words_file or choice.spec:
        return "a words file or a spec"
    names = {
        "frontend": "a front end",
        "place": "a place in its window",
        "head": "a head",
        "builder": "--model",
        "imports": "--import",
    }
    return next((text for name, text in names.items() if getattr(choice, name)), None)


def read_listen_file(path: str | Path) -> ChosenModel:
    """Read a `listen.toml`; paths in it are relative to its folder.

    Raises:
        ModelError: it cannot be read, or says something that is not understood.
    """
    path = Path(path)
    try:
        about = read_toml(path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"cannot read {path}: {why}") from error
    for key, value in about.items():
        if key not in _KEYS:
            raise ModelError(f"in {path}, {unknown('key', key, _KEYS)}")
        kind, meaning = _KEYS[key]
        if not isinstance(value, kind):
            raise ModelError(f"in {path}, {key} is {value!r}; expected {meaning}")
    if "model" not in about:
        raise ModelError(f"{path} names no model; add a line such as model = 'model.keras'")
    try:
        return _from_table(path, about)
    except ParameterError as error:
        raise ModelError(f"in {path}, {error}") from error


def _from_table(path: Path, about: Mapping[str, Any]) -> ChosenModel:
    beside = path.parent
    settings = dict(about.get("frontend", {}))
    name = settings.pop("name", None)
    if settings and not isinstance(name, str):
        raise ModelError(f"in {path}, the table [frontend] has no name; add name = 'mfcc' or so")
    model = str(beside / about["model"])
    files = [str(path), model]
    words = about.get("words")
    if "words_file" in about:
        if words is not None:
            raise ModelError(f"{path} gives both words and words_file; drop one")
        files.append(str(beside / about["words_file"]))
        words = read_words(files[-1])
    spec = FeatureSpec.from_dict(about["spec"]) if "spec" in about else None
    if spec:
        window(spec)  # Only making it shows whether there is one of the name.
    return ChosenModel(
        path=model,
        words=None if words is None else tuple(map(str, words)),
        spec=spec,
        frontend=name,
        settings={key: _beside(beside, value) for key, value in settings.items()},
        place=about.get("place", "middle"),
        head=about.get("head"),
        builder=about.get("builder"),
        imports=tuple(map(str, about.get("imports", ()))),
        files=tuple(files),
        checked=about.get("checked", {}),
    )


def _beside(folder: Path, value: Any) -> Any:
    """Return a setting; one that names a file beside listen.toml as its path."""
    if isinstance(value, str) and value.endswith((".npz", ".npy")):
        return str(folder / value)
    return value
