"""Hear what a speech classifier has learned.

The public names are loaded when they are first used: importing the package imports neither
TensorFlow nor librosa.
"""

from .version import __version__

_HOMES = {
    "Ascent": "ascent",
    "Bundle": "bundle",
    "Classifier": "classifier",
    "FeatureSpec": "features",
    "ListenError": "errors",
    "Maximization": "engine",
    "Store": "store",
    "analyse_study": "analysing",
    "configure_plugins": "plugins",
    "debug": "diagnosing",
    "evaluate": "evaluating",
    "evaluate_published": "evaluating",
    "hookimpl": "hookspecs",
    "listen": "api",
    "load_bundle": "bundle",
    "load_classifier": "classifier",
    "load_features": "api",
    "make_study": "studying",
    "maximize": "engine",
    "prepare": "preparation",
    "read_corpus": "corpus",
    "train": "training",
    "vocode": "api",
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
