"""The features of this project as a front end: what `features.extract_fitted` computes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ...features import FeatureSpec, count_frames, left_padding, mel_basis, window
from .front_end import require_length
from .settings import Settings
from .sound import fit
from .spectrum import joined_frames, magnitudes

_SPEC = FeatureSpec()


class Features:
    """Normalised log-mel spectrograms of a spec, from sounds [shape=(batch, samples)].

    Args:
        spec: of the features.
        samples: length of the sounds; None for any.

    Attributes:
        spec, samples: as given.
        sample_rate: in Hz.
    """

    def __init__(self, spec: FeatureSpec, samples: int | None = None):
        self.spec, self.samples, self.sample_rate = spec, samples, spec.sample_rate
        self._window = window(spec).astype(np.float32)
        self._basis = mel_basis(spec).T.astype(np.float32)

    def __call__(self, sounds: Any) -> Any:
        """Return features [shape=(batch, frames, mels, 1), float32, in [0, 1]]."""
        import tensorflow as tf

        spec = self.spec
        sounds = tf.convert_to_tensor(sounds, tf.float32)
        require_length(sounds, self.samples)
        if spec.peak:
            peak = tf.reduce_max(tf.abs(sounds), axis=1, keepdims=True)
            sounds = sounds / tf.where(peak > 0, peak, 1.0) * spec.peak
        length = sounds.shape[1]
        frames = joined_frames(
            sounds, left_padding(spec), count_frames(length, spec), spec.n_fft, spec.hop_length
        )
        mel = tf.matmul(magnitudes(frames * self._window, spec.n_fft, spec.power), self._basis)
        return self._fitted(self._normalized(mel))[..., None]

    def fit(self, sound: np.ndarray) -> np.ndarray:
        """Bring a recording [shape=(any,)] to the length of the sounds, if they have one."""
        return fit(sound, self.samples)

    def _normalized(self, mel: Any) -> Any:
        """Return what `features.normalize_magnitude` computes."""
        import tensorflow as tf

        spec = self.spec
        least = 0.1 * 10.0 ** ((spec.floor_db + spec.reference_db) * spec.power / 20.0)
        factor = 20.0 / spec.power / np.log(10.0)
        decibel = factor * tf.math.log(tf.maximum(mel, least)) - spec.reference_db
        return tf.clip_by_value(1.0 - decibel / spec.floor_db, 0.0, 1.0)

    def _fitted(self, features: Any) -> Any:
        """Return what `features.fit_frames` computes."""
        import tensorflow as tf

        spec = self.spec
        surplus = features.shape[1] - spec.frames
        if surplus > 0:
            if spec.longer == "drop_second":
                return tf.concat([features[:, :1], features[:, 1 + surplus :]], axis=1)
            start = surplus // 2 if spec.longer == "crop_center" else 0
            return features[:, start : start + spec.frames]
        before = -surplus // 2 if spec.shorter == "pad_center" else 0
        return tf.pad(features, [[0, 0], [before, -surplus - before], [0, 0]])


def features(
    bundle: None,
    *,
    samples: Annotated[int | None, "length of the sounds in samples; none: any"] = None,
    sample_rate: Annotated[int, "in Hz"] = _SPEC.sample_rate,
    n_fft: Annotated[int, "window and transform length, in samples"] = _SPEC.n_fft,
    hop_length: Annotated[int, "from one frame to the next, in samples"] = _SPEC.hop_length,
    window: Annotated[str, "sqrt_hann, or a name known to scipy.signal"] = _SPEC.window,
    padding: Literal["edges", "center"] = "edges",
    peak: Annotated[float, "peak that the sound is scaled to; 0: not at all"] = _SPEC.peak,
    power: Annotated[float, "exponent of the magnitudes, 1 or 2"] = _SPEC.power,
    n_mels: Annotated[int, "number of mel bands"] = _SPEC.n_mels,
    fmin: Annotated[float, "lower edge of the bands, in Hz"] = _SPEC.fmin,
    fmax: Annotated[float, "upper edge of the bands, in Hz"] = _SPEC.fmax,
    mel_scale: Literal["slaney", "htk"] = "slaney",
    mel_norm: Literal["slaney", "none"] = "slaney",
    reference_db: Annotated[float, "subtracted after conversion to dB"] = _SPEC.reference_db,
    floor_db: Annotated[float, "the dB value that becomes 0"] = _SPEC.floor_db,
    frames: Annotated[int, "number of frames"] = _SPEC.frames,
    longer: Literal["drop_second", "crop_end", "crop_center"] = "drop_second",
    shorter: Literal["pad_end", "pad_center"] = "pad_end",
) -> Features:
    """The project's own features, normalised log-mel spectrograms [shape=(frames, mels, 1)].

    Its options are the fields of `keras_listen.FeatureSpec`.
    """
    fields = {name: value for name, value in locals().items() if name not in ("bundle", "samples")}
    # A length above 0, as the other front ends have it.
    if samples is not None:
        Settings(samples=samples)
    return Features(FeatureSpec(**fields), samples)
