"""Read one recording as a feature: `keras_listen.load_features`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..features import FeatureSpec, extract_fitted, require_sound
from ..plugins import default_registry


def load_features(
    path: str | Path, spec: FeatureSpec | None = None, reader: str | None = None
) -> np.ndarray:
    """Read a sound file and return its feature.

    Args:
        path: any file the reader opens, at any rate, mono or not (channels are averaged).
        spec: what to extract; the published features by default.
        reader: name of a reader, "soundfile" by default; see `keras-listen plugins`.

    Returns:
        float32 [shape=(frames, mels), in [0, 1]]: (90, 80) by default.

    Raises:
        ReadError: the file is missing, unreadable, empty, silent or not sound.
    """
    spec = spec or FeatureSpec()
    read = default_registry().create("reader", reader or "soundfile")
    _, samples = next(iter(read([Path(path)], spec.sample_rate)))
    return extract_fitted(require_sound(samples, path), spec)
