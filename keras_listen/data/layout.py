"""Find the recordings of a corpus by word, and say what lies there and is not used.

Layouts:
    Speech Commands             <word>/<speaker>_nohash_<n>.wav
    folders of speakers         <word>/<speaker>/<any>.wav
    Free Spoken Digit Dataset   <word>_<speaker>_<n>.wav, without folders
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CorpusError
from ..texts import composed
from .readers import SUFFIXES, is_recording

NOISE_FOLDER = "_background_noise_"
_FLAT = re.compile(r"([^_]+)_([^_]+)_\d+")
#: Suffixes of sound that no reader here decodes.
_OTHER_SOUND = {".m4a", ".aac", ".mp4", ".wma", ".amr", ".3gp", ".caf", ".opus", ".webm", ".wv"}
#: Names of folders that hold splits instead of words.
_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}


@dataclass
class Layout:
    """Files of a corpus, relative to it.

    Attributes:
        words: files by word; both are sorted.
        nested: those in folders within words.
        others: number of files in words' folders that are no recordings, by suffix.
        outside: recordings beside the words' folders, or in folders of no word.
    """

    words: dict[str, list[str]] = field(default_factory=dict)
    nested: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    outside: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each kind of files that are left alone, or of another layout."""
        notes = []
        if self.nested:
            folders = sorted({str(Path(file).parent) for file in self.nested})
            notes.append(
                f"{len(self.nested)} recordings are in folders within words ({_some(folders)}); "
                "such a folder is a speaker where file names tell none"
            )
        if self.outside:
            notes.append(
                f"{len(self.outside)} recordings outside of words' folders were left alone "
                f"({_some(self.outside)})"
            )
        if self.others:
            kinds = ", ".join(
                f"{count} {suffix or 'without suffix'}"
                for suffix, count in self.others.most_common()
            )
            notes.append(
                f"{self.others.total()} files that are no {', '.join(SUFFIXES)} were left alone "
                f"({kinds})" + _conversion(self.others)
            )
        return tuple(notes)


def _some(names: list[str]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")


def _conversion(others: Counter[str]) -> str:
    """Return how files of sound that are not read can be converted, if there are any."""
    if sounds := [suffix for suffix in others if suffix in _OTHER_SOUND]:
        return f"; convert sound to .wav first, for instance ffmpeg -i x{sounds[0]} x.wav"
    return ""


def find_recordings(root: Path) -> Layout:
    """Find the recordings of a corpus; names that begin with a dot are left alone.

    Raises:
        CorpusError: there are none, or they lie in a folder further down.
    """
    found = Layout()
    loose, folders = [], []
    for entry in sorted(root.iterdir()):
        if entry.is_dir():
            folders.append(entry)
        elif is_recording(entry):
            loose.append(entry.name)
    for folder in folders:
        if folder.name == NOISE_FOLDER or folder.name.startswith("."):
            continue
        if folder.name.startswith("_"):
            inside = filter(is_recording, folder.iterdir())
            found.outside += [f"{folder.name}/{path.name}" for path in inside]
        elif files := _walk(root, folder, found):
            found.words.setdefault(composed(folder.name), []).extend(files)
    if not found.words:
        flat = [name for name in loose if _FLAT.fullmatch(Path(name).stem)]
        for name in flat:
            word = composed(_FLAT.fullmatch(Path(name).stem)[1])
            found.words.setdefault(word, []).append(name)
        loose = [name for name in loose if name not in set(flat)]
    found.outside = sorted([*loose, *found.outside])
    found.words = {word: sorted(found.words[word]) for word in sorted(found.words)}
    _require_words(root, found)
    return found


def _walk(root: Path, folder: Path, found: Layout) -> list[str]:
    """Return the recordings in and under a word's folder, and count its other files."""
    files = []
    for place, inner, names in os.walk(folder):
        # A folder that is called like a sound is a file that cannot be used, with its reason.
        names += [name for name in inner if is_recording(Path(name))]
        inner[:] = [n for n in inner if not n.startswith((".", "_")) and n not in names]
        path = Path(place)
        for name in names:
            if is_recording(Path(name)):
                file = (path / name).relative_to(root).as_posix()
                files.append(file)
                if path != folder:
                    found.nested.append(file)
            elif not name.startswith("."):
                found.others[Path(name).suffix.lower()] += 1
    return files


def _require_words(root: Path, found: Layout) -> None:
    """Raise CorpusError where no folder holds a word, or the words lie further down."""
    if not found.words:
        raise CorpusError(
            f"the corpus {root} has no sound in any word's folder; expected "
            f"{root}/<word>/<speaker>_nohash_<n> with one of {', '.join(SUFFIXES)}"
            + (f"; {'; '.join(found.notes())}" if found.others else "")
        )
    nested = len(found.nested) == sum(map(len, found.words.values()))
    like_splits = {word.casefold() for word in found.words} <= _SPLIT_NAMES
    if len(found.words) > 1 and nested and like_splits:
        raise CorpusError(
            f"the folders {', '.join(found.words)} of the corpus {root} look like splits; expected "
            "one folder a word: put each word's files into one folder, and name those for "
            "validation and testing in validation_list.txt and testing_list.txt"
        )
    if len(found.words) == 1 and (inner := _words_below(root / next(iter(found.words)))):
        raise CorpusError(
            f"the corpus {root} has one folder of sounds, {next(iter(found.words))}; if words are "
            f"below it, give that folder: keras-listen prepare {inner} STORE"
        )


def _words_below(folder: Path) -> Path | None:
    """Return the folder in or under `folder` that holds words, if there is one."""
    while folder.is_dir():
        files = [path for path in folder.iterdir() if is_recording(path)]
        spoken = {match[1] for path in files if (match := _FLAT.fullmatch(path.stem))}
        inner = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))]
        if files:
            return folder if len(spoken) > 1 else None
        if len(inner) != 1:
            return folder if inner else None
        (folder,) = inner
    return None
