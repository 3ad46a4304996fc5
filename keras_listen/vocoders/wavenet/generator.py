"""Generate sounds with a WaveNet: many at once, sample after sample.

Everything that does not depend on the samples themselves (context, upsampling, the projection of
the conditioning for all layers) is computed ahead, stretch by stretch; the compiled kernel computes
the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np

from ...errors import ParameterError
from ...seeds import generator
from .network import WaveNetConfig
from .outputs import make_output
from .sample_loop import GAUSSIAN, LOGISTICS, SOFTMAX, generate_steps

Report = Callable[[int], None]

_KINDS = {"logistics": LOGISTICS, "gaussian": GAUSSIAN, "softmax": SOFTMAX}
#: With more weights than this, in bytes, each step streams them from memory; then more sounds share
#: a step, and the cores divide each product among them instead of the sounds.
_LARGE = 8 << 20
#: Memory for the conditioning of one stretch of one block, in bytes.
_STRETCH = 64 << 20
#: Largest number of frames of a stretch, so that progress moves.
_FRAMES = 16
#: Samples of the trial from which time is estimated.
_TRIAL = 256


@dataclass
class Forced:
    """Teacher forcing: inputs in place of the network's own samples, and its outputs for them.

    Attributes:
        samples: samples or levels [shape=(batch, samples)].
        parameters: set by `Generator.generate` [shape=(batch, samples, out_channels)].
    """

    samples: np.ndarray
    parameters: np.ndarray | None = None


class Generator:
    """A WaveNet ready to generate.

    Args:
        model: from `build_wavenet(config)`, with its weights.
        config: of the network.
        rows: sounds computed together; a batch is padded to a multiple of it, so that a sound's
            bits depend only on itself and this number. By default 8, or 64 where the weights do
            not fit into a cache; 1 is fastest for a single sound.

    Attributes:
        rows: as given, or the default.
        large: whether the weights exceed a core's cache.
        products: multiplications for one sample, without conditioning.
    """

    def __init__(self, model: keras.Model, config: WaveNetConfig, rows: int = 0):
        self.config = config
        stack = [model.get_layer(f"layer_{i}") for i in range(config.layers)]
        self._net = (
            *_transposed(*_dense(model, "first")),
            *_transposed(_stacked(stack, "kernel"), _stacked(stack, "out_kernel")),
            _stacked(stack, "out_bias"),
            *_transposed(*_dense(model, "hidden")),
            *_transposed(*_dense(model, "parameters")),
        )
        self._bias = _stacked(stack, "bias")
        self._context = [_dense(model, f"context_{i}") for i in range(config.context_layers)]
        self._upsampling = []
        if config.conditioning_channels:
            (self._conditioning_kernel,) = _transposed(_stacked(stack, "conditioning_kernel"))
            if config.upsampling == "transposed":
                scales = range(len(config.upsample_scales))
                self._upsampling = [_dense(model, f"upsample_{i}") for i in scales]
        if config.speakers:
            self._speaker_kernel = _stacked(stack, "speaker_kernel")
            self._speakers = _numpy(model.get_layer("speakers").embeddings)
        self.large = sum(array.nbytes for array in self._net) > _LARGE
        self.rows = rows or (64 if self.large else 8)
        self.products = sum(array.size for array in self._net if array.ndim > 1)

    def generate(
        self,
        features: np.ndarray | None,
        seeds: np.ndarray,
        *,
        samples: int = 0,
        speakers: np.ndarray | None = None,
        forced: Forced | None = None,
        report: Report = lambda done: None,
    ) -> np.ndarray:
        """Generate one sound for each row of `seeds`.

        Args:
            features: [shape=(batch, frames, conditioning_channels)]; None for a network without
                local conditioning.
            seeds: of the draws [shape=(batch, 2), uint32].
            samples: length where there are no features; otherwise it is frames * hop_length.
            speakers: number of each sound's speaker [shape=(batch,)], for a network with speakers.
            forced: for teacher forcing.
            report: called, from any thread, with the number of samples generated since its last
                call.

        Returns:
            The network's signal [shape=(batch, samples), float32], for `signal.from_net`:
            companded, pre-emphasised or levels, as in its training.

        Raises:
            ParameterError: the arguments do not fit the network.
        """
        self._check(features, samples, speakers)
        if features is not None:
            samples = features.shape[1] * self.config.hop_length
        out = np.empty((len(seeds), samples), np.float32)
        if forced is not None:
            forced.parameters = np.empty((*out.shape, self.config.out_channels), np.float32)

        def work(block: slice) -> None:
            self._block(
                _fill(features, block, self.rows),
                _fill(speakers, block, self.rows),
                seeds[block],
                _fill(forced and forced.samples, block, self.rows),
                out[block],
                forced and forced.parameters[block],
                report,
            )

        from threadpoolctl import threadpool_limits

        cores = os.cpu_count() or 1
        blocks = [slice(i, i + self.rows) for i in range(0, len(seeds), self.rows)]
        with (
            threadpool_limits(cores if self.large else 1, user_api="blas"),
            ThreadPoolExecutor(1 if self.large else cores) as pool,
        ):
            list(pool.map(work, blocks))
        return out

    def seconds_for(self, sounds: int, samples: int) -> float:
        """Estimate from a trial of a few frames how long `generate` takes, in seconds.

        The first call on a machine also compiles the kernel, which the estimate leaves out.
        """
        blocks = -(-sounds // self.rows)
        rounds = blocks if self.large else -(-blocks // (os.cpu_count() or 1))
        return self._seconds_a_step * rounds * samples

    @cached_property
    def _seconds_a_step(self) -> float:
        """Time of one sample of one block, measured once."""
        frames = -(-_TRIAL // self.config.hop_length)
        shape = (1, frames, self.config.conditioning_channels)
        features = np.zeros(shape, np.float32) if shape[2] else None
        speakers = np.zeros(1, int) if self.config.speakers else None
        trial = frames * self.config.hop_length
        for _ in range(2):
            start = time.perf_counter()
            self.generate(features, np.zeros((1, 2), np.uint32), samples=trial, speakers=speakers)
        return (time.perf_counter() - start) / trial

    def _check(self, features, samples: int, speakers) -> None:
        config = self.config
        if config.conditioning_channels:
            if features is None or features.ndim != 3 or 0 in features.shape:
                got = "none" if features is None else f"features of shape {features.shape}"
                raise ParameterError(
                    f"this WaveNet needs features of shape (batch, frames, "
                    f"{config.conditioning_channels}); got {got}"
                )
            if features.shape[2] != config.conditioning_channels:
                raise ParameterError(
                    f"features of shape {features.shape} do not fit a WaveNet that is conditioned "
                    f"on {config.conditioning_channels} bands"
                )
        elif features is not None or samples < 1:
            raise ParameterError(
                "this WaveNet has no local conditioning; give the number of samples instead of "
                "features"
            )
        if (speakers is None) != (config.speakers == 0):
            raise ParameterError(
                f"this WaveNet knows {config.speakers} speakers; give "
                f"{'no number' if speakers is not None else 'the number'} of a speaker"
            )
        if speakers is not None and not 0 <= np.min(speakers) <= np.max(speakers) < config.speakers:
            raise ParameterError(
                f"speakers {np.min(speakers)} to {np.max(speakers)} were asked for; this WaveNet "
                f"knows 0 to {config.speakers - 1}"
            )

    def _block(self, features, speakers, seeds, forced, out, parameters_out, report) -> None:
        """Generate one block, whose inputs are padded, into the rows of `out`."""
        config = self.config
        output = make_output(config)
        count, samples = out.shape
        draws = [generator(seed) for seed in seeds]
        state = self._silence()
        cumulative, mean = (config.skip_scaling == name for name in ("cumulative", "mean"))
        begin = 0
        for conditioning, repeat in self._stretches(features, speakers, samples):
            steps = len(conditioning) * repeat
            end = begin + steps
            noise = np.stack([draw.random((steps, output.draws)) for draw in draws])
            drawn = np.empty((self.rows, steps), np.float32)
            kept = np.empty((self.rows, steps if forced is not None else 0, output.channels), "f4")
            generate_steps(
                self._net,
                np.array(config.dilations),
                np.float32(np.sqrt(0.5) if cumulative else 1.0),
                np.float32(np.sqrt(1.0 / config.layers) if mean else 1.0),
                _KINDS[config.output],
                config.log_scale_floor,
                conditioning,
                repeat,
                state,
                begin,
                _fill(noise, slice(None), self.rows),
                np.ascontiguousarray(forced[:, begin:end], np.float32)
                if forced is not None
                else np.empty((0, 0), np.float32),
                drawn,
                kept,
            )
            out[:, begin:end] = drawn[:count]
            if forced is not None:
                parameters_out[:, begin:end] = kept[:count]
            report(count * steps)
            begin = end

    def _silence(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the state before the first sample: rings and last samples of silence."""
        config = self.config
        lengths = [(config.kernel_size - 1) * dilation for dilation in config.dilations]
        starts = np.cumsum([0, *lengths[:-1]])
        rings = np.zeros((max(sum(lengths), 1), config.residual_channels, self.rows), np.float32)
        return rings, starts, np.full(self.rows, config.silence, np.float32)

    def _stretches(
        self, features: np.ndarray | None, speakers: np.ndarray | None, samples: int
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Yield the conditioning of the gates by stretches, and how many samples share each row.

        A stretch has the shape (rows of time, layers, gate_channels, sounds).
        """
        config = self.config
        constant = np.repeat(self._bias[..., None], self.rows, axis=2)
        if speakers is not None:
            embedded = self._speakers[speakers] @ self._speaker_kernel
            constant = constant + embedded.swapaxes(1, 2)
        if features is None:
            whole = np.ascontiguousarray(constant)[None]
            for begin in range(0, samples, _FRAMES * 256):
                yield whole, min(_FRAMES * 256, samples - begin)
            return
        repeat = config.hop_length if config.upsampling == "repeat" else 1
        row = 4 * config.layers * self.rows * config.gate_channels
        most = max(1, min(_STRETCH // row, _FRAMES * config.hop_length // repeat))
        frames, margin = features.shape[1], config.context_layers
        # Pieces of one size, whatever the length: so what follows a sound changes no bit of it.
        filling = -frames % _FRAMES
        features = np.pad(features, ((0, 0), (margin, margin + filling), (0, 0)))
        for begin in range(0, frames, _FRAMES):
            part = self._apply_context(features[:, begin : begin + _FRAMES + 2 * margin])
            part = self._upsample(part[:, : frames - begin])
            for first in range(0, part.shape[1], most):
                steps = part[:, first : first + most].transpose(1, 2, 0)[:, None]
                yield self._conditioning_kernel @ steps + constant, repeat

    def _apply_context(self, x: np.ndarray) -> np.ndarray:
        """Apply the convolutions over frames; each removes one frame on either side."""
        for kernel, bias in self._context:
            frames = x.shape[1] - 2
            x = sum(x[:, i : i + frames] @ kernel[i] for i in range(3)) + bias
            x = np.maximum(x, 0)
        return x

    def _upsample(self, x: np.ndarray) -> np.ndarray:
        """Apply the transposed convolutions; as wide as their stride, they mix no two frames."""
        for kernel, bias in self._upsampling:
            bands = kernel.shape[1]
            padded = np.pad(x, ((0, 0), (0, 0), (bands // 2, bands // 2)))
            size = x.shape[2]
            # Band f receives its neighbour f + bands // 2 - k with weight k.
            spread = sum(
                padded[:, :, None, bands - 1 - k : bands - 1 - k + size] * kernel[:, k, 0, 0, None]
                for k in range(bands)
            )
            x = np.maximum(spread + bias, 0).reshape(len(x), -1, size)
        return x


def _dense(model, name: str) -> tuple[np.ndarray, np.ndarray]:
    layer = model.get_layer(name)
    return _numpy(layer.kernel), _numpy(layer.bias)


def _transposed(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Swap the last two axes of matrices; vectors stay as they are."""
    return tuple(np.ascontiguousarray(a.swapaxes(-1, -2)) if a.ndim > 1 else a for a in arrays)


def _numpy(weight) -> np.ndarray:
    return np.ascontiguousarray(keras.ops.convert_to_numpy(weight), np.float32)


def _stacked(layers, name: str) -> np.ndarray:
    return np.stack([_numpy(getattr(layer, name)) for layer in layers])


def _fill(array: np.ndarray | None, block: slice, rows: int) -> np.ndarray | None:
    """Return a block of `array`, padded to `rows` rows by repeating the last one."""
    if array is None:
        return None
    part = np.asarray(array)[block]
    return np.concatenate([part, np.repeat(part[-1:], rows - len(part), axis=0)])
