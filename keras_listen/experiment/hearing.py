"""Let a classifier hear sound files through its own pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import ReadError
from ..features import extract_fitted, require_sound
from ..models.blocks import BLOCK_SIZE
from ..models.classifier import Classifier
from ..models.sound_classifier import SoundClassifier
from ..plugins import default_registry
from ..vocoders.synthesis import write_wav


def predict_files(
    classifier: Classifier | SoundClassifier,
    paths: Sequence[str | Path],
    *,
    reader: str = "soundfile",
    block_size: int = BLOCK_SIZE,
) -> tuple[np.ndarray, list[int], list[ReadError]]:
    """Return a classifier's probabilities of recordings.

    Each is read at the rate of the classifier, brought to its length, and goes through its front
    end, or becomes one of the project's features where it has none.

    Args:
        classifier: hears them.
        paths: of the recordings.
        reader: name of the reader.
        block_size: recordings computed together.

    Returns:
        probabilities [shape=(read, words)], positions in `paths` of the recordings that could be
        read, and the errors of the others.
    """
    foreign = isinstance(classifier, SoundClassifier)
    rate = classifier.frontend.sample_rate if foreign else classifier.spec.sample_rate
    read = default_registry().create("reader", reader)
    sounds, kept, failed = [], [], []
    for i, (path, sound) in enumerate(read(list(map(Path, paths)), rate)):
        try:
            sound = require_sound(sound, path)
            sounds.append(
                classifier.fit(sound) if foreign else extract_fitted(sound, classifier.spec)
            )
            kept.append(i)
        except ReadError as error:
            failed.append(error)
    if not kept:
        return np.zeros((0, len(classifier.words)), np.float32), kept, failed
    inputs = np.stack(sounds)
    if foreign:
        return classifier.predict_sounds(inputs, block_size=block_size), kept, failed
    return classifier.predict(inputs[..., None], block_size=block_size), kept, failed


def predict_sounds(
    classifier: SoundClassifier,
    sounds: np.ndarray,
    sample_rate: int,
    *,
    block_size: int = BLOCK_SIZE,
) -> np.ndarray:
    """Return a classifier's probabilities of synthesized sounds, heard from sound files.

    Args:
        classifier: hears them.
        sounds: [shape=(sounds, samples), in [-1, 1]].
        sample_rate: of the sounds, in Hz.
        block_size: sounds computed together.

    Returns:
        [shape=(sounds, words)]; of a silent sound those of silence.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.wav" for i in range(len(sounds))]
        for path, sound in zip(paths, sounds, strict=True):
            write_wav(path, sound, sample_rate)
        read = default_registry().create("reader", "soundfile")
        heard = [sound for _, sound in read(paths, classifier.frontend.sample_rate)]
    return classifier.predict_sounds(heard, block_size=block_size)
