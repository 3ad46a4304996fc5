"""Published files: what `evaluate --npz` writes, and what is read of files whoever made them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers import WORDS, small_classifier, write_small_bundle

from keras_listen import evaluate, evaluate_published, load_bundle
from keras_listen.errors import ParameterError, RunError
from keras_listen.evaluation import published as interchange
from keras_listen.experiment.chunks import read_chunk
from keras_listen.experiment.samples import slug
from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import create_bundle

KEYS = {"class_index", "orig_score_1", "max_score_1", "orig_score_2", "max_score_2"}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    root = tmp_path_factory.mktemp("npz")
    bundle = write_small_bundle(root / "bundle")
    settings = {"samples": 5, "steps": 2, "block_size": 2, "seed": 5, "npz": True}
    return evaluate(["ae", "none"], bundle=bundle, **settings, out=root / "out")


def scores(samples: int = 6, words: int = 3, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((samples, 1, words))
    return drawn / drawn.sum(axis=2, keepdims=True)


def write_files(folder: Path, **changes) -> dict[str, dict[str, np.ndarray]]:
    """Write files of the words no, yes (in that order of positions) and a third unknown one."""
    folder.mkdir(parents=True)
    written = {}
    for index, word in enumerate(("no", "yes")):
        names = ("orig_score_1", "max_score_1", "orig_score_2", "max_score_2")
        arrays = {name: scores(seed=4 * index + i) for i, name in enumerate(names)}
        written[word] = {"class_index": np.int64(index), **arrays}
    written["yes"] |= changes
    for word, arrays in written.items():
        np.savez(folder / f"10k_class_{word}.npz", **arrays)
    return written


def test_scores_are_written_as_published(evaluation):
    for prior in ("ae", "none"):
        folder = evaluation.root / "npz" / f"{prior}-softmax"
        assert {p.name for p in folder.iterdir()} == {f"10k_class_{slug(w)}.npz" for w in WORDS}
        for index, word in enumerate(WORDS):
            with np.load(folder / f"10k_class_{slug(word)}.npz", allow_pickle=False) as stored:
                assert set(stored) == KEYS
                assert int(stored["class_index"]) == index
                for name in KEYS - {"class_index"}:
                    assert stored[name].shape == (5, 1, 4)
                    np.testing.assert_allclose(stored[name].sum(axis=2), 1, atol=1e-5)
                own = stored["max_score_1"][:, 0].argmax(axis=1) == index
                separate = stored["max_score_2"][:, 0].argmax(axis=1) == index
            (row,) = [
                row
                for row in evaluation.rows
                if (row["prior"], row["objective"], row["word"]) == (prior, "softmax", word)
            ]
            assert row["own success"] == own.mean()
            assert row["transfer, referee"] == separate.mean()


def test_a_word_is_written_before_the_next_ones_are_read(monkeypatch, tmp_path):
    """With the scores of all words in memory at once, memory would grow with the samples."""
    found = []

    def reading(root, chunk, names):
        found.append((chunk.first, len(list((root / "npz").rglob("*.npz")))))
        return read_chunk(root, chunk, names)

    monkeypatch.setattr(interchange, "read_chunk", reading)
    settings = {"samples": 5, "steps": 1, "block_size": 2, "npz": True}
    bundle = write_small_bundle(tmp_path / "bundle")
    evaluate(["none"], bundle=bundle, **settings, out=tmp_path / "out")
    # Chunks of 8 samples; the second begins in the second word and ends in the last one.
    assert found == [(0, 0), (8, 1), (16, 3)]


def test_what_was_written_is_read_again(evaluation, tmp_path):
    found = evaluate_published(evaluation.root / "npz" / "ae-softmax", tmp_path / "out")
    (mine,) = [r for r in found.rows if (r["objective"], r["word"]) == ("maximized", "all words")]
    (wanted,) = [
        r
        for r in evaluation.rows
        if (r["prior"], r["objective"], r["word"]) == ("ae", "softmax", "all words")
    ]
    assert mine["samples"] == wanted["samples"]
    assert mine["own success"] == wanted["own success"]
    assert mine["transfer, separate"] == wanted["transfer, referee"]
    assert mine["joint success, separate"] == wanted["joint success, referee"]
    assert mine["probability"] == pytest.approx(wanted["probability"])


def test_files_of_others_are_counted_and_drawn(tmp_path):
    written = write_files(tmp_path / "files")
    found = evaluate_published(tmp_path / "files", tmp_path / "out")
    for index, word in enumerate(("no", "yes")):
        rows = [row for row in found.rows if row["word"] == word]
        untouched, maximized = rows
        for row, name in ((untouched, "orig"), (maximized, "max")):
            own = written[word][f"{name}_score_1"][:, 0].argmax(axis=1) == index
            separate = written[word][f"{name}_score_2"][:, 0].argmax(axis=1) == index
            assert row["own success"] == own.mean()
            assert row["transfer, separate"] == separate.mean()
            assert row["joint success, separate"] == (own & separate).mean()
    for row in found.rows:
        for unknown in ("score start", "score", "diversity", "nearest"):
            assert row[unknown] is None
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert stored["words"] == ["no", "yes", "class 2"]
    assert "in reverse" in stored["note"]
    assert (tmp_path / "out" / "heatmap.png").stat().st_size > 5000
    assert (tmp_path / "out" / "heatmap.pdf").stat().st_size > 5000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_score_2": scores(5)}, r"max_score_2 has shape \(5, 1, 3\); expected"),
        ({"orig_score_1": scores()[:, 0]}, r"orig_score_1 has shape \(6, 3\); expected"),
        ({"class_index": np.int64(3)}, "class_index is 3; expected 0 to 2"),
        ({"class_index": np.int64(0)}, "have the same class_index"),
        ({"class_index": np.float64(1)}, "expected one whole number"),
        ({"max_score_1": np.full((6, 1, 3), np.nan)}, "max_score_1 holds values that are not"),
        ({"max_score_1": np.array([[["a"]]] * 6)}, r"max_score_1 has shape \(6, 1, 1\)"),
        ({"max_score_1": np.array([{}], object)}, "without pickled objects"),
        (
            {f"{n}_score_{i}": scores(6, 4) for n in ("orig", "max") for i in (1, 2)},
            "yes.npz has 4 words, .*no.npz has 3",
        ),
    ],
)
def test_files_of_another_kind_are_named(tmp_path, changes, message):
    write_files(tmp_path / "files", **changes)
    with pytest.raises(RunError, match=message):
        evaluate_published(tmp_path / "files", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_such_file_is_named(call, tmp_path):
    with pytest.raises(RunError, match=r"has no 10k_class_<word>\.npz"):
        evaluate_published(tmp_path, tmp_path / "out")
    for name, data in (("a", b"PK\x03\x04broken"), ("b", pickle.dumps([1])), ("c", b"")):
        folder = tmp_path / name
        write_files(folder)
        (folder / "10k_class_yes.npz").write_bytes(data)
        with pytest.raises(RunError, match=r"yes\.npz cannot be read"):
            evaluate_published(folder, tmp_path / "out")
    write_files(tmp_path / "array")
    with open(tmp_path / "array" / "10k_class_yes.npz", "wb") as file:
        np.save(file, scores())
    with pytest.raises(RunError, match=r"yes\.npz cannot be read"):
        evaluate_published(tmp_path / "array", tmp_path / "out")
    write_files(tmp_path / "keys")
    np.savez(tmp_path / "keys" / "10k_class_yes.npz", class_index=1)
    done = call("evaluate", "--from-npz", tmp_path / "keys", "--out", tmp_path / "out")
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert "has no orig_score_1" in done.err
    assert not (tmp_path / "out").exists()


def test_the_command_reads_files(call, tmp_path):
    write_files(tmp_path / "files")
    done = call("evaluate", "--from-npz", tmp_path / "files", "--out", tmp_path / "out")
    assert done.status == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0][:3] == ["prior", "published", "files"]
    assert lines[1][:2] == ["objective", "untouched"]
    assert "in reverse" in done.out
    assert done.out.splitlines()[-1] == f"heatmap: {tmp_path / 'out' / 'heatmap.png'}"


def test_without_a_referee_nothing_is_written(tmp_path):
    bundle = create_bundle(tmp_path / "bundle", WORDS, FeatureSpec())
    bundle.add("classifier", {"model": small_classifier(1)})
    assert load_bundle(bundle.root).referees == {}
    with pytest.raises(ParameterError, match="there is no referee; name one with --referee"):
        evaluate(["none"], bundle=bundle.root, samples=1, npz=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_words_that_are_one_file_name_get_two(tmp_path):
    words = ("a b", "a/b", "A b", "$$")
    bundle = create_bundle(tmp_path / "bundle", words, FeatureSpec())
    bundle.add("classifier", {"model": small_classifier(1)})
    bundle.add("referee", {"model": small_classifier(2)})
    settings = {"samples": 1, "steps": 1, "block_size": 4, "npz": True}
    evaluate(["none"], bundle=bundle.root, **settings, out=tmp_path / "out")
    files = sorted((tmp_path / "out" / "npz" / "none-softmax").iterdir())
    indices = []
    for file in files:
        with np.load(file) as stored:
            indices.append(int(stored["class_index"]))
    assert len({file.name.casefold() for file in files}) == 4
    assert sorted(indices) == [0, 1, 2, 3]
