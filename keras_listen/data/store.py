"""Extracted features on disk: memory-mapped, with their index.

A store is a folder:
    store.json      schema, FeatureSpec, words, where it came from
    features.npy    float32 [shape=(rows, frames, mels), in [0, 1]]
    index.csv       row, word, speaker, file, split of every utterance that was read
    skipped.csv     file and reason of every file that was not
    noise.npy       features of the background recordings, one after the other
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorpusError
from ..features import FeatureSpec
from ..output.files import json_text, sha256
from .corpus import SPLITS, Utterance

SCHEMA = 1


@dataclass(frozen=True)
class Store:
    """A prepared corpus.

    Attributes:
        root: its folder.
        spec: the FeatureSpec of its features.
        words: sorted words; a label is a position here.
        utterances: one for each row of the arrays below.
        rows: positions in features.npy [shape=(utterances,)].
    """

    root: Path
    spec: FeatureSpec
    words: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    rows: np.ndarray

    @classmethod
    def open(cls, root: str | Path) -> Store:
        """Open the store in folder `root`.

        Raises:
            CorpusError: it is missing, unfinished, damaged or of another version.
        """
        root = Path(root)
        if not (root / "store.json").is_file():
            raise CorpusError(
                f"{root} is no store; make one with: keras-listen prepare CORPUS STORE"
            )
        try:
            about = json.loads((root / "store.json").read_text(encoding="utf-8"))
            if about["schema"] != SCHEMA:
                raise CorpusError(
                    f"the store {root} has version {about['schema']}, this program reads {SCHEMA}; "
                    "prepare it again"
                )
            with open(root / "index.csv", newline="", encoding="utf-8") as file:
                index = list(csv.DictReader(file))
            rows = np.array([int(line.pop("row")) for line in index], np.int64)
            if any(None in line.values() for line in index):
                raise ValueError("index.csv is cut short")
            utterances = tuple(Utterance(**line) for line in index)
            words = tuple(about["words"])
            spec = FeatureSpec.from_dict(about["spec"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"the store {root} is damaged ({error}); prepare it again") from error
        return cls(root, spec, words, utterances, rows)

    def identity(self) -> dict[str, Any]:
        """Return what tells the store from one that was prepared anew, without reading it all.

        That is the checksums of its description, which has a digest of the sounds' sizes and times,
        and of its index, and the size of its features [bytes]. Plugins that were there when it was
        prepared do not count, but for the reader.

        Raises:
            CorpusError: a file is missing.
        """
        try:
            about = json.loads((self.root / "store.json").read_text(encoding="utf-8"))
            about.pop("plugins", None)
            return {
                "store.json": hashlib.sha256(json_text(about).encode()).hexdigest(),
                "index.csv": sha256(self.root / "index.csv"),
                "features.npy": (self.root / "features.npy").stat().st_size,
            }
        except (OSError, ValueError) as error:
            raise CorpusError(
                f"the store {self.root} is damaged ({error}); prepare it again"
            ) from error

    @cached_property
    def features(self) -> np.ndarray:
        """All features, memory-mapped [shape=(rows, frames, mels)]; index it with `rows`.

        Raises:
            CorpusError: the file is missing or cut short.
        """
        return self._map("features.npy")

    @cached_property
    def noise(self) -> np.ndarray:
        """Features of the background recordings in a row [shape=(frames, mels)]; may be empty."""
        return self._map("noise.npy")

    def _map(self, name: str) -> np.ndarray:
        try:
            return np.load(self.root / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CorpusError(
                f"{self.root / name} is damaged ({error}); prepare the store again"
            ) from error

    @cached_property
    def labels(self) -> np.ndarray:
        """Word positions [shape=(utterances,), int64]."""
        position = {word: i for i, word in enumerate(self.words)}
        return np.array([position[utterance.word] for utterance in self.utterances], np.int64)

    def split(self, name: str) -> np.ndarray:
        """Return the positions of a split's utterances [shape=(any,), int64].

        Raises:
            CorpusError: the split is empty.
        """
        found = np.array([i for i, u in enumerate(self.utterances) if u.split == name], np.int64)
        if not found.size:
            raise CorpusError(f"the store {self.root} has no {name} utterance; prepare more files")
        return found

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """Read features of utterances [shape=(len(positions), frames, mels, 1), float32]."""
        return np.asarray(self.features[self.rows[positions]])[..., None]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Do what `batch` does, and let go of the file: pages of a mapping that was read count as
        memory of the process for as long as it stands.
        """
        return np.asarray(self._map("features.npy")[self.rows[positions]])[..., None]

    def counts(self) -> dict[str, int]:
        """Return the number of utterances of each split."""
        return {split: sum(u.split == split for u in self.utterances) for split in SPLITS}
