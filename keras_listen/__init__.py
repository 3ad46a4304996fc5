"""Hear what a speech classifier has learned.

Public names are imported on first use, so `import keras_listen` imports neither TensorFlow nor
librosa.
"""

__version__ = "0.1.0"

#: Module of each public name, below keras_listen.
_HOMES = {
    "Ascent": "maximization.ascent",
    "Bundle": "models.bundle",
    "Classifier": "models.classifier",
    "FeatureSpec": "features",
    "ListenError": "errors",
    "Maximization": "maximization.engine",
    "Store": "data.store",
    "analyse_study": "listening_test.analyse.api",
    "configure_plugins": "plugins",
    "debug": "debugging.api",
    "evaluate": "evaluation.api",
    "evaluate_published": "evaluation.api",
    "hookimpl": "hookspecs",
    "listen": "experiment.api",
    "load_bundle": "models.bundle",
    "load_classifier": "models.classifier",
    "load_features": "data.load",
    "make_study": "listening_test.make.api",
    "maximize": "maximization.engine",
    "prepare": "data.prepare",
    "read_corpus": "data.corpus",
    "resolve": "experiment.experiment",
    "train": "training.api",
    "vocode": "experiment.vocode",
}

#: What needs the engine. Importing Keras for it fails where another backend is set but not
#: installed, so the backend is checked first.
_ENGINE = {"debug", "evaluate", "listen", "make_study", "maximize", "resolve"}
#: What imports Keras besides, whose notices are muted.
_KERAS = {"Ascent", "Classifier", "Maximization", "load_classifier", "train", "vocode"}

__all__ = ["__version__", *_HOMES]

# For type checkers and editors, which do not run `__getattr__`. They take any variable of this name
# as true; importing the one of `typing` would take longer than importing this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .data.corpus import read_corpus as read_corpus
    from .data.load import load_features as load_features
    from .data.prepare import prepare as prepare
    from .data.store import Store as Store
    from .debugging.api import debug as debug
    from .errors import ListenError as ListenError
    from .evaluation.api import evaluate as evaluate
    from .evaluation.api import evaluate_published as evaluate_published
    from .experiment.api import listen as listen
    from .experiment.experiment import resolve as resolve
    from .experiment.vocode import vocode as vocode
    from .features import FeatureSpec as FeatureSpec
    from .hookspecs import hookimpl as hookimpl
    from .listening_test.analyse.api import analyse_study as analyse_study
    from .listening_test.make.api import make_study as make_study
    from .maximization.ascent import Ascent as Ascent
    from .maximization.engine import Maximization as Maximization
    from .maximization.engine import maximize as maximize
    from .models.bundle import Bundle as Bundle
    from .models.bundle import load_bundle as load_bundle
    from .models.classifier import Classifier as Classifier
    from .models.classifier import load_classifier as load_classifier
    from .plugins import configure_plugins as configure_plugins
    from .training.api import train as train


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _ENGINE | _KERAS:
        import_module(".models.backend", __name__).start_quietly(engine=name in _ENGINE)
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
