"""Prepare a store from a corpus: on every core, in little memory, continuing a killed call."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import CorpusError, ReadError, RunError
from ..features import FeatureSpec, extract, fit_frames, require_sound
from ..output.files import csv_text, make_folder, write_json, write_text
from ..output.progress import Advance, Track, in_notebooks
from ..plugins import Component, default_registry
from .corpus import Corpus, Utterance
from .store import SCHEMA, Store

_CHUNK = 64

Skipped = tuple[str, str]


@dataclass(frozen=True)
class Preparation:
    """Result of `prepare`.

    Attributes:
        store: the store.
        skipped: file and reason of each file that was not used.
        resumed: number of utterances that an earlier call had extracted.
    """

    store: Store
    skipped: tuple[Skipped, ...]
    resumed: int

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on recordings that were cut and files that were skipped, with the reasons."""
        store, notes = self.store, []
        if cut := store.describe_longer():
            notes.append(cut)
        if self.skipped:
            # Reasons begin with the file's path.
            reasons = Counter(reason.rpartition(f"{f}: ")[2] for f, reason in self.skipped)
            why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
            notes.append(
                f"{len(self.skipped)} files skipped ({why}), all listed in {store.root}/skipped.csv"
            )
        return tuple(notes)


def prepare(
    corpus: Corpus,
    target: str | Path,
    *,
    spec: FeatureSpec | None = None,
    reader: str = "soundfile",
    workers: int | None = None,
    track: Track = in_notebooks,
) -> Preparation:
    """Extract the features of a corpus into a store.

    They are written to `<target>.partial`, which is renamed to `target` at the end. A store that
    was already made from the same files with the same settings is returned as it is.

    Args:
        corpus: utterances to extract.
        target: folder of the store.
        spec: features; the published ones by default.
        reader: name of the reader.
        workers: number of processes; one for each core by default.
        track: progress, see `keras_listen.output.progress`.

    Raises:
        CorpusError: no file could be used, or fewer than two words remain.
        RunError: the target holds something else, or cannot be written.
    """
    spec, target = spec or FeatureSpec(), Path(target)
    plan = _plan(corpus, spec, reader)
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        return _finished(target, plan)
    component = default_registry().find("reader", reader)
    component.create()
    work = _Work(target.with_name(target.name + ".partial"), corpus, spec, plan)
    try:
        resumed = work.open()
        work.extract_all(component, workers or os.cpu_count() or 1, track)
        work.extract_noise(component)
        work.write_index(component)
        if target.is_dir():
            target.rmdir()
        os.replace(work.root, target)
    except OSError as error:
        raise RunError(f"cannot write {work.root}: {error.strerror or error}") from error
    return Preparation(Store.open(target), tuple(work.skipped), resumed)


def _plan(corpus: Corpus, spec: FeatureSpec, reader: str) -> str:
    """Return a digest of everything that determines the contents of the store."""
    files = [corpus.root / u.file for u in corpus.utterances] + list(corpus.noise)
    stamps = [_stamp(path) for path in files]
    parts = [SCHEMA, spec.to_dict(), reader, [asdict(u) for u in corpus.utterances], stamps]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file, or None for a broken link, which the reader reports."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns


def _finished(target: Path, plan: str) -> Preparation:
    if _plan_of(target) == plan:
        store = Store.open(target)
        try:
            with open(target / "skipped.csv", newline="", encoding="utf-8") as file:
                skipped = tuple((line["file"], line["reason"]) for line in csv.DictReader(file))
        except (OSError, ValueError, KeyError) as error:
            raise CorpusError(
                f"the store {target} is damaged ({error}); remove it and prepare it again"
            ) from error
        return Preparation(store, skipped, len(store.rows))
    raise RunError(
        f"{target} already holds something else; remove it or name another folder for the store"
    )


def _plan_of(target: Path) -> str | None:
    try:
        return json.loads((target / "store.json").read_text(encoding="utf-8"))["plan"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _Work:
    """An unfinished store: features are appended in chunks, `done.jsonl` records the progress."""

    def __init__(self, root: Path, corpus: Corpus, spec: FeatureSpec, plan: str):
        self.root, self.corpus, self.spec, self.plan = root, corpus, spec, plan
        self.skipped: list[Skipped] = []
        self.done = self.longer = 0

    @property
    def _row_bytes(self) -> int:
        return self.spec.frames * self.spec.n_mels * 4

    def open(self) -> int:
        """Create the folder, or continue from what a killed call of the same plan left in it.

        Returns:
            the number of utterances that were extracted already.
        """
        plan = self.root / "plan"
        if not (plan.is_file() and plan.read_text(encoding="utf-8") == self.plan):
            shutil.rmtree(self.root, ignore_errors=True)
            make_folder(self.root)
            self._write_header()
            write_text(plan, self.plan)
        for line in _whole_lines(self.root / "done.jsonl"):
            self.done = line["done"]
            self.skipped += [tuple(pair) for pair in line["skipped"]]
            self.longer += line.get("longer", 0)
        with open(self.root / "features.npy", "r+b") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            file.truncate(file.tell() + self.done * self._row_bytes)
        return self.done

    def _write_header(self) -> None:
        shape = (len(self.corpus.utterances), self.spec.frames, self.spec.n_mels)
        with open(self.root / "features.npy", "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)

    def extract_all(self, reader: Component, workers: int, track: Track) -> None:
        """Extract every utterance that has not been extracted yet."""
        files = [utterance.file for utterance in self.corpus.utterances]
        chunks = [files[at : at + _CHUNK] for at in range(self.done, len(files), _CHUNK)]
        if not chunks:
            return
        import joblib

        tasks = (joblib.delayed(_extract)(self.corpus.root, c, self.spec, reader) for c in chunks)
        # Loky limits the BLAS threads of each of its processes to its share of the cores.
        run = joblib.Parallel(n_jobs=min(workers, len(chunks)), return_as="generator")
        left = len(files) - self.done
        with track(total=left, label="features", unit="utterance") as advance:
            self._append(run(tasks), advance)

    def _append(
        self, results: Iterable[tuple[np.ndarray, list[Skipped], int]], advance: Advance
    ) -> None:
        """Append each chunk of features to the store."""
        with (
            open(self.root / "features.npy", "ab") as array,
            open(self.root / "done.jsonl", "a", encoding="utf-8") as done,
        ):
            for features, skipped, longer in results:
                array.write(features.tobytes())
                array.flush()
                self.done += len(features)
                self.skipped += skipped
                self.longer += longer
                state = {"done": self.done, "skipped": skipped, "longer": longer}
                done.write(json.dumps(state) + "\n")
                done.flush()
                advance(len(features))

    def extract_noise(self, reader: Component) -> None:
        """Extract the background recordings, at their full length, one after the other."""
        read = reader.create()
        parts = [np.zeros((0, self.spec.n_mels), np.float32)]
        for path, samples in read(self.corpus.noise, self.spec.sample_rate):
            try:
                parts.append(extract(require_sound(samples, path), self.spec))
            except ReadError as error:
                self.skipped.append((str(path.relative_to(self.corpus.root)), str(error)))
        np.save(self.root / "noise.npy", np.concatenate(parts))

    def write_index(self, reader: Component) -> None:
        """Write the index, the list of skipped files and, last, `store.json`."""
        skipped = {file for file, _ in self.skipped}
        used = [(i, u) for i, u in enumerate(self.corpus.utterances) if u.file not in skipped]
        words = sorted({utterance.word for _, utterance in used})
        if len(words) < 2:
            first = f"; the first: {self.skipped[0][1]}" if self.skipped else ""
            raise CorpusError(
                f"{len(used)} of {len(self.corpus.utterances)} files of {self.corpus.root} could "
                f"be used, of {len(words)} word(s); a classifier needs at least 2{first}"
            )
        fields = ["row", *Utterance.__dataclass_fields__]
        rows = [{"row": i, **asdict(utterance)} for i, utterance in used]
        write_text(self.root / "index.csv", csv_text(rows, fields))
        reasons = [{"file": file, "reason": reason} for file, reason in self.skipped]
        write_text(self.root / "skipped.csv", csv_text(reasons, ["file", "reason"]))
        about = {
            "schema": SCHEMA,
            "spec": self.spec.to_dict(),
            "words": words,
            "corpus": self.corpus.root.name,
            "reader": reader.identity,
            "plugins": default_registry().versions(),
            "plan": self.plan,
            **({"longer": self.longer} if self.longer else {}),
        }
        (self.root / "plan").unlink()
        (self.root / "done.jsonl").unlink(missing_ok=True)
        write_json(self.root / "store.json", about)


def _whole_lines(path: Path) -> list[dict]:
    """Read JSON lines, dropping one that was being written when the process was killed."""
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    if whole != lines:
        path.write_bytes(b"".join(whole))
    return [json.loads(line) for line in whole]


def _extract(
    root: Path, files: list[str], spec: FeatureSpec, reader: Component
) -> tuple[np.ndarray, list[Skipped], int]:
    """Extract one chunk, and count recordings that are longer than a feature.

    A skipped file leaves a row of zeros.
    """
    read = reader.create()
    features = np.zeros((len(files), spec.frames, spec.n_mels), np.float32)
    skipped: list[Skipped] = []
    longer = 0
    sounds = read([root / file for file in files], spec.sample_rate)
    for row, file, (path, samples) in zip(features, files, sounds, strict=True):
        try:
            whole = extract(require_sound(samples, path), spec)
            row[:] = fit_frames(whole, spec)
            longer += len(whole) > spec.frames
        except ReadError as error:
            skipped.append((file, str(error)))
    return features, skipped, longer
