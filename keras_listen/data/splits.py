"""Who speaks an utterance, and which split it is in: by lists, by speaker or by utterance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ..errors import CorpusError, ParameterError
from ..texts import composed, read_names

SPLITS = ("training", "validation", "testing")
_LISTS = {"validation": "validation_list.txt", "testing": "testing_list.txt"}
_LARGEST_HASH = 2**27 - 1
#: A word of fewer utterances has none for validation and testing.
_FEWEST = 3
#: Kaggle's copy of Speech Commands has its words in `train/audio` and its lists in `train`.
_BELOW_LISTS = "audio"
_NOT_SPLIT = (
    "prepare it with --split-by-utterance, or name files in validation_list.txt and "
    "testing_list.txt beside the words' folders"
)


def speaker_of(name: str) -> str:
    """Return the speaker of a file name: the part before `_nohash_`, or the whole stem."""
    return re.sub(r"_nohash_.*$", "", Path(name).stem)


def find_speaker(file: str, word: str) -> str | None:
    """Return the speaker that a file's path tells, or None.

    Names are those of Speech Commands, `<speaker>_nohash_<n>`, or of the Free Spoken Digit Dataset,
    `<word>_<speaker>_<n>`; else a folder within the word's is a speaker's.

    Args:
        file: relative to the corpus, `<word>/[<folder>/]<name>`, or a name alone.
        word: that is spoken.
    """
    *folders, name = Path(file).parts
    stem = composed(Path(name).stem)
    if "_nohash_" in stem:
        return speaker_of(name)
    if spoken := re.fullmatch(rf"{re.escape(word)}_(.+)_\d+", stem, re.IGNORECASE):
        return spoken[1]
    return composed(folders[1]) if len(folders) > 1 else None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile the regular expression of `--speaker-pattern`.

    Raises:
        ParameterError: it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ParameterError(
            f"the speaker pattern {pattern!r} is no regular expression: {error}"
        ) from error


def match_speaker(pattern: re.Pattern[str], file: str) -> str | None:
    """Return what a pattern finds in a file's path: its group `speaker`, its first, or all."""
    if not (found := pattern.search(composed(file))):
        return None
    if "speaker" in pattern.groupindex:
        return found["speaker"]
    return found[1] if pattern.groups else found[0]


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


def split_each(files: Sequence[str]) -> dict[str, str]:
    """Return the splits of one word's files: a tenth for validation and for testing, at least one.

    A file's place is that of its path's SHA-1, so voices are in several splits.
    """
    order = sorted(files, key=lambda file: hashlib.sha1(composed(file).encode()).hexdigest())
    share = max(1, round(len(order) / 10)) if len(order) >= _FEWEST else 0
    names = ["validation"] * share + ["testing"] * share
    return dict(zip(order, names + ["training"] * (len(order) - 2 * share), strict=True))


def key_of(file: str) -> str:
    """Return by what lists name a file: its path without the suffix, composed."""
    return composed(_without_suffix(file))


def _without_suffix(path: str) -> str:
    start, dot, end = path.rpartition(".")
    return start if dot and "/" not in end else path


def find_lists(root: Path) -> dict[str, Path]:
    """Return the list files of a corpus by split; those beside a folder `audio` count, too."""
    places = [root, root.resolve().parent] if root.resolve().name == _BELOW_LISTS else [root]
    for place in places:
        there = {split: place / name for split, name in _LISTS.items() if (place / name).is_file()}
        if there:
            return there
    return {}


def list_splits(root: Path, keys: Collection[str]) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """Read the list files of a corpus.

    Lists name wav files; the same recording in another format belongs to the same split. Lines may
    have folders in front, backslashes, quotes or no suffix.

    Args:
        root: folder of the corpus.
        keys: of its files, see `key_of`.

    Returns:
        the split by key of the files that are named, None without lists; and notes on lines that
        name no file.

    Raises:
        CorpusError: a list cannot be read, or none of its lines names a file.
    """
    listed: dict[str, str] = {}
    notes = []
    lists = find_lists(root)
    for split, path in lists.items():
        try:
            lines = read_names(path)
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read {path}: {error}") from error
        found = {line: _named(line, keys) for line in lines}
        strays = [line for line in lines if found[line] is None]
        if strays and len(strays) == len(lines):
            there = f"{min(keys)}.wav" if keys else "<word>/<speaker>_nohash_<n>.wav"
            raise CorpusError(
                f"no line of {path} names a file of {root}: the first is {strays[0]!r}, and there "
                f"is, for instance, {there}; mend the list, or remove it to split by speakers"
            )
        if strays:
            notes.append(
                f"{len(strays)} of {len(lines)} lines of {path} name no file; the first: "
                f"{strays[0]}"
            )
        listed |= {key: split for key in found.values() if key is not None}
    return (listed if lists else None), tuple(notes)


def _named(line: str, keys: Collection[str]) -> str | None:
    """Return the key of the file that a line names, or None; folders in front may be others."""
    path = line.replace("\\", "/")
    for name in (path, _without_suffix(path)):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            if (key := "/".join(parts[start:])) in keys:
                return key
    return None


def assign(
    root: Path, words: dict[str, list[str]], speakers: dict[str, str], *, by_utterance: bool
) -> tuple[Callable[[str, str], str], tuple[str, ...], bool]:
    """Return a function from word and file to split, notes, and whether speakers decide.

    Args:
        root: folder of the corpus.
        words: all files by word.
        speakers: by file.
        by_utterance: split each word's utterances, not speakers.

    Raises:
        CorpusError: a list cannot be used, or there is one and `by_utterance`.
    """
    keys = {key_of(file) for files in words.values() for file in files}
    if by_utterance:
        if lists := find_lists(root):
            raise CorpusError(
                f"{next(iter(lists.values()))} says which files are for which split; remove it, or "
                "leave out --split-by-utterance"
            )
        each = {file: name for files in words.values() for file, name in split_each(files).items()}
        return lambda word, file: each[file], (), False
    listed, notes = list_splits(root, keys)
    if listed is not None:
        return lambda word, file: listed.get(key_of(file), "training"), notes, False
    return lambda word, file: split_by_hash(speakers[file]), notes, True


def describe_gaps(
    splits: Sequence[tuple[str, str]],
    where: str,
    *,
    by_hash: bool = False,
    of: Sequence[str] = SPLITS,
) -> str | None:
    """Return one sentence on splits that are empty, and what helps; None where none is.

    Args:
        splits: speaker and split of each utterance.
        where: beginning of the sentence, what they are of.
        by_hash: the hash of speakers' names decided.
        of: the splits that are asked for.
    """
    there = {split for _, split in splits}
    if not (empty := [split for split in of if split not in there]):
        return None
    lacks = f"{where} has no {' and no '.join(empty)} utterance"
    if not splits:
        return f"{lacks}; prepare it from a corpus that has some"
    speakers = len({speaker for speaker, _ in splits})
    where_all = " and ".join(split for split in SPLITS if split in there)
    why = ", by the hash of their names" if by_hash else ""
    who = {1: "its only speaker is", 2: "both speakers are"}.get(
        speakers, f"all {speakers} speakers are"
    )
    return f"{lacks}, because {who} in {where_all}{why}; {_NOT_SPLIT}"
