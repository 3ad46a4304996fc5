"""Train a WaveNet of frames on folders of recordings; resumable, on any backend of Keras.

Every step compares the magnitudes that the network predicts in random crops with those of the
recordings. Phases play no part.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from ..errors import ParameterError
from ..features import FeatureSpec, mel_basis
from ..models.bundle import Bundle, bundle_for_vocoder
from ..output.progress import Track, quiet
from ..vocoders.phase_gradient import require_overlap
from ..vocoders.wavenet import FRAMES
from ..vocoders.wavenet.frames import FramesVocoder
from ..vocoders.wavenet.source import comb_of, spectrum_of
from ..vocoders.wavenet.spectrum import (
    SCALE_DB,
    SpectrumConfig,
    build_spectrum,
    to_scale,
)
from .recordings import gather
from .sources import Sources, make_sources
from .vocoder_training import (
    Announce,
    Heard,
    VocoderRecipe,
    VocoderTraining,
    add_vocoder,
    synthesize_some,
)

#: Default recipe: of the embedded WaveNet.
RECIPE = VocoderRecipe(
    steps=6000, batch_size=8, crop_frames=64, warmup=200, averaging=0.999, checkpoint=200
)
#: Exponent of magnitudes that are compared, about that of loudness.
_LOUDNESS = 0.3
#: Frequency, in Hz, at which a bin's weight is half of that of 0 Hz: as on a scale of critical
#: bands, which the hearing resolves, higher bins count less.
_HALF_WEIGHT = 300.0
#: dB below the loudest bin of a frame, below which differences do not count, and dB below the
#: loudest frame, at which a frame's weight is the least one.
_HEARD_DB, _LEAST = 60.0, 0.05
#: exp of this, times a value on the network's scale, is the magnitude.
_EXPONENT = float(SCALE_DB / 20 * np.log(10))


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


def train_frames(
    folders: Sequence[str | Path],
    target: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
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
        changes: settings of the network that differ from those of `config_for`.
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
    config = SpectrumConfig.from_dict({**config_for(spec).to_dict(), **(changes or {})})
    _check(config, spec)
    work = bundle.root / ".training" / "wavenet"
    recordings = gather(folders, work / "recordings", spec, track=track)
    sources = make_sources(recordings, work / "sources", spec, track)
    keras.utils.set_random_seed(seed)
    training = FramesTraining(config, recipe, sources, spec, seed, work)
    vocoder = FramesVocoder(spec, training.model, config)
    training.run(announce, lambda step: synthesize_some(training, vocoder, step, heard))
    add_vocoder(bundle, training, FRAMES, config.to_dict(), compact)
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


class FramesTraining(VocoderTraining):
    """Trains on magnitudes of recordings, predicted from those of their sources."""

    def __init__(
        self,
        config: SpectrumConfig,
        recipe: VocoderRecipe,
        sources: Sources,
        spec: FeatureSpec,
        seed: int,
        work: Path,
    ):
        self.config, self.spec, self.sources = config, spec, sources
        super().__init__(
            build_spectrum(config),
            MagnitudeLoss(spec, config.bins),
            config.to_dict(),
            recipe,
            sources.recordings,
            seed,
            work,
        )

    def crops(
        self, picked: Sequence[int], firsts: Sequence[int], draws: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the network's inputs, and the targets of `MagnitudeLoss`."""
        parts = [self._crop(*place) for place in zip(picked, firsts, strict=True)]
        features, source, harmonics, wanted = (np.stack(each) for each in zip(*parts, strict=True))
        return {"features": features, "source": source, "comb": harmonics}, wanted

    def _crop(self, recording: int, first: int) -> tuple:
        """Return features, source, comb and targets of a crop."""
        spec, bins, frames = self.spec, self.config.bins, self.recipe.crop_frames
        longer = frames - 1 + -(-spec.n_fft // spec.hop_length)
        sound, _ = self.recordings.crop(recording, first, longer, 0)
        source, hertz = self.sources.crop(recording, first, longer)
        given = self.sources.given(recording)[first : first + frames]
        given = np.pad(given, ((0, frames - len(given)), (0, 0)))
        _, features = self.recordings.crop(recording, first, frames, 0)
        lines = [to_scale(np.abs(spectrum_of(y, spec)[:frames, :bins])) for y in (source, sound)]
        harmonics = comb_of(hertz[:frames], spec)[:, :bins]
        return given, lines[0], harmonics, np.concatenate([lines[1], features], axis=1)
