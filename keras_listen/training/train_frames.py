"""Train a WaveNet of frames on folders of recordings; resumable, on any backend of Keras.

Every step compares the magnitudes that the network predicts in random crops with those of the
recordings. Phases play no part. A share of the crops has blurred features, with the pitch that the
sharp ones have: maximized features are blurred, and their pitch is invented.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ..errors import ParameterError
from ..features import FeatureSpec, mel_basis, window
from ..models.bundle import Bundle, bundle_for_vocoder
from ..models.provenance import made_with
from ..output.files import csv_text
from ..output.progress import Track, quiet
from ..vocoders.phase_gradient import require_overlap
from ..vocoders.pitch import Pitch, estimate_pitch
from ..vocoders.wavenet.frames import FramesVocoder, source_of
from ..vocoders.wavenet.spectrum import LOWEST_DB, SCALE_DB, SpectrumConfig, build_spectrum, to_scale
from .checkpoint import Checkpoint
from .recordings import Recordings, gather
from .vocoder_recipe import Announce, Heard, VocoderRecipe

#: Default recipe: of the embedded WaveNet.
RECIPE = VocoderRecipe(
    steps=6000, batch_size=8, crop_frames=64, warmup=200, averaging=0.999, checkpoint=200
)
#: Share of crops with blurred features, and largest standard deviations in frames and bands.
_BLURRED, _BLUR = 0.3, (1.5, 2.5)
#: Exponent of magnitudes that are compared, about that of loudness.
_LOUDNESS = 0.3
#: Frequency, in Hz, at which a bin's weight is half of that of 0 Hz: as on a scale of critical
#: bands, which the hearing resolves, higher bins count less.
_HALF_WEIGHT = 300.0
#: dB below the loudest bin of a frame, below which differences do not count, and dB below the
#: loudest frame, at which a frame's weight is the least one.
_HEARD_DB, _LEAST = 60.0, 0.05
#: Number of validation crops.
_WATCHED = 64
#: Number of recordings that are synthesised at each checkpoint, and their maximal length in frames.
_PLAYED, _PLAYED_FRAMES = 3, 120


class MagnitudeLoss:
    """Difference of predicted magnitudes from a recording's, in dB, in loudness and by bands.

    Called with targets [shape=(batch, frames, bins + bands)], magnitudes on the network's scale
    beside features, and predictions [shape=(batch, frames, bins)].
    """

    def __init__(self, spec: FeatureSpec, bins: int):
        self.bins, self.spec = bins, spec
        self.basis = mel_basis(spec)[:, :bins].T.astype(np.float32)
        weights = 1 / (1 + np.arange(bins) * spec.sample_rate / spec.n_fft / _HALF_WEIGHT)
        self.weights = (weights / weights.mean()).astype(np.float32)

    def __call__(self, wanted, predicted):
        wanted, features = wanted[..., : self.bins], wanted[..., self.bins :]
        peak = ops.max(wanted, axis=-1, keepdims=True)
        below = (ops.max(peak, axis=1, keepdims=True) - peak) * (SCALE_DB / _HEARD_DB)
        weight = ops.clip(1 - below, _LEAST, 1.0)
        floor = peak - _HEARD_DB / SCALE_DB
        apart = ops.abs(ops.maximum(predicted, floor) - ops.maximum(wanted, floor))
        loss = ops.mean(weight * self.weights * apart)
        found, true = (ops.exp(x * _EXPONENT * _LOUDNESS) for x in (predicted, wanted))
        apart = ops.mean(self.weights * ops.abs(found - true))
        loss = loss + apart / (ops.mean(self.weights * true) + 1e-6)
        spec = self.spec
        power = ops.exp(predicted * (_EXPONENT * spec.power))
        bands = ops.maximum(ops.matmul(power, self.basis), 1e-10)
        decibel = ops.log(bands) * float(20 / spec.power / np.log(10)) - spec.reference_db
        again = ops.clip(1 - decibel / spec.floor_db, 0.0, 1.0)
        return loss + ops.mean(weight * ops.abs(again - features)) * (-spec.floor_db / SCALE_DB)


#: exp of this, times a value on the network's scale, is the magnitude.
_EXPONENT = float(SCALE_DB / 20 * np.log(10))


def train_frames(
    folders: Sequence[str | Path],
    target: str | Path,
    *,
    config: SpectrumConfig | None = None,
    recipe: VocoderRecipe | None = None,
    spec: FeatureSpec | None = None,
    seed: int = 0,
    compact: bool = False,
    announce: Announce = lambda row: None,
    heard: Heard = lambda step, name, sound, features, spec: None,
    track: Track = quiet,
) -> Bundle:
    """Train a WaveNet of frames and add it to the bundle in `target`; an existing one is kept.

    Args:
        folders: folders with recordings, at any depth.
        target: folder of the bundle; where it is missing, a bundle without words is created.
        config: of the network; by default one for the features.
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
    bundle = bundle_for_vocoder(target, spec)
    if "wavenet" in bundle.names():
        return bundle
    spec, recipe = bundle.spec, recipe or RECIPE
    config = config or config_for(spec)
    _check(config, spec)
    work = bundle.root / ".training" / "wavenet"
    recordings = gather(folders, work / "recordings", spec, track=track)
    hertz = find_pitches(recordings, work / "recordings", spec, track)
    keras.utils.set_random_seed(seed)
    training = FramesTraining(config, recipe, recordings, hertz, spec, seed, work)
    training.run(announce, lambda step: _synthesize_some(training, step, heard))
    training.model.set_weights(training.average)
    _add(bundle, training, compact)
    shutil.rmtree(work, ignore_errors=True)
    return bundle


def config_for(spec: FeatureSpec) -> SpectrumConfig:
    """Return the default network for features: it predicts the bins up to their highest band."""
    top = spec.fmax * spec.n_fft / spec.sample_rate
    # A little more than that: windows spread the highest band's energy.
    bins = min(1 + spec.n_fft // 2, 32 * int(np.ceil((top + 8) / 32)))
    return SpectrumConfig(bands=spec.n_mels, bins=bins)


def _check(config: SpectrumConfig, spec: FeatureSpec) -> None:
    require_overlap(spec, "a WaveNet of frames")
    if config.bands != spec.n_mels:
        raise ParameterError(
            f"the WaveNet is conditioned on {config.bands} bands, the features have "
            f"{spec.n_mels}; set bands to that"
        )
    if config.bins > 1 + spec.n_fft // 2:
        raise ParameterError(
            f"the WaveNet predicts {config.bins} bins, the features' transform has "
            f"{1 + spec.n_fft // 2}; set bins to at most that"
        )


def find_pitches(
    recordings: Recordings, folder: Path, spec: FeatureSpec, track: Track = quiet
) -> np.ndarray:
    """Estimate the pitch of all recordings, or load what an earlier call has estimated.

    Returns:
        Hz, 0 in unvoiced frames [shape=(frames of all recordings,)].
    """
    index = (folder / "index.json").read_bytes()
    path = folder / f"pitch-{hashlib.sha256(index).hexdigest()[:16]}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    hertz = np.zeros(recordings.starts[-1], np.float32)
    starts = recordings.starts
    with track(total=len(starts) - 1, label="pitch", unit="file") as advance:
        for begin, end in zip(starts[:-1], starts[1:], strict=True):
            hertz[begin:end] = estimate_pitch(recordings.features[begin:end], spec)
            advance()
    beside = path.with_suffix(".part.npy")
    np.save(beside, hertz)
    os.replace(beside, path)
    return hertz


def _add(bundle: Bundle, training: FramesTraining, compact: bool) -> None:
    """Add the trained network to the bundle."""
    bundle.add(
        "wavenet",
        {"model": training.model},
        texts={"curves.csv": csv_text(training.curves)},
        about={
            "kind": "wavenet-frames",
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


class FramesTraining:
    """The state of a training and its steps.

    Attributes:
        average: moving average of the weights.
        unseen: numbers of the recordings for validation.
    """

    def __init__(
        self,
        config: SpectrumConfig,
        recipe: VocoderRecipe,
        recordings: Recordings,
        hertz: np.ndarray,
        spec: FeatureSpec,
        seed: int,
        work: Path,
    ):
        self.config, self.recipe, self.spec, self.seed = config, recipe, spec, seed
        self.recordings, self.hertz = recordings, hertz
        self.model = build_spectrum(config)
        self.model.compile(
            keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0),
            loss=MagnitudeLoss(spec, config.bins),
        )
        self.curves: list[dict[str, float]] = []
        self.average = self.model.get_weights()
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
        self._checkpoint = Checkpoint(work, self.model, settings)

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
        """Draw crops; return the network's inputs, and the targets of `MagnitudeLoss`."""
        frames, recordings = self.recipe.crop_frames, self.recordings
        chances = self._chances if chosen is self._seen else None
        parts = []
        for recording in draws.choice(chosen, self.recipe.batch_size, p=chances):
            most = max(1, recordings.lengths[recording] - frames + 1)
            parts.append(self._crop(recording, int(draws.integers(0, most)), draws))
        features, source, harmonics, wanted = (np.stack(each) for each in zip(*parts, strict=True))
        return {"features": features, "source": source, "comb": harmonics}, wanted

    def _crop(self, recording: int, first: int, draws: np.random.Generator) -> tuple:
        """Return features, source, comb and targets of a crop."""
        spec, bins, frames = self.spec, self.config.bins, self.recipe.crop_frames
        overhang = -(-spec.n_fft // spec.hop_length) - 1
        sound, _ = self.recordings.crop(recording, first, frames + overhang, 0)
        _, features = self.recordings.crop(recording, first, frames, 0)
        begin, end = self.recordings.starts[recording : recording + 2]
        hertz = self.hertz[begin + first : min(begin + first + frames, end)]
        hertz = np.pad(hertz, (0, frames - len(hertz))).astype(np.float64)
        given, origin = features, "estimated"
        if draws.random() < _BLURRED:
            given, origin = blur(features, draws.random(2) * _BLUR), "invented"
        pitch = Pitch(hertz, origin if hertz.any() else "none")
        source, harmonics = source_of(given, pitch, spec)
        pieces = np.lib.stride_tricks.sliding_window_view(sound, spec.n_fft)[:: spec.hop_length]
        true = np.abs(np.fft.rfft(pieces[:frames] * window(spec)))[:, :bins]
        wanted = np.concatenate([to_scale(true), features], axis=1)
        return given, to_scale(source[:, :bins]), harmonics[:, :bins], wanted

    def validate(self) -> float:
        """Return the mean loss on fixed crops of the validation recordings."""
        draws, losses = np.random.default_rng(1), []
        for _ in range(-(-_WATCHED // self.recipe.batch_size)):
            inputs, wanted = self.batch(draws, self.unseen)
            self.model.reset_metrics()
            losses.append(self.model.test_on_batch(inputs, wanted, return_dict=True)["loss"])
        return float(np.mean(losses))


def blur(features: np.ndarray, deviations: Sequence[float]) -> np.ndarray:
    """Blur features [shape=(frames, mels)] by Gaussians of so many frames and bands."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(features, deviations, mode="nearest")


def _synthesize_some(training: FramesTraining, step: int, heard: Heard) -> None:
    """Copy-synthesise some validation recordings with the averaged weights."""
    recordings, spec = training.recordings, training.spec
    chosen = training.unseen[:: max(1, len(training.unseen) // _PLAYED)]
    vocoder = FramesVocoder(spec, training.model, training.config)
    for recording in chosen[:_PLAYED]:
        length = int(min(recordings.lengths[recording], _PLAYED_FRAMES))
        _, features = recordings.crop(recording, 0, length, 0)
        sound = vocoder.synthesize(features[None], np.array([[0, recording]], np.uint32))[0]
        heard(step, recordings.names[recording], sound, features, spec)
