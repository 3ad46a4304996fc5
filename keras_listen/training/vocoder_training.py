"""Train a network that speaks on random crops of recordings; resumable, on any backend of Keras.

The result is the moving average of the weights, as published.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec
from ..models.bundle import Bundle
from ..models.provenance import made_with
from ..output.files import csv_text
from ..texts import read_text
from .averaging import MovingAverage
from .checkpoint import Checkpoint
from .recordings import Recordings

#: Number of recordings that are synthesised at each checkpoint, and their maximal length in frames.
_HEARD, _HEARD_FRAMES = 3, 120
#: Number of validation crops.
_WATCHED = 64

Announce = Callable[[dict[str, float]], None]
Heard = Callable[[int, str, np.ndarray, np.ndarray, FeatureSpec], None]


@dataclass(frozen=True)
class VocoderRecipe:
    """How a WaveNet is trained.

    Attributes:
        steps: number of updates. The learning rate stays constant and falls to zero along the last
            fifth, so that a finished training can be continued.
        batch_size, crop_frames: number of crops in a step and their length.
        learning_rate, warmup: rate of Adam, and the number of steps until it is reached.
        averaging: share of the old weights that the moving average keeps at each step.
        checkpoint: number of steps between two states on disk.
    """

    steps: int = 50000
    batch_size: int = 2
    crop_frames: int = 8
    learning_rate: float = 1e-3
    warmup: int = 500
    averaging: float = 0.9995
    checkpoint: int = 1000

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "crop_frames", "warmup", "checkpoint"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; expected at least 1")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / max(1.0, 0.2 * self.steps)
        return self.learning_rate * min(1.0, rise, fall)


def read_settings(path: str | Path | None) -> dict[str, Any]:
    """Read a network's settings from a JSON file; none where `path` is None.

    Raises:
        ParameterError: the file cannot be read.
    """
    if path is None:
        return {}
    try:
        return dict(json.loads(read_text(path)))
    except (OSError, ValueError, TypeError) as error:
        raise ParameterError(f"cannot read the settings of a WaveNet {path}: {error}") from error


class VocoderTraining:
    """The state of a training and its steps; subclasses draw the batches.

    Args:
        model: not compiled yet.
        loss: of the model.
        config: of the network, as plain values.
        recipe: settings of the training.
        recordings: to train on.
        seed: of the crops.
        work: folder for checkpoints.

    Attributes:
        average: moving average of the weights.
        unseen: numbers of the recordings for validation.
        curves: figures of each checkpoint.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: Callable[[Any, Any], Any],
        config: dict[str, Any],
        recipe: VocoderRecipe,
        recordings: Recordings,
        seed: int,
        work: Path,
    ):
        self.model, self.recipe = model, recipe
        self.recordings, self.seed = recordings, seed
        self.curves: list[dict[str, float]] = []
        self.average = MovingAverage(model, recipe.averaging)
        model.compile(keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0), loss=loss)
        validation = recordings.validation
        self._seen = np.flatnonzero(~validation)
        # A few recordings may all be in one of the two parts.
        if not len(self._seen):
            self._seen = np.flatnonzero(validation)
        self.unseen = np.flatnonzero(validation) if validation.any() else self._seen
        # A recording is chosen in proportion to its length, so that every moment is equally likely.
        lengths = recordings.lengths[self._seen].astype(float)
        self._chances = lengths / lengths.sum()
        digest = hashlib.sha256(json.dumps(recordings.names).encode()).hexdigest()
        settings = {"config": config, "seed": seed, "recordings": digest}
        settings |= {k: v for k, v in asdict(recipe).items() if k not in ("steps", "checkpoint")}
        self._checkpoint = Checkpoint(work, model, settings)

    def crops(
        self, picked: Sequence[int], firsts: Sequence[int], draws: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the network's inputs and targets of crops.

        Args:
            picked: number of each crop's recording.
            firsts: its first frame in it.
            draws: source of what else is random.
        """
        raise NotImplementedError

    def run(self, announce: Announce, listen: Callable[[int], None]) -> None:
        """Train to the last step."""
        recipe = self.recipe
        begin = self._resume()
        losses: list[float] = []
        for step in range(begin, recipe.steps):
            self.model.optimizer.learning_rate = recipe.rate(step)
            inputs, wanted = self.batch(np.random.default_rng((self.seed, step)), self._seen)
            self.model.reset_metrics()
            losses.append(
                float(self.model.train_on_batch(inputs, wanted, return_dict=True)["loss"])
            )
            self.average.update(step)
            if (step + 1) % recipe.checkpoint == 0 or step + 1 == recipe.steps:
                row = {"step": step + 1, "steps": recipe.steps, "loss": float(np.mean(losses))}
                losses.clear()
                with self.average.in_place():
                    row["val_loss"] = self.validate()
                    listen(step + 1)
                self.curves.append(row)
                self._save(step + 1)
                announce(row)

    def _resume(self) -> int:
        saved = self._checkpoint.load()
        if saved is None:
            return 0
        state, arrays = saved
        self.curves = state["curves"]
        self.average.from_arrays(arrays)
        return state["step"]

    def _save(self, step: int) -> None:
        state = {"step": step, "curves": self.curves}
        self._checkpoint.save(state, len(self.curves) % 2, **self.average.to_arrays())

    def batch(
        self, draws: np.random.Generator, chosen: Sequence[int]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draw crops; return the network's inputs and targets."""
        frames, lengths = self.recipe.crop_frames, self.recordings.lengths
        chances = self._chances if chosen is self._seen else None
        picked = draws.choice(chosen, self.recipe.batch_size, p=chances)
        firsts = [int(draws.integers(0, max(1, lengths[one] - frames + 1))) for one in picked]
        return self.crops(picked, firsts, draws)

    def validate(self) -> float:
        """Return the mean loss on fixed crops of the validation recordings."""
        draws, losses = np.random.default_rng(1), []
        for _ in range(-(-_WATCHED // self.recipe.batch_size)):
            inputs, wanted = self.batch(draws, self.unseen)
            self.model.reset_metrics()
            losses.append(self.model.test_on_batch(inputs, wanted, return_dict=True)["loss"])
        return float(np.mean(losses))


def synthesize_some(training: VocoderTraining, vocoder: Any, step: int, heard: Heard) -> None:
    """Copy-synthesise some validation recordings and call `heard` with each.

    Args:
        training: with the recordings.
        vocoder: with the averaged weights.
        step: that the training has reached.
        heard: called with step, name, sound, features and FeatureSpec.
    """
    recordings, spec = training.recordings, vocoder.spec
    chosen = training.unseen[:: max(1, len(training.unseen) // _HEARD)]
    for recording in chosen[:_HEARD]:
        length = int(min(recordings.lengths[recording], _HEARD_FRAMES))
        _, features = recordings.crop(recording, 0, length, 0)
        sound = vocoder.synthesize(features[None], np.array([[0, recording]], np.uint32))[0]
        heard(step, recordings.names[recording], sound, features, spec)


def add_vocoder(
    bundle: Bundle, training: VocoderTraining, kind: str, config: dict[str, Any], compact: bool
) -> None:
    """Add the trained network, with the averaged weights, to the bundle as component `wavenet`."""
    about = {
        "kind": kind,
        "config": config,
        "provenance": {
            "recipe": asdict(training.recipe),
            "seed": training.seed,
            "recordings": len(training.recordings.names),
            **made_with(),
        },
    }
    texts = {"curves.csv": csv_text(training.curves)}
    with training.average.in_place():
        bundle.add("wavenet", {"model": training.model}, texts=texts, about=about, compact=compact)
