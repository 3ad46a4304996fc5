"""Let a classifier hear sound files through its own pipeline."""

from __future__ import annotations

import glob
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import is_recording
from ..errors import CorpusError, ReadError
from ..features import extract_fitted, require_sound
from ..models.blocks import BLOCK_SIZE
from ..models.classifier import Classifier
from ..models.sound_classifier import SoundClassifier
from ..models.sound_path import MIDDLE
from ..plugins import default_registry
from ..vocoders.synthesis import write_wav
from .rates import Rate

#: Magnitude that counts as full scale, and share of such samples that speech never reaches.
_FULL, _MANY = 0.99, 0.002


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
    sounds, kept, failed = read_sounds(paths, rate_of(classifier), reader=reader)
    return predict_read(classifier, sounds, block_size=block_size), kept, failed


def rate_of(classifier: Classifier | SoundClassifier) -> int:
    """Return the sample rate at which a classifier hears recordings, in Hz."""
    foreign = isinstance(classifier, SoundClassifier)
    return classifier.frontend.sample_rate if foreign else classifier.spec.sample_rate


def read_sounds(
    paths: Sequence[str | Path], sample_rate: int, *, reader: str = "soundfile"
) -> tuple[list[np.ndarray], list[int], list[ReadError]]:
    """Read recordings.

    Args:
        paths: of the recordings.
        sample_rate: that the sounds should have, in Hz.
        reader: name of the reader.

    Returns:
        sounds [shape=(any,)], their positions in `paths`, and the errors of recordings that cannot
        be read or are silent.
    """
    read = default_registry().create("reader", reader)
    sounds, kept, failed = [], [], []
    for i, (path, sound) in enumerate(read(list(map(Path, paths)), sample_rate)):
        try:
            sounds.append(require_sound(sound, path))
            kept.append(i)
        except ReadError as error:
            failed.append(error)
    return sounds, kept, failed


def predict_read(
    classifier: Classifier | SoundClassifier,
    sounds: Sequence[np.ndarray],
    *,
    block_size: int = BLOCK_SIZE,
) -> np.ndarray:
    """Return a classifier's probabilities of sounds at its sample rate [shape=(sounds, words)]."""
    if not len(sounds):
        return np.zeros((0, len(classifier.words)), np.float32)
    if isinstance(classifier, SoundClassifier):
        return classifier.predict_sounds(sounds, block_size=block_size)
    features = np.stack([extract_fitted(sound, classifier.spec) for sound in sounds])
    return classifier.predict(features[..., None], block_size=block_size)


def predict_sounds(
    classifier: SoundClassifier,
    sounds: np.ndarray,
    sample_rate: int,
    *,
    seeds: np.ndarray | None = None,
    block_size: int = BLOCK_SIZE,
) -> np.ndarray:
    """Return a classifier's probabilities of synthesized sounds, heard from sound files.

    Args:
        classifier: hears them, each at its place in a longer window.
        sounds: [shape=(sounds, samples), in [-1, 1]].
        sample_rate: of the sounds, in Hz.
        seeds: of the sounds [shape=(sounds, 2), uint32], on which their places may depend.
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
    seeds = np.tile(MIDDLE, (len(heard), 1)) if seeds is None else seeds
    return classifier.predict_sounds(heard, seeds=seeds, block_size=block_size)


@dataclass(frozen=True)
class Hearing:
    """How well a classifier hears recordings whose words are known.

    Attributes:
        words: those of the recordings, in the order of the classifier's.
        hits, recordings: of each word: predicted correctly, and heard [shape=(words,)].
        failed: what could not be read.
        confusions: word, what was heard instead (empty for nothing) and how often, the most
            frequent first.
        clipped: number of recordings of which many samples are at full scale.
    """

    words: tuple[str, ...]
    hits: tuple[int, ...]
    recordings: tuple[int, ...]
    failed: tuple[ReadError, ...] = ()
    confusions: tuple[tuple[str, str, int], ...] = ()
    clipped: int = 0

    @property
    def accuracy(self) -> float:
        """Mean over the words of the share that is predicted correctly, 0 to 1.

        Words count the same however many recordings they have, so that a classifier with one
        answer for everything reaches no more than `chance`.
        """
        shares = [hit / count for hit, count in zip(self.hits, self.recordings, strict=True)]
        return sum(shares) / len(shares)

    @property
    def chance(self) -> float:
        """Accuracy of one answer for everything, 0 to 1."""
        return 1 / len(self.words)

    @property
    def bound(self) -> float:
        """Accuracy below which the front end, the words or their order must be wrong.

        A quarter of the way from chance to 1: what wrong front ends reached in trials lay below.
        """
        return self.chance + (1 - self.chance) / 4

    @property
    def is_heard(self) -> bool:
        """Whether the classifier hears its words."""
        return self.accuracy >= self.bound

    @property
    def is_no_luck(self) -> bool:
        """Whether so many would hardly be heard by chance (below 2.5 %)."""
        low, _ = Rate(sum(self.hits), sum(self.recordings)).interval
        return low > self.chance

    def __str__(self) -> str:
        return (
            f"{100 * self.accuracy:.1f} % of {sum(self.recordings)} recordings of "
            f"{len(self.words)} words heard correctly (chance {100 * self.chance:.1f} %)"
        )


def recordings_by_word(
    paths: Iterable[str | Path], words: Sequence[str], *, most: int | None = None
) -> dict[str, list[Path]]:
    """Find recordings of a classifier's words: their folder is named after the word.

    Args:
        paths: recordings, folders of recordings of a word, folders with one such folder a word, or
            patterns such as `recordings/*/*.wav`, in which `<word>` stands for `*`.
        words: of the classifier; the case of letters does not matter.
        most: so many of each word, evenly spaced; all where None.

    Raises:
        CorpusError: there are none of at least two words.
    """
    return sorted_recordings(paths, words, most=most)[0]


def sorted_recordings(
    paths: Iterable[str | Path], words: Sequence[str], *, most: int | None = None
) -> tuple[dict[str, list[Path]], list[str]]:
    """Find recordings as `recordings_by_word`; return them, and the folders that are no words."""
    known = {word.casefold(): word for word in words}
    found: dict[str, list[Path]] = {}
    others: set[str] = set()
    for path in _files_under(paths):
        name = path.absolute().parent.name
        if word := known.get(name.casefold()):
            found.setdefault(word, []).append(path)
        else:
            others.add(name)
    if len(found) < 2:
        seen = [f"{len(set(paths))} recordings of {word}" for word, paths in found.items()]
        if others:
            seen.append(f"folders {', '.join(sorted(others)[:5])}")
        there = " and ".join(seen) or "none"
        raise CorpusError(
            f"there are recordings of {len(found)} of the words {', '.join(words)}; expected some "
            f"of two words at least, each in a folder of the word's name (found {there})"
        )
    chosen = {word: sorted(set(found[word])) for word in words if word in found}
    if most is not None:
        chosen = {word: spaced(paths, most) for word, paths in chosen.items()}
    return chosen, sorted(others)


def _files_under(paths: Iterable[str | Path]) -> Iterator[Path]:
    for given in paths:
        path = Path(str(given).replace("<word>", "*"))
        if path.is_dir():
            found = [*path.glob("*"), *path.glob("*/*")]
        elif path.is_file():
            found = [path]
        elif any(letter in str(path) for letter in "*?["):
            found = map(Path, glob.glob(str(path)))
        else:
            raise CorpusError(f"the recordings {path} do not exist")
        yield from sorted(p for p in found if is_recording(p) and not p.is_dir())


def spaced(paths: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of a sequence, evenly spaced."""
    if len(paths) <= most:
        return list(paths)
    return [paths[i * len(paths) // most] for i in range(most)]


def hear(
    classifier: Classifier | SoundClassifier,
    recordings: Mapping[str, Sequence[Path]],
    *,
    reader: str = "soundfile",
) -> Hearing:
    """Measure how often a classifier hears the words of recordings, through its own pipeline.

    Args:
        classifier: hears them.
        recordings: by word, see `recordings_by_word`.
        reader: name of the reader.

    Raises:
        CorpusError: fewer than two words have a recording that can be read.
    """
    labelled = [(word, path) for word, paths in recordings.items() for path in paths]
    sounds, kept, failed = read_sounds(
        [path for _, path in labelled], rate_of(classifier), reader=reader
    )
    spoken = [labelled[i][0] for i in kept]
    decided = classifier.decide(predict_read(classifier, sounds))
    heard = ["" if answer < 0 else classifier.words[answer] for answer in decided]
    return counted(spoken, heard, failed, clipped=sum(map(is_clipped, sounds)))


def counted(
    spoken: Sequence[str], heard: Sequence[str], failed: Sequence[ReadError] = (), clipped: int = 0
) -> Hearing:
    """Count how often words were heard correctly.

    Args:
        spoken: word of each recording.
        heard: word that was predicted, empty for none.
        failed, clipped: see `Hearing`.

    Raises:
        CorpusError: fewer than two words were spoken.
    """
    words = tuple(dict.fromkeys(spoken))
    if len(words) < 2:
        why = f"; for instance {failed[0]}" if failed else ""
        which = f" (of {words[0]})" if words else ""
        raise CorpusError(
            f"recordings of {len(words)} words could be read{which}; expected two{why}"
        )
    pairs = Counter(zip(spoken, heard, strict=True))
    wrong = [(said, answer, n) for (said, answer), n in pairs.most_common() if said != answer]
    return Hearing(
        words,
        tuple(pairs[word, word] for word in words),
        tuple(map(Counter(spoken).__getitem__, words)),
        tuple(failed),
        tuple(wrong),
        clipped,
    )


def is_clipped(sound: np.ndarray) -> bool:
    """Return whether many samples of a sound [shape=(any,)] are at full scale or beyond it."""
    return bool((np.abs(sound) > _FULL).mean() > _MANY)
