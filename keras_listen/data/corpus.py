"""Corpora in the layout of Speech Commands: words, splits and speakers.

Such a folder holds `<word>/<speaker>_nohash_<n>.wav`, beside the words `validation_list.txt` and
`testing_list.txt`, and recordings in `_background_noise_`.

References:
    Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018,
    https://arxiv.org/abs/1804.03209
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import CorpusError, unknown
from .readers import SUFFIXES

SPLITS = ("training", "validation", "testing")
NOISE_FOLDER = "_background_noise_"
_LISTS = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
_LARGEST_HASH = 2**27 - 1


@dataclass(frozen=True)
class Utterance:
    """One recording: its file relative to the corpus, word, speaker and split."""

    file: str
    word: str
    speaker: str
    split: str


@dataclass(frozen=True)
class Corpus:
    """The utterances of a corpus, sorted by word and file, and its background recordings."""

    root: Path
    utterances: tuple[Utterance, ...]
    noise: tuple[Path, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The words, sorted."""
        return tuple(sorted({utterance.word for utterance in self.utterances}))


def speaker_of(name: str) -> str:
    """Return the speaker of a file name: the part before `_nohash_`, or the whole stem."""
    return re.sub(r"_nohash_.*$", "", Path(name).stem)


def split_by_hash(speaker: str, *, validation: float = 10.0, testing: float = 10.0) -> str:
    """Return a speaker's split by the rule of Speech Commands, so that no speaker is in two.

    The rule takes the SHA-1 of the speaker's name, modulo 2^27, as a percentage of 2^27 - 1
    (TensorFlow's speech_commands example).

    Args:
        speaker: name of the speaker.
        validation, testing: shares of these splits, in percent.
    """
    digest = int(hashlib.sha1(speaker.encode()).hexdigest(), 16)
    percentage = digest % (_LARGEST_HASH + 1) * (100.0 / _LARGEST_HASH)
    if percentage < validation:
        return "validation"
    return "testing" if percentage < validation + testing else "training"


def read_corpus(
    root: str | Path, *, words: Collection[str] | None = None, min_utterances: int = 1
) -> Corpus:
    """List the utterances of a corpus.

    Args:
        root: folder with one folder for each word.
        words: words to use; all by default.
        min_utterances: words with fewer files are left out.

    Raises:
        CorpusError: no such folder, an unknown word, no utterance, or fewer than two words.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise CorpusError(f"the corpus {root} {what}; expected a folder with one folder a word")
    files = {word: found for word in _word_folders(root) if (found := _sounds(root / word))}
    if not files:
        raise CorpusError(
            f"the corpus {root} has no sound in any word's folder; expected "
            f"{root}/<word>/<speaker>_nohash_<n> with one of {', '.join(SUFFIXES)}"
        )
    for word in words or ():
        if word not in files:
            raise CorpusError(f"in {root} {unknown('word', word, files)}")
    kept = {
        word: found
        for word, found in files.items()
        if (not words or word in words) and len(found) >= min_utterances
    }
    if len(kept) < 2:
        counts = Counter({word: len(found) for word, found in files.items()}).most_common(3)
        most = ", ".join(f"{word} ({count})" for word, count in counts)
        raise CorpusError(
            f"the corpus {root} leaves {len(kept)} word(s) after the selection, a classifier needs "
            f"at least 2; the largest are {most}"
        )
    split_of = _splits(root)
    utterances = tuple(
        Utterance(f"{word}/{name}", word, speaker_of(name), split_of(word, name))
        for word in sorted(kept)
        for name in kept[word]
    )
    noise = tuple(root / NOISE_FOLDER / name for name in _sounds(root / NOISE_FOLDER))
    return Corpus(root, utterances, noise)


def _word_folders(root: Path) -> list[str]:
    folders = (path.name for path in root.iterdir() if path.is_dir())
    return sorted(name for name in folders if not name.startswith(("_", ".")))


def _sounds(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _splits(root: Path):
    """Return a function from word and file name to split: by lists if any, else by hash."""
    listed = list_splits(root)
    if listed is None:
        return lambda word, name: split_by_hash(speaker_of(name))
    return lambda word, name: listed.get(f"{word}/{Path(name).stem}", "training")


def list_splits(root: Path) -> dict[str, str] | None:
    """Read the list files of a corpus: the split by file without suffix, None without lists.

    The lists name wav files; the same recording in another format belongs to the same split.

    Raises:
        CorpusError: a list cannot be read.
    """
    listed: dict[str, str] = {}
    present = [split for split, name in _LISTS.items() if (root / name).is_file()]
    for split in present:
        try:
            lines = (root / _LISTS[split]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read {root / _LISTS[split]}: {error}") from error
        listed |= {line.strip().rpartition(".")[0]: split for line in lines if line.strip()}
    return listed if present else None
