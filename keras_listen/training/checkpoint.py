"""Checkpoints of a training on disk, from which a killed call is continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..output.files import make_folder, write_json


class Checkpoint:
    """Weights with the optimizer's state, further arrays, and plain values of a training.

    Args:
        root: folder for its files alone.
        model: compiled.
        settings: must be equal for a call to continue an earlier one.
    """

    def __init__(self, root: Path, model: keras.Model, settings: dict[str, Any]):
        self.root, self.model, self.settings = make_folder(root), model, settings

    def load(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Load the last state of the same settings into the model.

        Returns:
            state and arrays as given to `save`, or None where there is nothing to continue.
        """
        try:
            saved = json.loads((self.root / "state.json").read_text(encoding="utf-8"))
            settings, turn, state = saved["settings"], saved["turn"], saved["state"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if settings != self.settings:
            return None
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self._weights(turn))
        arrays = {}
        if (path := self._arrays(turn)).is_file():
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
        return state, arrays

    def save(self, state: dict[str, Any], turn: int, **arrays: np.ndarray) -> None:
        """Write everything, `state.json` last: only then does it take effect.

        Args:
            state: plain values.
            turn: 0 and 1 alternately, so that files named by `state.json` are never overwritten.
            arrays: saved beside the weights.
        """
        self.model.save_weights(self._weights(turn))
        if arrays:
            np.savez(self._arrays(turn), **arrays)
        about = {"settings": self.settings, "turn": turn, "state": state}
        write_json(self.root / "state.json", about)

    def _weights(self, turn: int) -> Path:
        return self.root / f"last-{turn}.weights.h5"

    def _arrays(self, turn: int) -> Path:
        return self.root / f"last-{turn}.npz"
