"""A directory of models that belong together.

    bundle.json               schema, words, FeatureSpec, provenance; written once
    <component>/component.json  kind, files with their SHA-256, provenance, figures
    <component>/<part>.keras    its models; arrays stand in `arrays.npz`

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
from .formats.keras_file import open_model, save_model
from .provenance import made_with

if TYPE_CHECKING:
    from .classifier import Classifier

SCHEMA = 1

#: Modules that register the layers of our own that a kind's `.keras` files hold, named by string:
#: they stand in a room to the right of this one, as the built-in components that `plugins` names.
#: Keras finds layers by their registered names, whatever module a file says they are from.
_LAYERS = {"wavenet": "keras_listen.vocoders.wavenet.network"}

#: Components that judge what the classifier was made to hear, in the order they are listed in.
REFEREES = ("referee", "residual", "separable")


class BundlePart:
    """One component of a bundle: models, arrays and what is known of them.

    Its files are checked against their checksums when it is opened. `spec` is the FeatureSpec it
    was made for.
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
        """Measured figures, as written when the component was added."""
        return self.about.get("figures", {})

    @lru_cache(maxsize=8)  # noqa: B019 a component lives as long as its bundle
    def model(self, part: str = "model"):
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
    """Words, FeatureSpec and components, opened when they are asked for.

    Args:
        root: the folder.

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
    def classifier(self):
        """The Classifier that is listened to."""
        return self.classifier_of("classifier")

    @cached_property
    def referee(self):
        """A separately trained Classifier that judges, or None where the bundle has none."""
        return self.classifier_of("referee") if "referee" in self.names() else None

    @cached_property
    def referees(self) -> dict[str, Classifier]:
        """Every Classifier that judges, by its name and in the order of `REFEREES`.

        That a twin of the classifier agrees with it proves little; networks of other architectures
        prove more. Names that the bundle does not have are left out.
        """
        names = self.names()
        # `referee` is opened once, whichever way it is asked for.
        return {
            name: self.referee if name == "referee" else self.classifier_of(name)
            for name in REFEREES
            if name in names
        }

    def classifier_of(self, name: str):
        """Open the component `name` as a Classifier with the bundle's words and spec."""
        from .classifier import Classifier

        component = self.component(name)
        what = f"{name} of the bundle {self.root}"
        return Classifier(component.model(), self.words, component.spec, what=what)

    def with_classifier(self, classifier) -> Bundle:
        """Return this bundle with another Classifier to listen to, and that one's features.

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
        """Write a component; one of the same name is replaced in one step.

        Args:
            name: folder name.
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
        """Add fields, such as figures measured on its files, to a component's description."""
        path = self.root / name / "component.json"
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | about)
        self._opened.pop(name, None)


def create_bundle(
    root: str | Path,
    words: Sequence[str],
    spec: FeatureSpec,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Make an empty bundle in `root`, or open one that is there with the same words and spec.

    Raises:
        BundleError: there is a bundle of other words.
        SpecError: there is a bundle of other features.
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
    """Open the bundle in `root` to add a vocoder for `spec`, or make one without words.

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
    """Open a bundle; without `path`, the one that comes with the package.

    Raises:
        BundleError: it is missing, damaged or of another version.
    """
    return Bundle(path if path is not None else embedded_path())


def embedded_path() -> Path:
    """Return the folder of the bundle that comes with the package."""
    return Path(str(resources.files("keras_listen") / "models" / "pretrained"))
