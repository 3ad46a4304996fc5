"""Smooth features from the lowest cosines in time and mel: a prior for keras-listen.

References:
    Ahmed, Natarajan and Rao, Discrete Cosine Transform, IEEE Transactions on Computers C-23, 1974.
"""

from typing import Annotated

import numpy as np
from scipy.fft import dct as cosine_transform

from keras_listen import hookimpl
from keras_listen.errors import ParameterError
from keras_listen.seeds import normal

#: Version of the plugin hooks that this was written for.
KERAS_LISTEN_API = 1

#: Features are kept this far from 0 and 1 before their logit is taken.
MARGIN = 0.01


class Cosines:
    """The lowest coefficients of the 2-D DCT of a surface, whose sigmoid is the features.

    Latents [shape=(batch, time, mel)] are scaled so that their root mean square equals that of the
    surface: a step has the same size in both.

    Args:
        spec: FeatureSpec of the features.
        time, mel: number of coefficients along each axis.
        level: the feature that a latent of zeros decodes to everywhere, in (0, 1).
        deviation: standard deviation of the noise of starts.
    """

    #: Decoded features always lie in [0, 1].
    bounded = True
    #: Default size of a step of the ascent: root mean square of its change of the latent.
    step_size = 0.1

    def __init__(self, spec, time, mel, level, deviation):
        self.spec = spec
        self._shape, self._deviation = (time, mel), deviation
        self._offset = float(logit(level))
        self._times, self._mels = cosines(time, spec.frames), cosines(mel, spec.n_mels)

    def start(self, targets, seeds):
        """Return noise [shape=(batch, time, mel)], each sample from its own row of `seeds`."""
        return normal(seeds, self._shape, self._deviation)

    def encode(self, features):
        """Return the latents whose surfaces are nearest to the logit of features."""
        surface = logit(np.clip(np.asarray(features)[..., 0], MARGIN, 1 - MARGIN)) - self._offset
        size = np.float32(self.spec.frames * self.spec.n_mels / np.prod(self._shape))
        # Rows of the cosines are orthogonal, and each has the length of the square root of `size`.
        return (self._times @ surface @ self._mels.T / size).astype(np.float32)

    def decode(self, z):
        """Return features [shape=(batch, frames, mels, 1), in [0, 1]]."""
        import tensorflow as tf

        surface = tf.einsum("tf,btm,mn->bfn", self._times, z, self._mels)
        return tf.sigmoid(surface + self._offset)[..., None]


def cosines(count, length):
    """Return the `count` slowest cosines [shape=(count, length), float32], orthogonal rows.

    The squares of each row add up to length / count.
    """
    rows = cosine_transform(np.eye(length), norm="ortho", axis=0)[:count]
    return (rows * np.sqrt(length / count)).astype(np.float32)


def logit(x):
    """Return the inverse of the sigmoid."""
    return np.log(x) - np.log1p(-x)


def dct(
    bundle,
    *,
    time: Annotated[int, "coefficients in time, 2 to the number of frames"] = 12,
    mel: Annotated[int, "coefficients in mel, 2 to the number of bands"] = 16,
    level: Annotated[float, "feature that a latent of zeros decodes to, between 0 and 1"] = 0.5,
    start_deviation: Annotated[float, "standard deviation of the noise of starts"] = 0.1,
):
    """Smooth features: the lowest cosines in time and mel, without weights."""
    for name, count, most in [
        ("time", time, bundle.spec.frames),
        ("mel", mel, bundle.spec.n_mels),
    ]:
        if not 2 <= count <= most:
            raise ParameterError(f"{name} is {count}; expected 2 to {most} coefficients")
    if not 0 < level < 1:
        raise ParameterError(f"level is {level}; expected between 0 and 1")
    if not 0 <= start_deviation < np.inf:
        raise ParameterError(f"start_deviation is {start_deviation}; expected at least 0")
    return Cosines(bundle.spec, time, mel, level, start_deviation)


@hookimpl
def register_priors(register):
    register("dct", dct)
