"""Stores: extracted features of a corpus on disk, memory-mapped, with their index.

A store is a folder:
    store.json      schema, FeatureSpec, words, provenance
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

from ..errors import CorpusError, ParameterError, unknown
from ..features import FeatureSpec, describe_longer
from ..output.files import json_text, sha256
from .corpus import SPLITS, Utterance
from .splits import describe_gaps

SCHEMA = 1

#: Stands for the utterances of every split.
ALL = "all"


@dataclass(frozen=True)
class Store:
    """The features of a corpus and their index.

    Attributes:
        root: folder of the store.
        spec: the FeatureSpec of its features.
        words: sorted words; a label is a position here.
        utterances: one for each row of the arrays below.
        rows: positions in features.npy [shape=(utterances,)].
        longer: number of recordings that were longer than a feature.
    """

    root: Path
    spec: FeatureSpec
    words: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    rows: np.ndarray
    longer: int = 0

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
            longer = int(about.get("longer", 0))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"the store {root} is damaged ({error}); prepare it again") from error
        return cls(root, spec, words, utterances, rows, longer)

    def identity(self) -> dict[str, Any]:
        """Return values that change when the store is prepared anew, without reading all of it.

        These are checksums of its description, which has a digest of the sounds' sizes and times,
        and of its index, and the size of its features [bytes]. Of the plugins that were installed
        when it was prepared, only the reader counts.

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
            CorpusError: the file is missing or cut short, or has not all rows of the index.
        """
        features = self._map("features.npy")
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(features):
            raise CorpusError(
                f"the store {self.root} is damaged: index.csv names row {self.rows.max()}, and "
                f"features.npy has {len(features)} rows; prepare it again"
            )
        return features

    @cached_property
    def noise(self) -> np.ndarray:
        """Features of the background recordings, concatenated [shape=(any, mels)]; may be empty."""
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

        Args:
            name: "training", "validation" or "testing", or "all" for the utterances of every split.

        Raises:
            ParameterError: there is no such split.
            CorpusError: the split is empty.
        """
        if name not in (*SPLITS, ALL):
            raise ParameterError(unknown("split", name, (*SPLITS, ALL)))
        wanted = [i for i, u in enumerate(self.utterances) if name in (u.split, ALL)]
        if not wanted:
            pairs = [(utterance.speaker, utterance.split) for utterance in self.utterances]
            raise CorpusError(str(describe_gaps(pairs, f"the store {self.root}", of=[name])))
        return np.array(wanted, np.int64)

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """Read features of utterances [shape=(len(positions), frames, mels, 1), float32]."""
        return np.asarray(self.features[self.rows[positions]])[..., None]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Read features as `batch` does, then unmap the file.

        Pages of a mapping that have been read count as memory of the process as long as it is open.
        """
        return np.asarray(self._map("features.npy")[self.rows[positions]])[..., None]

    def describe_longer(self) -> str | None:
        """Return a sentence on recordings that were longer than a feature, None without any."""
        return describe_longer(
            self.longer,
            len(self.utterances),
            self.spec,
            'longer = "loudest" in a file for prepare --spec keeps their loudest part',
        )

    def counts(self) -> dict[str, int]:
        """Return the number of utterances of each split."""
        return {split: sum(u.split == split for u in self.utterances) for split in SPLITS}
