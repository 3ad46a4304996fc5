"""Settings that `run`, `evaluate`, `debug` and `study make` share, declared once.

An option that all four have is a field here (of the ascent: in `maximization.settings`) and a line
in the keywords; the options of the command line and the signatures of the public functions are made
from these. Neither TensorFlow nor Keras is imported, because `--help` reads this module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeVar, get_type_hints

from ..errors import ParameterError
from ..maximization.settings import AscentKeywords, AscentSettings, setting
from ..models.blocks import BLOCK_SIZE

Function = TypeVar("Function", bound=Callable[..., Any])


class SharedKeywords(AscentKeywords, total=False):
    """The keywords that become `SharedSettings`; None stands for the default."""

    seed: int | None
    preset: str | None
    bundle: str | Path | None
    classifier: str | Path | None
    words_file: str | Path | None
    spec: str | Path | None
    trust_model: bool | None
    frontend: str | None
    place: str | None
    head: str | None
    builder: str | None
    imports: Iterable[str] | None
    options: Iterable[str] | Mapping[str, Any] | None
    block_size: int | None


@dataclass(frozen=True)
class ModelChoice:
    """The models that a user chose; `experiment.options.open_models` opens them.

    Attributes:
        bundle: folder of a bundle; the embedded one where None.
        classifier: a model file that takes the place of the bundle's classifier, or a `listen.toml`
            that describes one, see `experiment.chosen_model`.
        words_file: its words, one a line, in the order of its outputs.
        spec: TOML file with its FeatureSpec; the default one where None.
        trust_model: open the file even if it holds Python code.
        frontend: name of the front end that makes its input from sound; None where it takes the
            project's own features.
        place: where words stand in its window, if that is longer than they are; "middle" where
            None, see `models.sound_path.PLACES`.
        head: what its outputs are, see `models.head.KINDS`; found out where None.
        builder: "module:function" that builds the network, for a file of weights.
        imports: modules to import first, which register custom layers.
    """

    bundle: str | None = setting(None, "Folder of a bundle.  [the embedded one]", path=True)
    classifier: str | None = setting(
        None, "A model or a listen.toml instead of the bundle's classifier.", path=True
    )
    words_file: str | None = setting(None, "Words of the classifier, one a line.", path=True)
    spec: str | None = setting(
        None, "TOML file with its FeatureSpec.  [the default features]", path=True
    )
    trust_model: bool = setting(False, "Open the model even if it holds Python code.")
    frontend: str | None = setting(
        None,
        "Makes its input from sound, see keras-listen plugins.  [the default features]",
        metavar="NAME",
    )
    place: str | None = setting(
        None,
        "Where words stand in its window, if that is longer: start, middle, end, anywhere.  "
        "[middle]",
        metavar="PLACE",
    )
    head: str | None = setting(
        None, "What its outputs are, such as softmax or logits.  [found out]", metavar="KIND"
    )
    builder: str | None = setting(
        None,
        "Builds the network of a file of weights.",
        option="--model",
        metavar="MODULE:FUNCTION",
    )
    imports: tuple[str, ...] = setting(
        (),
        "Module to import first, for custom layers; may be repeated.",
        option="--import",
        metavar="MODULE",
    )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ModelChoice:
        """Return the choice among `given`; what is absent has its default."""
        texts = {one.name: as_text(given.get(one.name)) for one in fields(cls)}
        others = {
            "trust_model": bool(given.get("trust_model")),
            "imports": tuple(given.get("imports") or ()),
        }
        return cls(**texts | others)

    def settings(self) -> dict[str, Any]:
        """Return the choice as manifests keep it.

        What came later stands there where it was given, so that older folders can be resumed.
        """
        later = ("frontend", "place", "head", "builder", "imports")
        about = asdict(self) | {"imports": list(self.imports)}
        return {name: value for name, value in about.items() if value or name not in later}


@dataclass(frozen=True)
class SharedSettings:
    """Settings that every command that maximizes takes.

    Attributes:
        ascent: of the gradient ascent.
        models: to open.
        preset: name of the settings that stand under those given, see `maximization.presets`; the
            command's own where None.
        options: of the components, as `KIND.NAME.KEY=VALUE`.
        seed: of everything random.
        block_size: samples computed together.
        asked: names of the ascent's settings that were given.
    """

    ascent: AscentSettings = field(default_factory=AscentSettings)
    models: ModelChoice = field(default_factory=ModelChoice)
    preset: str | None = setting(
        None,
        "Settings of prior and vocoder by name: paper, natural, transfer; options stand above.  "
        "[natural for run, else paper]",
        metavar="NAME",
    )
    options: tuple[str, ...] = setting(
        (),
        "Option of a component, see keras-listen plugins; may be repeated.",
        option="-o",
        metavar="KIND.NAME.KEY=VALUE",
    )
    seed: int = setting(
        0, "Seed of everything random: the same one gives the same results, another one others."
    )
    block_size: int = setting(
        BLOCK_SIZE,
        "Samples computed together: more are quicker and need more memory; results depend on it in "
        "their last bits.",
        minimum=1,
    )
    asked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> SharedSettings:
        """Gather the keywords of a public function, or the command in a manifest.

        Raises:
            TypeError: there is no such keyword.
        """
        for name in given:
            if name not in SharedKeywords.__annotations__:
                near = get_close_matches(name, SharedKeywords.__annotations__, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"got an unexpected keyword argument {name!r}{hint}")
        return cls(
            ascent=AscentSettings.of(given),
            preset=given.get("preset"),
            models=ModelChoice.of(given),
            options=tuple(option_texts(given.get("options") or ())),
            seed=given.get("seed") or 0,
            block_size=BLOCK_SIZE if (size := given.get("block_size")) is None else size,
            asked=frozenset(
                one.name for one in fields(AscentSettings) if given.get(one.name) is not None
            ),
        )


@dataclass(frozen=True)
class CommandSettings:
    """Base of the settings of one command: its own fields, and the shared ones."""

    shared: SharedSettings

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Gather the parameters of a public function.

        Args:
            given: its `locals()` at its first line; parameters that are no fields are left out.
                Paths become text, sequences tuples.
        """
        own = {one.name: _plain(given[one.name]) for one in fields(cls) if one.name != "shared"}
        return cls(**own, shared=SharedSettings.of(given["shared"]))


def _plain(value: Any) -> Any:
    """Return a parameter as settings keep it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(map(_plain, value))
    return value


def shared_fields() -> dict[str, Field]:
    """Return the field behind each shared keyword, those of the ascent first."""
    parts = (AscentSettings, SharedSettings, ModelChoice)
    found = {one.name: one for part in parts for one in fields(part)}
    return {name: found[name] for name in SharedKeywords.__annotations__}


def shares_settings(function: Function) -> Function:
    """Show the shared keywords in signature and docstring of a function that takes `**shared`.

    In its docstring they stand in place of the line `        **shared`.
    """
    own, types = inspect.signature(function), get_type_hints(SharedKeywords)
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=types[name]
        )
        for name, one in shared_fields().items()
    ]
    kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = own.replace(parameters=[*kept, *shared])
    if function.__doc__:  # there is none under python -OO
        lines = [f"        {name}: {f.metadata['help']}" for name, f in shared_fields().items()]
        function.__doc__ = function.__doc__.replace("        **shared", "\n".join(lines))
    return function


def option_texts(options: Iterable[str] | Mapping[str, Any]) -> list[str]:
    """Return options of components as `KIND.NAME.KEY=VALUE` texts."""
    if isinstance(options, Mapping):
        return [f"{path}={value}" for path, value in options.items()]
    return list(options)


def as_text(path: str | Path | None) -> str | None:
    """Return a path as text, None as it is."""
    return None if path is None else str(path)


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return names in their order, each once."""
    return tuple(dict.fromkeys(names))


def require_least(command: Mapping[str, Any], least: Mapping[str, int]) -> None:
    """Refuse numbers below their least value; None is allowed.

    Args:
        command: values by name.
        least: the least value of some of them.

    Raises:
        ParameterError: a number is too small.
    """
    for name, smallest in least.items():
        if command[name] is not None and command[name] < smallest:
            what = name.replace("_", " ")
            raise ParameterError(f"{what} is {command[name]}; expected at least {smallest}")
