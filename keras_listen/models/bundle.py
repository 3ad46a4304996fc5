"""Bundles: folders of models that were made for the same words and features.

    bundle.json                 schema, words, FeatureSpec, provenance; written once
    <component>/component.json  kind, files with their SHA-256, provenance, figures
    <component>/<part>.keras    the component's models; arrays are in `arrays.npz`

Adding a component writes its own folder and touches no other file.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BundleError, RunError, unknown
from ..features import LENGTH_FIELDS, FeatureSpec
from ..output.files import make_folder, replace_folder, sha256, write_json, write_text
from .backend import start_quietly
from .formats.keras_file import open_model, save_model
from .provenance import made_with

if TYPE_CHECKING:
    import keras

    from .classifier import Classifier

SCHEMA = 1

#: Modules that register the layers of our own that a kind's `.keras` files hold, named by string:
#: they stand in a room to the right of this one, as the built-in components that `plugins` names.
#: Keras finds layers by their registered names, whatever module a file says they are from.
_LAYERS = {
    "wavenet": "keras_listen.vocoders.wavenet.network",
    "wavenet-frames": "keras_listen.vocoders.wavenet.spectrum",
}

#: Names of the components that serve as referees, in the order they are listed in.
REFEREES = ("referee", "residual", "separable")


class BundlePart:
    """One component of a bundle: its models, arrays and description.

    Its files are checked against their checksums when it is opened.

    Args:
        root: folder of the component.
        spec: FeatureSpec that it was made for.

    Attributes:
        about: the contents of `component.json`.
        files: SHA-256 of each file, by name.

    Raises:
        BundleError: the description is damaged, or a file is missing or was changed.
    """

    def __init__(self, root: Path, spec: FeatureSpec):
        self.root, self.name, self.spec = root, root.name, spec
        try:
            self.about = json.loads((root / "component.json").read_text(encoding="utf-8"))
            self.files: dict[str, str] = dict(self.about["files"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{root}/component.json is damaged: {error}") from error
        for name, digest in self.files.items():
            if not (root / name).is_file():
                raise BundleError(f"the bundle's file {root / name} is missing; restore or retrain")
            if sha256(root / name) != digest:
                raise BundleError(
                    f"the checksum of {root / name} is off: the file was changed or damaged; "
                    "restore it or train the component again"
                )

    @property
    def figures(self) -> dict[str, Any]:
        """Measured figures, as written by training."""
        return self.about.get("figures", {})

    @lru_cache(maxsize=8)  # noqa: B019 a component lives as long as its bundle
    def model(self, part: str = "model") -> keras.Model:
        """Open the model in `<part>.keras`.

        Raises:
            BundleError: the component has no such part.
            ModelError: Keras cannot open it.
        """
        if f"{part}.keras" not in self.files:
            raise BundleError(
                f"in component {self.name} {unknown('model', f'{part}.keras', self.files)}"
            )
        if layers := _LAYERS.get(self.about.get("kind")):
            import_module(layers)
        return open_model(self.root / f"{part}.keras")

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of `arrays.npz`; empty where there are none."""
        if "arrays.npz" not in self.files:
            return {}
        with np.load(self.root / "arrays.npz", allow_pickle=False) as arrays:
            return dict(arrays)


class Bundle:
    """A folder of models for the same words and features; components are opened on demand.

    Args:
        root: the folder.

    Attributes:
        about: the contents of `bundle.json`.
        words: of the classifiers, in the order of their outputs.
        spec: FeatureSpec of the classifier.

    Raises:
        BundleError: it is missing, damaged or of another version.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        path = self.root / "bundle.json"
        if not path.is_file():
            raise BundleError(
                f"{self.root} is no bundle (it has no bundle.json); make one with: "
                "keras-listen train STORE BUNDLE"
            )
        try:
            self.about = json.loads(path.read_text(encoding="utf-8"))
            schema = self.about["schema"]
            if schema != SCHEMA:
                raise BundleError(
                    f"the bundle {self.root} has version {schema}, this program reads {SCHEMA}; "
                    "train it again"
                )
            self.words: tuple[str, ...] = tuple(self.about["words"])
            self.spec = self._made_for = FeatureSpec.from_dict(self.about["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path} is damaged: {error}") from error
        self._opened: dict[str, BundlePart] = {}

    def __repr__(self) -> str:
        names = ", ".join(self.names()) or "nothing yet"
        return f"<Bundle {self.root}: {len(self.words)} words; {names}>"

    def names(self) -> list[str]:
        """Return the names of the components, sorted."""
        return sorted(path.parent.name for path in self.root.glob("[!.]*/component.json"))

    def component(self, name: str) -> BundlePart:
        """Open a component, checking its files.

        Raises:
            BundleError: there is none of this name, or it is damaged.
        """
        if name not in self._opened:
            if name not in self.names():
                raise BundleError(
                    f"in the bundle {self.root} {unknown('component', name, self.names())}"
                )
            self._opened[name] = BundlePart(self.root / name, self._made_for)
        return self._opened[name]

    @cached_property
    def classifier(self) -> Classifier:
        """The Classifier under study."""
        return self.classifier_of("classifier")

    @cached_property
    def referee(self) -> Classifier | None:
        """The component `referee` as a Classifier, or None where the bundle has none."""
        return self.classifier_of("referee") if "referee" in self.names() else None

    @cached_property
    def referees(self) -> dict[str, Classifier]:
        """All referees of the bundle, by name and in the order of `REFEREES`.

        `referee` has the architecture of the classifier, so its agreement proves little; networks
        of other architectures prove more.
        """
        names = self.names()
        # Shares the Classifier with the property `referee`.
        return {
            name: self.referee if name == "referee" else self.classifier_of(name)
            for name in REFEREES
            if name in names
        }

    def classifier_of(self, name: str) -> Classifier:
        """Open the component `name` as a Classifier of the bundle's words."""
        start_quietly(engine=False)
        # Imports Keras, which takes seconds; reading a bundle's description does not need it.
        from .classifier import Classifier

        component = self.component(name)
        what = f"{name} of the bundle {self.root}"
        # Its networks are known: probing them would delay every start.
        return Classifier(
            component.model(), self.words, component.spec, what=what, batch_coupled=False
        )

    def with_classifier(self, classifier: Classifier) -> Bundle:
        """Return a copy of this bundle with another classifier and that classifier's features.

        Components keep the features they were made for; where these differ, they do not fit.
        """
        other = copy.copy(self)
        other.spec = classifier.spec
        other.__dict__["classifier"] = classifier  # takes the place of the cached property
        return other

    def add(
        self,
        name: str,
        models: Mapping[str, Any],
        *,
        arrays: Mapping[str, np.ndarray] | None = None,
        texts: Mapping[str, str] | None = None,
        about: Mapping[str, Any] | None = None,
        compact: bool = False,
    ) -> BundlePart:
        """Write a component, replacing one of the same name atomically.

        Args:
            name: of the component and of its folder.
            models: Keras models by part.
            arrays: NumPy arrays by name.
            texts: further text files by file name.
            about: kind, provenance and figures.
            compact: store weights as float16.

        Raises:
            RunError: the disk is full or the bundle cannot be written.
        """
        fresh = self.root / f".{name}.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        make_folder(fresh)
        try:
            for part, model in models.items():
                save_model(model, fresh / f"{part}.keras", compact=compact)
            if arrays:
                np.savez_compressed(fresh / "arrays.npz", **arrays)
            for file, text in (texts or {}).items():
                write_text(fresh / file, text)
            files = {path.name: sha256(path) for path in sorted(fresh.iterdir())}
            write_json(fresh / "component.json", {"files": files, **(about or {})})
            replace_folder(fresh, self.root / name)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            why = error.strerror or error
            raise RunError(f"cannot write {self.root / name}: {why}") from error
        self._opened.pop(name, None)
        return self.component(name)

    def describe(self, name: str, **about: Any) -> None:
        """Add fields to a component's description, such as figures measured on its files."""
        path = self.root / name / "component.json"
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | about)
        self._opened.pop(name, None)


def create_bundle(
    root: str | Path,
    words: Sequence[str],
    spec: FeatureSpec,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Create an empty bundle in `root`, or open an existing one of the same words and spec.

    Raises:
        BundleError: the folder holds a bundle of other words.
        SpecError: the folder holds a bundle of other features.
    """
    root = Path(root)
    if (root / "bundle.json").exists():
        bundle = Bundle(root)
        if bundle.words != tuple(words):
            raise BundleError(
                f"the bundle {root} has other words ({', '.join(bundle.words)}) than the store "
                f"({', '.join(words)}); name a new folder for the bundle"
            )
        spec.require(bundle.spec, f"the bundle {root}")
        return bundle
    make_folder(root)
    write_json(
        root / "bundle.json",
        {
            "schema": SCHEMA,
            "words": list(words),
            "spec": spec.to_dict(),
            "provenance": {**(provenance or {}), **made_with()},
        },
    )
    return Bundle(root)


def bundle_for_vocoder(root: str | Path, spec: FeatureSpec | None = None) -> Bundle:
    """Open the bundle in `root` to add a vocoder for `spec`, or create one without words.

    Raises:
        BundleError: it is damaged or of another version.
        SpecError: its features differ in more than their length.
    """
    if not (Path(root) / "bundle.json").exists():
        return create_bundle(root, (), spec or FeatureSpec())
    bundle = Bundle(root)
    if spec is not None:
        spec.require(bundle.spec, f"the bundle {root}", ignore=LENGTH_FIELDS)
    return bundle


def load_bundle(path: str | Path | None = None) -> Bundle:
    """Open the bundle in the folder `path`, by default the one embedded in the package.

    Raises:
        BundleError: it is missing, damaged or of another version.
    """
    return Bundle(path if path is not None else embedded_path())


def embedded_path() -> Path:
    """Return the folder of the bundle embedded in the package."""
    return Path(str(resources.files("keras_listen") / "models" / "pretrained"))
