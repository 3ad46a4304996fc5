#!/usr/bin/env bash
# Keras 3.15.1: STFTSpectrogram's log magnitudes are off an FFT's by some hundredths.
#
# Guess: a spectrogram layer gives the magnitudes of an FFT to rounding, 1e-5 or so in the logarithm.
# Behaviour: it is a convolution with cosines and sines whose angles, up to hundreds of radians, were
#   rounded to single precision first. Weak bins beside strong ones differ by some hundredths in the
#   logarithm; a network trained on one is fed something else by the other. With angles rounded the
#   same way NumPy agrees.
# Seen (440 Hz and a little noise, frames of 512):
#   from an FFT: up to 8.9e-02 in the logarithm; from rounded angles: 5.8e-04
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q keras==3.15.1 tensorflow==2.21.0 scipy==1.17.1
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$work/venv/bin/python" 2>/dev/null <<'PYTHON'
import keras
import numpy as np

frame, step, rate = 512, 256, 16000
time = np.arange(rate) / rate
sound = np.sin(2 * np.pi * 440 * time) + 1e-3 * np.random.default_rng(0).normal(size=rate)
layer = keras.layers.STFTSpectrogram(
    mode="log", frame_length=frame, frame_step=step, fft_length=frame, window="hann"
)
found = np.asarray(layer(sound[None, :, None].astype("float32")))[0]

# Symmetric, and scaled as a density: divided by the root of its power.
window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / (frame - 1))
window /= np.sqrt(np.sum(window**2))
frames = np.lib.stride_tricks.sliding_window_view(sound, frame)[::step]
bins = np.arange(frame // 2 + 1, dtype="float32")
turns = -2 * np.arange(frame, dtype="float32")[:, None] * (bins / np.float32(frame))
angles = (turns * np.float32(np.pi)).astype("float64")


def log(spectrum):
    return np.log(np.maximum(np.abs(spectrum), 1e-7**0.5))


def distance(other):
    return np.abs(found - other).max()


fft = log(np.fft.rfft(frames * window))
rounded = log((frames * window) @ np.exp(1j * angles))
print(f"from an FFT: up to {distance(fft):.1e} in the logarithm; "
      f"from rounded angles: {distance(rounded):.1e}")
assert distance(fft) > 5e-3 > 5 * distance(rounded)
PYTHON
