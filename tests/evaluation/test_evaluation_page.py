"""Pictures and page of an evaluation of 600 words: bounded, and they say what they leave out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import write_small_bundle
from PIL import Image

from keras_listen import evaluate
from keras_listen.evaluation import page as evaluation
from keras_listen.evaluation.grid import Cell, Grid, GridChunk
from keras_listen.evaluation.page import draw_curves, draw_examples, draw_heatmap

MANY = tuple(f"word{number:03d}" for number in range(600))


def shades(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_a_heatmap_of_600_words_stays_drawable(tmp_path):
    probabilities = np.zeros((600, 600))
    probabilities[:300] = 1  # the upper half is black
    draw_heatmap(tmp_path / "heat", probabilities, MANY, "title", "referee")
    drawn = shades(tmp_path / "heat.png")
    assert max(drawn.shape) < 3000
    # Through the middle of the picture, where the map is.
    line = drawn[:, drawn.shape[1] // 2]
    assert 0.3 < (line < 30).mean() < 0.5
    assert line[: len(line) // 2].mean() < line[len(line) // 2 :].mean()
    assert (tmp_path / "heat.pdf").read_bytes().startswith(b"%PDF")


def test_a_heatmap_of_few_words_names_each(tmp_path, monkeypatch):
    import matplotlib.figure

    named = []
    save = matplotlib.figure.Figure.savefig

    def saving(figure, *args, **kwargs):
        named.append([label.get_text() for label in figure.axes[0].get_yticklabels()])
        save(figure, *args, **kwargs)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", saving)
    draw_heatmap(tmp_path / "few", np.eye(35), MANY[:35], "title", "referee")
    draw_heatmap(tmp_path / "many", np.eye(600), MANY, "title", "referee")
    assert named[0] == list(MANY[:35])
    assert named[-1] == list(MANY[::9])


def test_curves_of_many_cells_stand_in_lines(tmp_path):
    curves = {f"prior{i}-softmax": np.arange(3.0) for i in range(6)}
    draw_curves(tmp_path / "six.png", curves)
    draw_curves(tmp_path / "two.png", dict(list(curves.items())[:2]))
    six, two = shades(tmp_path / "six.png"), shades(tmp_path / "two.png")
    assert (six.shape[0], six.shape[1]) == (2 * two.shape[0], 2 * two.shape[1])
    # In the second line there are two, and nothing to their right.
    second = six[six.shape[0] // 2 + 20 :]
    assert (second[:, : second.shape[1] // 2] < 100).any()
    assert (second[:, second.shape[1] // 2 :] == 255).all()


def test_of_600_words_the_first_examples_are_drawn(tmp_path):
    classifier = SimpleNamespace(words=MANY)
    cell = Cell("none", "softmax", SimpleNamespace(uses_targets=True, classifier=classifier))
    # Two starts a word. Files of later words are not there: they are not read.
    chunks = [GridChunk(cell, first, first + 200) for first in range(0, 1200, 200)]
    (tmp_path / chunks[0].path).parent.mkdir(parents=True)
    arrays = {"shown_word": np.arange(100), "shown_before": np.zeros((100, 9, 8))}
    np.savez(tmp_path / chunks[0].path, **arrays, shown_after=np.ones((100, 9, 8)))
    grid = SimpleNamespace(
        cells=(cell,),
        classifier=classifier,
        count_starts=lambda word: 2,
        chunks=lambda: iter(chunks),
        plan=lambda chunk: Grid.plan(grid, chunk),
    )
    draw_examples(tmp_path / "examples.png", tmp_path, grid)
    drawn = shades(tmp_path / "examples.png")
    assert drawn.shape[0] < 5000
    # Before is black, after is bright, and there are 40 of each.
    edges = np.diff((drawn[:, drawn.shape[1] // 3] < 30).astype(int))
    heights = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    assert (heights > 50).sum() == 40  # what is lower are letters


@pytest.mark.parametrize(("shown", "said"), [(3, True), (4, False)])
def test_the_page_says_what_it_leaves_out(tmp_path, monkeypatch, shown, said):
    monkeypatch.setattr(evaluation, "SHOWN", shown)
    bundle = write_small_bundle(tmp_path / "bundle")
    evaluate(["none"], bundle=bundle, samples=1, steps=1, block_size=4, out=tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert ("The first 3 of 4 words." in page) is said
    assert "examples.png" in page
