"""The audio front end of TensorFlow Lite Micro: exact values, with a gradient beside them.

Its fixed-point arithmetic has no gradient. Values are those of the operation that TensorFlow itself
brings; the gradient is that of the same steps in floating point, without rounding.

References:
    Wang et al., "Trainable Frontend For Robust and Far-Field Keyword Spotting", ICASSP 2017,
    https://arxiv.org/abs/1607.05666, for the gain control.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ...errors import ParameterError
from .bands import mel_basis
from .front_end import FrontEnd
from .settings import AtLeast, MelSettings, Settings
from .sound import safe_root
from .spectrum import Spectrum, margins

#: Where TensorFlow has the operation.
_PLACE = Path("lite", "experimental", "microfrontend", "python", "ops")
_LIBRARY = "_audio_microfrontend_op.so"
_FULL_SCALE, _MOST = 32768.0, 65535.0
#: Bits of the filters' weights.
_FILTER_BITS = 12
#: Largest gain, of 16 bits.
_LARGEST_GAIN = 32767.0
_ABOVE_0 = AtLeast(0, excluded=True)


def unavailable() -> str | None:
    """Return why the front end cannot work here, or None; TensorFlow is not imported."""
    found = find_spec("tensorflow")
    folders = found.submodule_search_locations if found else None
    if folders and any((Path(folder) / _PLACE / _LIBRARY).is_file() for folder in folders):
        return None
    return (
        f"this TensorFlow has no micro front end ({_LIBRARY} is missing); take a TensorFlow that "
        "has it, as those for Linux do, or describe an approximation with the front end mel"
    )


@dataclass(frozen=True, kw_only=True)
class MicroSettings(Settings):
    """Settings of the micro front end, by the names that its sources have where ours differ."""

    frame_ms: Annotated[int, "length of a frame, in ms (window_size)", AtLeast(1)] = 25
    step_ms: Annotated[int, "from one frame to the next, in ms (window_step)", AtLeast(1)] = 10
    bands: Annotated[int, "number of bands (num_channels)", AtLeast(1)] = 32
    fmin: Annotated[float, "lower edge of the first band, in Hz", AtLeast(0)] = 125.0
    fmax: Annotated[float, "upper edge of the last band, in Hz", _ABOVE_0] = 7500.0
    even_smoothing: Annotated[float, "of the noise in bands 0, 2, ...", _ABOVE_0] = 0.025
    odd_smoothing: Annotated[float, "of the noise in bands 1, 3, ...", _ABOVE_0] = 0.06
    min_signal_remaining: Annotated[float, "share that noise reduction leaves", AtLeast(0)] = 0.05
    pcan: Annotated[bool, "per-channel gain control (enable_pcan)"] = True
    pcan_strength: Annotated[float, "exponent of the noise in the gain", AtLeast(0)] = 0.95
    pcan_offset: Annotated[float, "added to the noise in the gain", AtLeast(1)] = 80.0
    gain_bits: Annotated[int, "bits of the gain's fraction", AtLeast(16)] = 21
    log: Annotated[bool, "logarithm (enable_log)"] = True
    scale_shift: Annotated[int, "the logarithm is times 2 to this power", AtLeast(0)] = 6
    out_scale: Annotated[int, "the output is divided by it", AtLeast(1)] = 1
    range_db: Annotated[
        float | None,
        "dB below the sample's largest value that are kept, as whole numbers from -128 to 127 "
        "(quantize_dynamic_scale_range_db of Silicon Labs' MLTK)",
        _ABOVE_0,
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (
            ("even_smoothing", 1.0),
            ("odd_smoothing", 1.0),
            ("min_signal_remaining", 1.0),
            ("gain_bits", 30),
            ("scale_shift", 16),
        ):
            if getattr(self, name) > most:
                raise ParameterError(f"{name} is {getattr(self, name)}; expected at most {most}")
        if self.range_db is not None and not self.log:
            raise ParameterError("range_db is of logarithms; expected log=true beside it")
        self.spectrum()

    def spectrum(self) -> MelSettings:
        """Return the settings of the spectrum and bands.

        Raises:
            ParameterError: a frame has no sample, or the bands' range is impossible.
        """
        frame, step = (self.sample_rate * ms // 1000 for ms in (self.frame_ms, self.step_ms))
        if min(frame, step) < 1:
            raise ParameterError(
                f"frames of {self.frame_ms} ms at every {self.step_ms} ms have no sample at "
                f"{self.sample_rate} Hz; give more ms"
            )
        return MelSettings(
            sample_rate=self.sample_rate,
            frame=frame,
            step=step,
            window="hann_half",
            power=2.0,
            bands=self.bands,
            fmin=self.fmin,
            fmax=self.fmax,
            mel_scale="kaldi",
            log="none",
        )


class MicroFrontEnd(FrontEnd):
    """The micro front end, see `FrontEnd`.

    Args:
        settings: of the front end.

    Raises:
        ParameterError: the statistics are not usable, or sounds of the length are shorter than a
            frame.
    """

    def __init__(self, settings: MicroSettings):
        super().__init__(settings)
        framed = settings.spectrum()
        self._power = Spectrum(framed)
        # Frames that do not fit are refused here; the operation would return none.
        if self.samples is not None:
            margins(self.samples, framed)
        basis = mel_basis(framed)
        basis[: int(1.5 + settings.fmin * framed.transform / settings.sample_rate)] = 0.0
        scale = 2.0**_FILTER_BITS / framed.transform**2
        self._weights = (basis * scale).astype(np.float32)
        #: The bits that signals lack of the scale on which gain and logarithm work.
        self._correction = 2.0 ** (framed.transform.bit_length() - 1 - _FILTER_BITS // 2)

    def analyze(self, sounds: Any) -> Any:
        """Return bands [shape=(batch, frames, bands)] of sounds at their level."""
        import tensorflow as tf

        smooth = self.smooth(sounds)
        exact = tf.stop_gradient(self._exact(tf.stop_gradient(sounds)))
        exact = tf.ensure_shape(exact, smooth.shape)
        values = smooth + tf.stop_gradient(exact - smooth)
        return values if self.settings.range_db is None else self._scaled(values)

    def count_bands(self) -> int:
        """Return the number of bands of the output."""
        return self.settings.bands

    def _exact(self, sounds: Any) -> Any:
        """Return what the fixed-point operation gives for each sound."""
        import tensorflow as tf
        from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

        settings = self.settings
        rounded = tf.clip_by_value(tf.round(sounds * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)

        def of_one(sound: Any) -> Any:
            return audio_microfrontend_op.audio_microfrontend(
                sound,
                sample_rate=settings.sample_rate,
                window_size=settings.frame_ms,
                window_step=settings.step_ms,
                num_channels=settings.bands,
                upper_band_limit=settings.fmax,
                lower_band_limit=settings.fmin,
                even_smoothing=settings.even_smoothing,
                odd_smoothing=settings.odd_smoothing,
                min_signal_remaining=settings.min_signal_remaining,
                enable_pcan=settings.pcan,
                pcan_strength=settings.pcan_strength,
                pcan_offset=settings.pcan_offset,
                gain_bits=settings.gain_bits,
                enable_log=settings.log,
                scale_shift=settings.scale_shift,
                out_scale=settings.out_scale,
                out_type=tf.float32,
            )

        return tf.map_fn(of_one, tf.cast(rounded, tf.int16), fn_output_signature=tf.float32)

    def smooth(self, sounds: Any) -> Any:
        """Return the same in floating point: what the gradient is of."""
        import tensorflow as tf

        settings = self.settings
        squares = tf.matmul(self._power(sounds * _FULL_SCALE), self._weights)
        signal = tf.where(squares > 0, safe_root(squares), 0.0)
        noise = self._noise(signal)
        least = settings.min_signal_remaining * signal
        signal = tf.maximum(signal - tf.minimum(noise, signal), least)
        if settings.pcan:
            signal = self._gained(signal, noise)
        if settings.log:
            value = signal * self._correction
            safe = tf.where(value > 1, value, 1.0)
            signal = 2.0**settings.scale_shift * tf.math.log(safe)
        return tf.minimum(signal, _MOST) / settings.out_scale

    def _scaled(self, values: Any) -> Any:
        """Return values near the largest of each sample from -128 to 127, rounded down."""
        import tensorflow as tf

        settings = self.settings
        extent = settings.range_db * 2.0**settings.scale_shift * np.log(10.0) / 20
        extent = int(extent) / settings.out_scale
        top = tf.reduce_max(values, axis=[1, 2], keepdims=True)
        least = tf.maximum(top - extent, 0.0)
        step = tf.maximum(top - least, 1.0) / 255
        scaled = tf.maximum(values - least, 0.0) / step
        # A hundredth, far below a step, for quotients that float32 leaves just below a number.
        return scaled + tf.stop_gradient(tf.floor(scaled + 0.01) - scaled) - 128.0

    def _noise(self, signal: Any) -> Any:
        """Return the exponential mean over the frames so far, from 0."""
        import tensorflow as tf

        settings = self.settings
        frames = np.arange(signal.shape[1])
        age = frames[:, None] - frames[None, :]
        means = []
        for share in (settings.even_smoothing, settings.odd_smoothing):
            weights = np.where(age >= 0, share * (1.0 - share) ** np.maximum(age, 0), 0.0)
            means.append(tf.einsum("tu,bun->btn", weights.astype(np.float32), signal))
        return tf.where(np.arange(settings.bands) % 2 == 0, *means)

    def _gained(self, signal: Any, noise: Any) -> Any:
        """Return the signal over a power of the noise, compressed."""
        import tensorflow as tf

        settings, correction = self.settings, self._correction
        gain = (noise * correction + settings.pcan_offset) ** -settings.pcan_strength
        gain = tf.minimum(gain, _LARGEST_GAIN / 2.0**settings.gain_bits)
        ratio = signal * correction * gain
        return 64.0 * tf.where(ratio < 2, ratio**2 / 4, ratio - 1)
