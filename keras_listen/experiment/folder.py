"""The folder of a run: manifest, rows, sounds and features, and how to resume it.

manifest.json   everything from which the run can be repeated
samples.csv     one row a sample, appended block by block
<id>.npy        maximized features, unclipped, float32 [shape=(frames, mels)]
<id>.wav        their sound, 16-bit
timing.json     seconds by stage; the only file that differs between equal runs
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from ..features import FeatureSpec
from ..models.blocks import spans
from ..output.files import Clock, make_folder, replacing, require_empty, write_json
from ..output.progress import Track, quiet
from ..plugins.presets import PAPER
from ..vocoders.synthesis import write_wav
from . import notebook
from .experiment import Block, Experiment
from .manifest import MEASURES
from .samples import Sample, read_starts
from .samples_csv import Row, columns_of, rows_of

Draw = Callable[[Path, Block, int, FeatureSpec], None]


class Run:
    """The folder of one run.

    Attributes:
        root: the folder.
        manifest: everything needed to repeat the run.
        columns: of samples.csv.
        rows: finished samples, in order, as text; `table` has them as numbers.
        clock: seconds spent by stage.
        summary, by_word: rates of all samples and of each word's, once the run is concluded.
        verdict: sentences that say who hears the words, then, too.
    """

    def __init__(self, root: Path, manifest: Mapping[str, Any]):
        self.root, self.manifest = root, dict(manifest)
        self.columns = columns_of(manifest)
        self.rows: list[Row] = []
        self.clock = Clock(self.root, write_each=False)
        self.summary: dict[str, Any] = {}
        self.by_word: dict[str, dict[str, Any]] = {}
        self.verdict: list[str] = []

    def __repr__(self) -> str:
        success = self.summary.get("own success")
        rate = "" if success is None else f", own success {100 * success:.1f} %"
        return f"<Run {self.root}: {len(self.rows)} samples{rate}>"

    def _repr_html_(self) -> str:
        rates = {**self.by_word, "all": self.summary} if self.summary else {}
        return notebook.html(self.root, self.rows, rates, self.verdict)

    @property
    def table(self) -> list[dict[str, Any]]:
        """The samples, with numbers as numbers; None where a number is missing."""
        return notebook.numbers(self.rows)

    def to_pandas(self) -> Any:
        """Return `table` as a pandas DataFrame.

        Raises:
            Unavailable: pandas is not installed.
        """
        return notebook.frame(self.rows)

    @classmethod
    def create(cls, root: str | Path | None, manifest: Mapping[str, Any]) -> Run:
        """Make the folder of a new run; the next `listen-NNN` where `root` is None.

        Raises:
            RunError: the folder is not empty or cannot be written.
        """
        root = Path(root) if root is not None else next_folder(Path())
        require_empty(root, "give --resume to continue the run in it, or ")
        run = cls(make_folder(root), manifest)
        write_json(root / "manifest.json", manifest)
        run._write_table("")
        return run

    @classmethod
    def resume(cls, root: str | Path | None, manifest: Mapping[str, Any]) -> Run:
        """Open the folder of an interrupted run; the newest `listen-NNN` where `root` is None.

        Raises:
            RunError: there is none, or it was made with other settings.
        """
        root = Path(root) if root is not None else newest_folder(Path())
        require_same(root, manifest)
        run = cls(root, manifest)
        run._read_rows()
        return run

    def _write_table(self, text: str) -> None:
        heading = ",".join(self.columns) + "\n"
        with replacing(self.root / "samples.csv") as beside:
            beside.write_text(heading + text, encoding="utf-8", newline="")

    def _read_rows(self) -> None:
        """Read the finished rows, and drop a row that a kill cut short."""
        path = self.root / "samples.csv"
        text = path.read_bytes().decode("utf-8") if path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]
        table = csv.DictReader(io.StringIO(whole, newline=""))
        # Cells of columns that came later stay empty.
        self.rows = [dict.fromkeys(self.columns, "") | row for row in table]
        if whole != text or tuple(table.fieldnames or ()) != self.columns:
            self._write_table(self._lines(self.rows))

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows to samples.csv, all or none.

        Raises:
            RunError: the disk is full.
        """
        path = self.root / "samples.csv"
        size = path.stat().st_size
        try:
            with open(path, "a", encoding="utf-8", newline="") as file:
                file.write(self._lines(rows))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            os.truncate(path, size)
            raise RunError(f"cannot write {path}: {error.strerror}") from error
        self.rows += rows

    def _lines(self, rows: Sequence[Row]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns, lineterminator="\n").writerows(rows)
        return text.getvalue()

    @property
    def seconds(self) -> Counter[str]:
        """Seconds spent by stage."""
        return self.clock.seconds


def open_folder(
    root: Path, manifest: Mapping[str, Any], resume: bool, what: str, **naming: str
) -> None:
    """Make an output folder with its manifest, or check that it is the one to continue.

    Args:
        root: the folder.
        manifest: of the command.
        resume: continue what an interrupted command began in the folder.
        what: kind of results in it, for messages.
        naming: `how` to name another folder, see `output.files.require_empty`.

    Raises:
        RunError: it is in use, or there is nothing to resume.
    """
    if resume:
        require_same(root, manifest, what)
        return
    require_empty(root, f"give --resume to continue the {what} in it, or ", **naming)
    make_folder(root)
    write_json(root / "manifest.json", manifest)


def require_same(root: Path, manifest: Mapping[str, Any], what: str = "run") -> None:
    """Make sure that the folder was begun with the same manifest.

    Args:
        root: the folder.
        manifest: of the command.
        what: kind of results in it, for messages.

    Raises:
        RunError: there is none, or it was made with other settings.
    """
    try:
        before = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"there is no {what} to resume in {root}; leave --resume out to start one"
        ) from error
    now = json.loads(json.dumps(manifest))
    # Plugins that are installed but not in use change nothing.
    before, now = ({**about, "plugins": None} for about in (before, now))
    # Folders from before say nothing of what sounds are compared with, which changes none of them.
    now |= {name: before.get(name) for name in MEASURES if name not in before}
    # All that a preset sets is in the manifest, so its name alone makes no difference.
    presets = [_preset_of(about) for about in (before, now)]
    before, now = map(_without_preset, (before, now))
    # If the command differs, all else follows from it.
    given = ({"command": about.get("command")} for about in (before, now))
    differing = _differing(*given) or _differing(before, now)
    if differing and presets[0] != presets[1]:
        raise RunError(
            f"the {what} in {root} was started with the preset {presets[0]}, now it is "
            f"{presets[1]}; give --preset {presets[0]} to continue it, or start a new {what} in "
            "another folder"
        )
    if differing:
        raise RunError(
            f"the {what} in {root} was started with other settings ({'; '.join(differing)}); "
            f"repeat them, or start a new {what} in another folder"
        )


def _preset_of(manifest: Mapping[str, Any]) -> str:
    """Return the preset that a manifest was made with; one without has the published settings."""
    return (manifest.get("command") or {}).get("preset", PAPER)


def _without_preset(manifest: Mapping[str, Any]) -> dict[str, Any]:
    command = dict(manifest.get("command") or {})
    command.pop("preset", None)
    return {**manifest, "command": command}


def _differing(before: Mapping, now: Mapping, prefix: str = "") -> list[str]:
    """Name the entries in which two manifests differ, with both values."""
    found = []
    for key in sorted(set(before) | set(now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differing(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old!r}, now {new!r}")
    return found


def _numbered(parent: Path) -> list[tuple[int, Path]]:
    matches = ((re.fullmatch(r"listen-(\d{3,})", path.name), path) for path in parent.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def next_folder(parent: Path) -> Path:
    """Return the next unused `listen-NNN` in `parent`."""
    last = max((number for number, _ in _numbered(parent)), default=0)
    return parent / f"listen-{last + 1:03d}"


def newest_folder(parent: Path) -> Path:
    """Return the newest `listen-NNN` in `parent`.

    Raises:
        RunError: there is none.
    """
    if not (found := _numbered(parent)):
        raise RunError("there is no run to resume here; name its folder with --out")
    return found[-1][1]


def run_samples(
    experiment: Experiment,
    samples: Sequence[Sample],
    run: Run,
    *,
    reader: str = "soundfile",
    draw: Draw | None = None,
    track: Track = quiet,
) -> None:
    """Maximize the samples that a run has not finished, writing block by block.

    Args:
        experiment: maximizes them.
        samples: all samples of the run, finished ones included.
        run: receives the results.
        reader: name of the reader of recordings to start from.
        draw: called as `draw(path, block, i, spec)` to make the picture of each sample.
        track: progress, see `keras_listen.output.progress`.
    """
    done = {row["id"] for row in run.rows}
    left = [sample for sample in samples if sample.id not in done]
    with track(total=len(left), label="maximize", unit="sample") as advance:
        for span in spans(len(left), experiment.block_size):
            _run_block(experiment, left[span], run, reader, draw, track)
            advance(len(left[span]))


def _run_block(
    experiment: Experiment,
    samples: Sequence[Sample],
    run: Run,
    reader: str,
    draw: Draw | None,
    track: Track,
) -> None:
    spec = experiment.classifier.spec
    with run.clock.timed("maximize and vocode"):
        starts = None
        if samples[0].path:
            samples, starts = read_starts(samples, spec, reader)
        if not samples:
            return
        block = experiment.compute(samples, starts, track=track)
    with run.clock.timed("write"):
        for i, sample in enumerate(samples):
            _write_sample(run.root, sample.id, block, i, spec)
    if draw:
        with run.clock.timed("draw"):
            for i, sample in enumerate(samples):
                draw(run.root / f"{sample.id}.png", block, i, spec)
    run.append(rows_of(experiment, block))


def _write_sample(root: Path, name: str, block: Block, i: int, spec: FeatureSpec) -> None:
    with replacing(root / f"{name}.npy") as beside:
        np.save(beside, block.maximization.features[i, ..., 0])
    if block.sounds is None:
        return
    write_wav(root / f"{name}.wav", block.sounds[i], spec.sample_rate)
