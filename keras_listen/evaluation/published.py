"""Read and write the files of the published evaluation: one `10k_class_<word>.npz` a word.

class_index     position of the word
orig_score_1    probabilities of the classifier before [shape=(samples, 1, words)]
max_score_1     and after
orig_score_2    the same of the referee
max_score_2

References:
    The code of Soomro et al., Interspeech 2019.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from ..errors import ParameterError, RunError
from ..experiment.chunks import read_chunk
from ..experiment.samples import slug
from ..output.files import make_folder, replacing
from .grid import Cell, Grid
from .results import GroupResults, Judged, count_scores

#: Name of the referee of published files: there it is the "separate" classifier.
SEPARATE = "separate"
_SCORES = ("orig_score_1", "max_score_1", "orig_score_2", "max_score_2")
#: Stands wherever such files are drawn.
NOTE = (
    "Words stand at their class_index in rows and columns. The published figure 5 carries the "
    "words of both axes in reverse."
)


def write_published(root: Path, grid: Grid) -> list[Path]:
    """Write the files of each cell with target words into `npz/<cell>`; return the folders.

    Their referee is the grid's first; see `require_referee`.
    """
    return [_write_cell(root, grid, cell) for cell in grid.cells if cell.experiment.uses_targets]


def require_referee(grid: Grid) -> None:
    """Raise ParameterError unless there is a referee whose scores can be written."""
    if not grid.referees:
        raise ParameterError(
            "published files hold the scores of a referee, but there is no referee; name one with "
            "--referee, or leave --npz out"
        )


def _write_cell(root: Path, grid: Grid, cell: Cell) -> Path:
    referee = next(iter(grid.referees))
    names = ("start", "own", f"start_{referee}", f"referee_{referee}")
    folder = make_folder(root / "npz" / cell.name)
    taken: set[str] = set()
    # The chunks go word by word, so no more than one word's scores are held.
    for label, parts in groupby(_read_words(root, grid, cell, names), key=itemgetter(0)):
        name = slug(cell.words[label])
        # Some file systems do not tell capitals from small letters.
        while name.casefold() in taken:
            name += "_"
        taken.add(name.casefold())
        columns = zip(*(arrays for _, arrays in parts), strict=True)
        scores = [np.concatenate(column) for column in columns]
        path = folder / f"10k_class_{name}.npz"
        with replacing(path) as beside:
            np.savez(beside, class_index=label, **dict(zip(_SCORES, scores, strict=True)))
    return folder


def _read_words(
    root: Path, grid: Grid, cell: Cell, names: Sequence[str]
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield each word's arrays [shape=(samples, 1, words)] of each of a cell's chunks."""
    for chunk in grid.chunks():
        if chunk.cell is cell:
            arrays = read_chunk(root, chunk, ("word", *names))
            for label in np.unique(arrays["word"]):
                mine = arrays["word"] == label
                yield int(label), [arrays[name][mine][:, None] for name in names]


def read_published(folder: str | Path) -> tuple[tuple[str, ...], dict[str, GroupResults]]:
    """Read such files, of this project or any other, and count their samples.

    Returns:
        words by position (`class 7` where no file names one), and the results of each word.

    Raises:
        RunError: there is none, or one is damaged, pickled, or of other keys or shapes.
    """
    paths = sorted(Path(folder).glob("10k_class_*.npz"))
    if not paths:
        raise RunError(f"{folder} has no 10k_class_<word>.npz; name the folder of such files")
    found = {path: _read_file(path) for path in paths}
    sizes = {path: scores["max_score_1"].shape[2] for path, (_, scores) in found.items()}
    size = sizes[paths[0]]
    for path in paths:
        if sizes[path] != size:
            raise RunError(
                f"{path} has {sizes[path]} words, {paths[0]} has {size}; keep one evaluation"
            )
    names = {index: re.sub("^10k_class_", "", path.stem) for path, (index, _) in found.items()}
    if len(names) < len(paths):
        raise RunError(f"two files in {folder} have the same class_index; keep one evaluation")
    words = tuple(names.get(i, f"class {i}") for i in range(size))
    counted = {}
    for index, scores in sorted(found.values(), key=lambda pair: pair[0]):
        flat = {name: scores[name][:, 0] for name in _SCORES}
        counted[words[index]] = count_scores(
            Judged(flat["orig_score_1"], flat["max_score_1"]),
            {SEPARATE: Judged(flat["orig_score_2"], flat["max_score_2"])},
            index,
        )
    return words, counted


def _read_file(path: Path) -> tuple[int, dict[str, np.ndarray]]:
    wanted = "class_index and " + ", ".join(_SCORES)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} cannot be read ({error}); expected an npz file without pickled objects"
        ) from error
    if missing := [name for name in ("class_index", *_SCORES) if name not in arrays]:
        raise RunError(f"{path} has no {missing[0]}; expected {wanted}")
    scores = {name: arrays[name] for name in _SCORES}
    shape = scores["orig_score_1"].shape
    for name, array in scores.items():
        if array.ndim != 3 or array.shape[1] != 1 or array.shape != shape or 0 in shape:
            raise RunError(
                f"in {path}, {name} has shape {array.shape}; expected (samples, 1, words), the "
                "same for all four"
            )
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise RunError(f"in {path}, {name} holds values that are not finite numbers")
    index = arrays["class_index"]
    if index.size != 1 or not np.issubdtype(index.dtype, np.integer):
        raise RunError(f"in {path}, class_index is {index!r}; expected one whole number")
    if not 0 <= int(index.item()) < shape[2]:
        raise RunError(
            f"in {path}, class_index is {int(index.item())}; expected 0 to {shape[2] - 1}"
        )
    return int(index.item()), scores
