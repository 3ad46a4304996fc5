"""Train a WaveNet on folders of recordings; resumable, on any backend of Keras.

Every step uses random crops. The result is the moving average of the weights, as published.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec
from ..models.bundle import Bundle, bundle_for_vocoder
from ..models.provenance import made_with
from ..output.files import csv_text
from ..output.progress import Track, quiet
from ..vocoders.wavenet.network import WaveNetConfig, build_wavenet
from ..vocoders.wavenet.outputs import make_output
from ..vocoders.wavenet.signal import margins, to_net
from ..vocoders.wavenet.vocoder import WaveNetVocoder
from .checkpoint import Checkpoint
from .recordings import Recordings, gather

#: A network that one processor core can train in hours and that generates faster than real time. It
#: predicts excitation, as levels: after 4 million samples such a network's sounds were within 5 dB
#: of the features, those of one with a Gaussian 10 dB, and those of networks that predicted the
#: sound itself 9 to 17 dB (one run each).
SMALL = WaveNetConfig(
    output="softmax",
    out_channels=256,
    layers=10,
    stacks=1,
    kernel_size=2,
    residual_channels=64,
    gate_channels=128,
    skip_channels=64,
    upsampling="repeat",
    upsample_scales=(256,),
    context_layers=2,
    context_channels=128,
    dropout=0.0,
    linear_prediction=32,
    pitch_prediction=0.85,
)
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


def read_config(path: str | Path | None) -> WaveNetConfig:
    """Read a WaveNet's configuration from a JSON file of settings; None gives `SMALL`.

    Settings that the file leaves out are those of `SMALL`.

    Raises:
        ParameterError: the file cannot be read or names an unknown setting.
    """
    if path is None:
        return SMALL
    try:
        fields = dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ParameterError(f"cannot read the settings of a WaveNet {path}: {error}") from error
    return WaveNetConfig.from_dict(SMALL.to_dict() | fields)


def train_wavenet(
    folders: Sequence[str | Path],
    target: str | Path,
    *,
    config: WaveNetConfig = SMALL,
    recipe: VocoderRecipe | None = None,
    spec: FeatureSpec | None = None,
    seed: int = 0,
    compact: bool = False,
    announce: Announce = lambda row: None,
    heard: Heard = lambda step, name, sound, features, spec: None,
    track: Track = quiet,
) -> Bundle:
    """Train a WaveNet and add it to the bundle in `target`; an existing one is kept.

    Args:
        folders: folders with recordings, at any depth.
        target: folder of the bundle; where it is missing, a bundle without words is created.
        config: of the network.
        recipe: settings of the training.
        spec: FeatureSpec of a new bundle; the published one by default.
        seed: of initial weights and crops.
        compact: store weights as float16.
        announce: called with the figures of each checkpoint.
        heard: called at each checkpoint with its step and, for some validation recordings, name,
            copy-synthesised sound, features and FeatureSpec.
        track: progress of reading the recordings.

    Raises:
        CorpusError: no recording can be used.
        ParameterError: the network does not fit the features.
        SpecError: the folder holds a bundle of other features.
    """
    recipe = recipe or VocoderRecipe()
    bundle = bundle_for_vocoder(target, spec)
    if "wavenet" in bundle.names():
        return bundle
    spec = bundle.spec
    _check(config, spec)
    work = bundle.root / ".training" / "wavenet"
    recordings = gather(folders, work / "recordings", spec, track=track)
    keras.utils.set_random_seed(seed)
    training = _Training(build_wavenet(config), config, recipe, recordings, spec, seed, work)
    training.run(announce, lambda step: _synthesize_some(training, spec, step, heard))
    training.model.set_weights(training.average)
    _add(bundle, training, compact)
    shutil.rmtree(work, ignore_errors=True)
    return bundle


def _add(bundle: Bundle, training: _Training, compact: bool) -> None:
    """Add the trained network to the bundle."""
    bundle.add(
        "wavenet",
        {"model": training.model},
        texts={"curves.csv": csv_text(training.curves)},
        about={
            "kind": "wavenet",
            "config": training.config.to_dict(),
            "provenance": {
                "recipe": asdict(training.recipe),
                "seed": training.seed,
                "recordings": len(training.recordings.names),
                **made_with(),
            },
        },
        compact=compact,
    )


def _check(config: WaveNetConfig, spec: FeatureSpec) -> None:
    if config.conditioning_channels != spec.n_mels:
        raise ParameterError(
            f"the WaveNet is conditioned on {config.conditioning_channels} bands, the features "
            f"have {spec.n_mels}; set conditioning_channels to that"
        )
    if config.hop_length != spec.hop_length:
        raise ParameterError(
            f"the WaveNet's upsample_scales {config.upsample_scales} multiply to "
            f"{config.hop_length}, the features' hop_length is {spec.hop_length}"
        )
    if config.speakers:
        raise ParameterError("training with speakers is not supported; set speakers to 0")


class _Training:
    """The state of a training and its steps."""

    def __init__(
        self,
        model: keras.Model,
        config: WaveNetConfig,
        recipe: VocoderRecipe,
        recordings: Recordings,
        spec: FeatureSpec,
        seed: int,
        work: Path,
    ):
        self.spec = spec
        self.model, self.config, self.recipe = model, config, recipe
        self.recordings, self.seed = recordings, seed
        self.curves: list[dict[str, float]] = []
        self.average = model.get_weights()
        output = make_output(config)
        # Keras passes targets with a last axis, and reduces the loss to a mean itself.
        model.compile(
            keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0),
            loss=lambda wanted, predicted: keras.ops.mean(output.loss(predicted, wanted)),
        )
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
        settings = {"config": config.to_dict(), "seed": seed, "recordings": digest}
        settings |= {k: v for k, v in asdict(recipe).items() if k not in ("steps", "checkpoint")}
        self._checkpoint = Checkpoint(work, model, settings)

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
            self._move_average(step)
            if (step + 1) % recipe.checkpoint == 0 or step + 1 == recipe.steps:
                row = {"step": step + 1, "steps": recipe.steps, "loss": float(np.mean(losses))}
                losses.clear()
                kept = self.model.get_weights()
                self.model.set_weights(self.average)
                row["val_loss"] = self.validate()
                listen(step + 1)
                self.model.set_weights(kept)
                self.curves.append(row)
                self._save(step + 1)
                announce(row)

    def _resume(self) -> int:
        saved = self._checkpoint.load()
        if saved is None:
            return 0
        state, arrays = saved
        self.curves = state["curves"]
        self.average = [arrays[f"w{i}"] for i in range(len(arrays))]
        return state["step"]

    def _save(self, step: int) -> None:
        arrays = {f"w{i}": weight for i, weight in enumerate(self.average)}
        state = {"step": step, "curves": self.curves}
        self._checkpoint.save(state, len(self.curves) % 2, **arrays)

    def _move_average(self, step: int, every: int = 10) -> None:
        """Update the moving average every tenth step, for ten steps at once: this costs little."""
        if (step + 1) % every:
            return
        # At the beginning the average would keep too much of the random initial weights.
        keep = min(self.recipe.averaging, (step + 1) / (step + 10)) ** every
        for mean, now in zip(self.average, self.model.get_weights(), strict=True):
            mean *= keep
            mean += (1 - keep) * now

    def batch(
        self, draws: np.random.Generator, chosen: Sequence[int]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draw crops; return the network's inputs and the samples that it should predict."""
        frames = self.recipe.crop_frames
        chances = self._chances if chosen is self._seen else None
        picked = draws.choice(chosen, self.recipe.batch_size, p=chances)
        firsts = [
            int(draws.integers(0, max(1, self.recordings.lengths[recording] - frames + 1)))
            for recording in picked
        ]
        samples, features = self._crops(picked, firsts, draws)
        before = np.pad(samples[:, :-1], ((0, 0), (1, 0)), constant_values=self.config.silence)
        if self.config.output == "softmax":
            before = np.eye(self.config.out_channels, dtype=np.float32)[before]
        else:
            before = before[..., None]
        inputs = {"samples": before}
        if self.config.conditioning_channels:
            inputs["features"] = features
        return inputs, samples

    def _crops(
        self, picked: Sequence[int], firsts: Sequence[int], draws: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the signal that the network should predict in crops, and the features for it."""
        frames, context = self.recipe.crop_frames, self.config.context_layers
        around = margins(self.config, self.spec)
        whole = around.before + frames + around.after
        margin = max(context, around.features)
        sounds, features = [], []
        for recording, first in zip(picked, firsts, strict=True):
            start = first - around.before
            sounds.append(self.recordings.crop(recording, start, whole, 0)[0])
            features.append(self.recordings.crop(recording, start, whole, margin)[1])
        sounds, features = np.stack(sounds), np.stack(features)
        own = features[:, margin - around.features : margin + whole]
        samples = to_net(self.config, sounds, own, self.spec, draws)
        first = margin + around.before
        return samples, features[:, first - context : first + frames + context]

    def validate(self) -> float:
        """Return the mean loss on fixed crops of the validation recordings."""
        draws, losses = np.random.default_rng(1), []
        for _ in range(-(-_WATCHED // self.recipe.batch_size)):
            inputs, wanted = self.batch(draws, self.unseen)
            self.model.reset_metrics()
            losses.append(self.model.test_on_batch(inputs, wanted, return_dict=True)["loss"])
        return float(np.mean(losses))


def _synthesize_some(training: _Training, spec: FeatureSpec, step: int, heard: Heard) -> None:
    """Copy-synthesise some validation recordings with the averaged weights."""
    if not training.config.conditioning_channels:
        return
    recordings = training.recordings
    chosen = training.unseen[:: max(1, len(training.unseen) // _HEARD)]
    vocoder = WaveNetVocoder(spec, training.model, training.config)
    for recording in chosen[:_HEARD]:
        length = int(min(recordings.lengths[recording], _HEARD_FRAMES))
        _, features = recordings.crop(recording, 0, length, 0)
        sound = vocoder.synthesize(features[None], np.array([[0, recording]], np.uint32))[0]
        heard(step, recordings.names[recording], sound, features, spec)
