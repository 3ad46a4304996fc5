"""How far features are from real speech of a word.

A bundle's component `speech` holds prototypes of each word: means of similar recordings of the
training split, coarse in time and frequency, so that pitch and small differences of pace don't
count. Distances mean something beside those of recordings that the prototypes were not made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import BundleError
from ..features import FeatureSpec
from .bundle import Bundle, BundlePart

#: Name and kind of the component.
SPEECH = "speech"
#: Seconds and number of bands that are averaged into one value.
_SECONDS, _BANDS = 0.035, 20
#: Values this many dB below a recording's loudest count alike: there is only background noise.
_RANGE = 50.0
#: Places in time, of `_SECONDS` each, that features are moved at most, to fit a prototype.
_MOVES = 3


class SpeechPrototypes:
    """Prototypes of real speech by word.

    Args:
        words: that have prototypes.
        prototypes: in dB below the loudest [shape=(words, prototypes, times, bands)].
        spec: of the features.
        figures: measured on real speech, see `keras_listen.training.speech`.
        files: checksums of the component's files.
    """

    def __init__(
        self,
        words: Sequence[str],
        prototypes: np.ndarray,
        spec: FeatureSpec,
        figures: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
    ):
        self.words, self.spec = tuple(words), spec
        self.prototypes = np.asarray(prototypes, np.float32)
        self.figures, self.files = dict(figures or {}), dict(files or {})

    @classmethod
    def of(cls, component: BundlePart, words: Sequence[str]) -> SpeechPrototypes:
        """Open that of a component.

        Raises:
            BundleError: it was made for other words or features than the bundle's.
        """
        prototypes = component.arrays.get("prototypes", np.zeros(0))
        shape = coarse_shape(component.spec)
        if prototypes.ndim != 4 or (len(prototypes), *prototypes.shape[2:]) != (len(words), *shape):
            raise BundleError(
                f"{component.root} has prototypes of the shape {prototypes.shape}; expected "
                f"({len(words)}, any, {shape[0]}, {shape[1]}); remove it and fit it again with: "
                f"{fit_command(component.root.parent)}"
            )
        return cls(words, prototypes, component.spec, component.figures, component.files)

    def distances(self, features: np.ndarray, words: Sequence[str]) -> np.ndarray:
        """Return the distance of each sample's features to real speech of its word.

        Args:
            features: [shape=(samples, frames, mels), in [0, 1]].
            words: of the samples.

        Returns:
            root mean square difference from the nearest prototype in dB, NaN for words without
            prototypes [shape=(samples,), float32].
        """
        found = np.full(len(features), np.nan, np.float32)
        places = {word: place for place, word in enumerate(self.words)}
        for i, word in enumerate(words):
            if word in places:
                # One by one: bits must not depend on what else is computed.
                moved = move(coarsen(features[i : i + 1], self.spec))[0]
                squares = np.square(moved[:, None] - self.prototypes[places[word]])
                found[i] = np.sqrt(squares.mean(axis=(2, 3)).min())
        return found


def find_speech(bundle: Bundle, spec: FeatureSpec) -> tuple[SpeechPrototypes | None, str | None]:
    """Find a bundle's prototypes of real speech.

    Args:
        bundle: may have none, such as one from before.
        spec: of the features to compare.

    Returns:
        the prototypes or None; and then a note for the user.

    Raises:
        BundleError: they are damaged.
    """
    if SPEECH not in bundle.names():
        return None, (
            f"the bundle {bundle.root} has no component {SPEECH}, so nothing is compared with real "
            f"speech; fit it with: {fit_command(bundle.root)}"
        )
    found = SpeechPrototypes.of(bundle.component(SPEECH), bundle.words)
    if differing := found.spec.differing(spec):
        return None, (
            f"the component {SPEECH} of the bundle {bundle.root} has other features "
            f"({', '.join(differing)}), so nothing is compared with real speech"
        )
    return found, None


def fit_command(root: object) -> str:
    """Return the command that adds the component to a bundle."""
    return f"keras-listen train STORE {root} --only {SPEECH}"


def coarse_shape(spec: FeatureSpec) -> tuple[int, int]:
    """Return the numbers of times and bands of coarse features."""
    seconds = spec.frames * spec.hop_length / spec.sample_rate
    times = min(max(round(seconds / _SECONDS), 1), spec.frames)
    return times, min(_BANDS, spec.n_mels)


def coarsen(features: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Return features averaged over short times and a few bands, in dB below the loudest.

    Args:
        features: [shape=(samples, frames, mels), in [0, 1]].
        spec: of the features.

    Returns:
        [shape=(samples, times, bands), float32, in [-50, 0]].
    """
    db = -spec.floor_db * np.asarray(features, np.float32)
    for axis, count in enumerate(coarse_shape(spec), start=1):
        edges = np.round(np.linspace(0, db.shape[axis], count + 1)).astype(int)
        sizes = np.diff(edges).astype(np.float32).reshape((-1, 1) if axis == 1 else (1, -1))
        db = np.add.reduceat(db, edges[:-1], axis) / sizes
    return np.maximum(db - db.max(axis=(1, 2), keepdims=True), -_RANGE)


def move(coarse: np.ndarray) -> np.ndarray:
    """Return coarse features moved by each of a few places either way in time.

    Args:
        coarse: [shape=(samples, times, bands)].

    Returns:
        [shape=(samples, moves, times, bands)]; the first or last time is repeated.
    """
    times = np.arange(coarse.shape[1])
    places = [np.clip(times + by, 0, times[-1]) for by in range(-_MOVES, _MOVES + 1)]
    return coarse[:, np.array(places)]
