"""Run one experiment: resolve components, maximize, synthesize, evaluate with referees, write."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "resolve":
        raise AttributeError(name)
    # Not earlier: it imports TensorFlow, and `experiment.settings` is read by `--help`.
    from .experiment import resolve

    return resolve
