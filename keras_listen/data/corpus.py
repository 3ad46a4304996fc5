"""Corpora in the layout of Speech Commands: words, splits and speakers.

Such a folder holds `<word>/<speaker>_nohash_<n>.wav`, beside the words `validation_list.txt` and
`testing_list.txt`, and recordings in `_background_noise_`. `layout` has the others that are read.

References:
    Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018,
    https://arxiv.org/abs/1804.03209
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import CorpusError, ParameterError, unknown
from ..texts import composed
from .layout import NOISE_FOLDER, find_recordings
from .readers import is_recording
from .splits import (
    SPLITS,
    assign,
    compile_pattern,
    describe_gaps,
    find_speaker,
    match_speaker,
    speaker_of,
    split_by_hash,
)

__all__ = [
    "NOISE_FOLDER",
    "SPLITS",
    "Corpus",
    "Utterance",
    "read_corpus",
    "speaker_of",
    "split_by_hash",
]


@dataclass(frozen=True)
class Utterance:
    """One recording: its file relative to the corpus, word, speaker and split."""

    file: str
    word: str
    speaker: str
    split: str


@dataclass(frozen=True)
class Corpus:
    """The utterances of a corpus, sorted by word and file, and its background recordings.

    Attributes:
        root: its folder.
        utterances: recordings of the chosen words.
        noise: background recordings.
        notes: sentences on files that were left alone, lists, speakers and splits.
    """

    root: Path
    utterances: tuple[Utterance, ...]
    noise: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The words, sorted."""
        return tuple(sorted({utterance.word for utterance in self.utterances}))


def read_corpus(
    root: str | Path,
    *,
    words: Collection[str] | None = None,
    min_utterances: int = 1,
    split_by_utterance: bool = False,
    speaker_pattern: str | None = None,
) -> Corpus:
    """List the utterances of a corpus.

    Args:
        root: folder with one folder for each word.
        words: words to use; all by default.
        min_utterances: words with fewer files are left out.
        split_by_utterance: a tenth of each word's utterances is for validation and one for testing,
            whoever speaks; by default lists or, without them, speakers decide.
        speaker_pattern: regular expression that finds the speaker in a file's path; its group
            `speaker`, its first group, or all that it matches.

    Raises:
        CorpusError: no such folder, an unknown word, no utterance, fewer than two words, or a list
            of which no line names a file.
        ParameterError: the pattern is none, or matches no file.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise CorpusError(f"the corpus {root} {what}; expected a folder with one folder a word")
    layout = find_recordings(root)
    chosen = {composed(word): word for word in words or ()}
    for word in chosen:
        if word not in layout.words:
            raise CorpusError(f"in {root} {unknown('word', word, layout.words)}")
    kept = {
        word: found
        for word, found in layout.words.items()
        if (not chosen or word in chosen) and len(found) >= min_utterances
    }
    _require_two(root, kept, layout.words)
    speakers, about_speakers = _speakers(layout.words, speaker_pattern)
    split_of, about_lists, by_hash = assign(
        root, layout.words, speakers, by_utterance=split_by_utterance
    )
    utterances = tuple(
        Utterance(file, word, speakers[file], split_of(word, file))
        for word in sorted(kept)
        for file in kept[word]
    )
    gaps = describe_gaps(
        [(u.speaker, u.split) for u in utterances], f"the corpus {root}", by_hash=by_hash
    )
    notes = [*layout.notes(), *about_lists, *(about_speakers if by_hash else ())]
    return Corpus(root, utterances, _noise(root), (*notes, *([gaps] if gaps else [])))


def _require_two(root: Path, kept: Collection[str], files: dict[str, list[str]]) -> None:
    """Raise CorpusError unless two words are left."""
    if len(kept) >= 2:
        return
    counts = Counter({word: len(found) for word, found in files.items()}).most_common(3)
    most = ", ".join(f"{word} ({count})" for word, count in counts)
    raise CorpusError(
        f"the corpus {root} leaves {len(kept)} word(s) after the selection, a classifier needs "
        f"at least 2; the largest are {most}"
    )


def _speakers(
    words: dict[str, list[str]], pattern: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the speaker of each file, and notes.

    Raises:
        ParameterError: the pattern is no regular expression, or matches no file.
    """
    files = [(file, word) for word, inside in words.items() for file in inside]
    if pattern is None:
        told = {file: find_speaker(file, word) for file, word in files}
    else:
        compiled = compile_pattern(pattern)
        told = {file: match_speaker(compiled, file) for file, _ in files}
    silent = [file for file, speaker in told.items() if not speaker]
    notes = []
    if len(silent) == len(files):
        if pattern is not None:
            raise ParameterError(
                f"the speaker pattern {pattern!r} finds a speaker in no file, for instance not "
                f"in {silent[0]!r}"
            )
        notes.append(
            "no file name has _nohash_ in it: each recording counts as a speaker of its own, so "
            "one voice may be in two splits; --speaker-pattern finds speakers in other names"
        )
    elif silent:
        notes.append(
            f"{len(silent)} of {len(files)} file names tell no speaker, so each counts as one of "
            f"its own, for instance {silent[0]}"
        )
    return {file: speaker or speaker_of(file) for file, speaker in told.items()}, tuple(notes)


def _noise(root: Path) -> tuple[Path, ...]:
    folder = root / NOISE_FOLDER
    return tuple(sorted(filter(is_recording, folder.iterdir()))) if folder.is_dir() else ()
