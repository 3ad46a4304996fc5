"""Train a WaveNet of samples on folders of recordings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from ..errors import ParameterError
from ..features import FeatureSpec
from ..models.bundle import Bundle, bundle_for_vocoder
from ..output.progress import Track, quiet
from ..vocoders.wavenet import SAMPLES
from ..vocoders.wavenet.network import WaveNetConfig, build_wavenet
from ..vocoders.wavenet.outputs import make_output
from ..vocoders.wavenet.signal import margins, to_net
from ..vocoders.wavenet.vocoder import WaveNetVocoder
from .recordings import Recordings, gather
from .vocoder_training import (
    Announce,
    Heard,
    VocoderRecipe,
    VocoderTraining,
    add_vocoder,
    read_settings,
    synthesize_some,
)

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


def read_config(path: str | Path | None) -> WaveNetConfig:
    """Read a WaveNet's configuration from a JSON file of settings; None gives `SMALL`.

    Settings that the file leaves out are those of `SMALL`.

    Raises:
        ParameterError: the file cannot be read or names an unknown setting.
    """
    return WaveNetConfig.from_dict(SMALL.to_dict() | read_settings(path))


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
    """Train a WaveNet of samples and add it to the bundle in `target`; an existing one is kept.

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
    training = _SamplesTraining(config, recipe, recordings, spec, seed, work)

    def listen(step: int) -> None:
        if config.conditioning_channels:
            vocoder = WaveNetVocoder(spec, training.model, config)
            synthesize_some(training, vocoder, step, heard)

    training.run(announce, listen)
    add_vocoder(bundle, training, SAMPLES, config.to_dict(), compact)
    shutil.rmtree(work, ignore_errors=True)
    return bundle


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


class _SamplesTraining(VocoderTraining):
    """Trains on samples of recordings, each predicted from those before it."""

    def __init__(
        self,
        config: WaveNetConfig,
        recipe: VocoderRecipe,
        recordings: Recordings,
        spec: FeatureSpec,
        seed: int,
        work: Path,
    ):
        self.config, self.spec = config, spec
        output = make_output(config)
        super().__init__(
            build_wavenet(config),
            # Keras passes targets with a last axis, and reduces the loss to a mean itself.
            lambda wanted, predicted: keras.ops.mean(output.loss(predicted, wanted)),
            config.to_dict(),
            recipe,
            recordings,
            seed,
            work,
        )

    def crops(
        self, picked: Sequence[int], firsts: Sequence[int], draws: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the network's inputs and the samples that it should predict."""
        samples, features = self._signals(picked, firsts, draws)
        before = np.pad(samples[:, :-1], ((0, 0), (1, 0)), constant_values=self.config.silence)
        if self.config.output == "softmax":
            before = np.eye(self.config.out_channels, dtype=np.float32)[before]
        else:
            before = before[..., None]
        inputs = {"samples": before}
        if self.config.conditioning_channels:
            inputs["features"] = features
        return inputs, samples

    def _signals(
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
