"""Hear what a speech classifier has learned.

The public names are loaded when they are first used: importing the package imports neither
TensorFlow nor librosa.
"""

__version__ = "0.1.0"

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
    "train": "training.train",
    "vocode": "experiment.vocode",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
