"""Write a new plugin package that works as it is: code, test, metadata and README."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import ParameterError, RunError, unknown
from ..output.files import make_folder, write_text
from . import KINDS, OWN, default_registry

#: Names of a package as packaging tools allow them.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
#: Longest name of a component.
_LONGEST = 64

#: Description of each kind's example, for the package's README.
_ABOUT = {
    "prior": "Features that change slowly.",
    "objective": "The target's logit minus the mean of the others.",
    "vocoder": "Whispered features: noise with their spectrum.",
    "reader": "Sound files without their offset.",
    "frontend": "The logarithm of a sound's power in short frames.",
}
_USE = {
    "prior": "keras-listen run --prior {name} -o prior.{name}.every=6",
    "objective": "keras-listen run --objective {name} -o objective.{name}.weight=0.5",
    "vocoder": "keras-listen run --vocoder {name} -o vocoder.{name}.level=0.5",
    "reader": "keras-listen run --start recordings/ --reader {name}",
    "frontend": "keras-listen run --frontend {name} --classifier model.keras",
}


@dataclass(frozen=True)
class Package:
    """A plugin package to be written, with one component.

    Attributes:
        name: of the component, such as `slow`.
        kind: of the component, one of `KINDS`.
    """

    name: str
    kind: str

    @property
    def distribution(self) -> str:
        """The name for `pip install`."""
        return f"{OWN}-{self.name}"

    @property
    def module(self) -> str:
        """The name for `import`."""
        return self.distribution.replace("-", "_")

    @property
    def use(self) -> str:
        """A command that uses the component."""
        return _USE[self.kind].format(name=self.name)

    def files(self) -> dict[str, str]:
        """Return the content of each file, by its path in the package."""
        sources = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            f"{self.module}.py": f"{self.kind}.py",
            f"tests/test_{self.module}.py": f"{self.kind}_test.py",
        }
        return {path: self._render(source) for path, source in sources.items()}

    def _render(self, source: str) -> str:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        templates = Environment(
            loader=PackageLoader("keras_listen.plugins", "templates"),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            autoescape=False,
        )
        return templates.get_template(f"{source}.jinja").render(
            name=self.name,
            kind=self.kind,
            distribution=self.distribution,
            module=self.module,
            about=_ABOUT[self.kind],
            use=self.use,
            version=__version__,
        )


def package_of(name: str, kind: str) -> Package:
    """Return the package for a component.

    Args:
        name: of the component or the package, so with or without the prefix `keras-listen-`.
        kind: of the component.

    Raises:
        ParameterError: the kind is unknown, or the name is invalid or taken.
    """
    if kind not in KINDS:
        raise ParameterError(unknown("kind", kind, KINDS))
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} is no name of a package; expected letters and digits, with - _ . between "
            "them, such as slow-features"
        )
    short = re.sub(r"[-_.]+", "-", name).lower().removeprefix(f"{OWN}-")
    if short == OWN:
        raise ParameterError(f"{name!r} is this program itself; add a name, such as {OWN}-slow")
    if len(short) > _LONGEST:
        raise ParameterError(
            f"the name {short!r} has {len(short)} characters; expected at most {_LONGEST}"
        )
    _require_free(short, kind)
    return Package(short, kind)


def _require_free(name: str, kind: str) -> None:
    if (kind, name) == ("vocoder", "none"):
        raise ParameterError("--vocoder none makes no sound; choose another name")
    for component in default_registry().components:
        if (component.kind, component.name) == (kind, name):
            owner = f"{component.distribution} {component.version}"
            raise ParameterError(
                f"there is a {kind} {name} already, of {owner}; choose another name"
            )


def write_package(package: Package, root: str | Path | None = None) -> Path:
    """Write a package.

    Args:
        package: what to write.
        root: a new or empty folder; by default one named after the package, in the current folder.

    Returns:
        The folder.

    Raises:
        RunError: the folder is not empty, or cannot be written.
    """
    root = Path(root or package.distribution)
    if root.is_file():
        raise RunError(f"{root} is a file; name a new folder for the package")
    if root.is_dir() and any(root.iterdir()):
        raise RunError(f"the folder {root} is not empty; name a new one for the package")
    for path, text in package.files().items():
        make_folder((root / path).parent)
        write_text(root / path, text)
    return root
