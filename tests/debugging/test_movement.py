"""Numbers of movements against values worked out by hand or by another program."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn import manifold

from keras_listen.debugging import movement
from keras_listen.debugging.movement import (
    directions,
    explained_variance,
    label_agreement,
    mean_cosine,
    measure_movement,
    nearest_latents,
    trustworthiness,
)


def test_directions_have_length_one_or_nothing():
    before = np.zeros((3, 2))
    after = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(directions(before, after), [[0.6, 0.8], [0, 0], [0, -1]])


def test_the_mean_cosine_is_that_of_all_pairs():
    ways = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert mean_cosine(ways) == pytest.approx((0 - 1 + 0) / 3)
    assert mean_cosine(ways[:1]) is None


def test_variance_between_groups_by_hand():
    ways = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    # Mean (0.5, 0), squares around it 3, of which 2 remain within the second group.
    found = explained_variance(ways, ["a", "a", "b", "b"])
    assert found["share"] == pytest.approx(1 / 3)
    assert found["groups"] == 2


def test_what_explains_a_direction_is_told_from_chance():
    generator = np.random.default_rng(4)
    words = np.repeat(["yes", "no"], 40)
    speakers = np.tile(np.repeat(["a", "b", "c", "d"], 10), 2)
    centre = {"yes": np.eye(8)[0], "no": np.eye(8)[1]}
    ways = np.stack([centre[word] for word in words]) + 0.3 * generator.standard_normal((80, 8))
    word = explained_variance(ways, words)
    assert word["share"] > 0.3
    assert word["by_chance"] == pytest.approx(1 / 79, abs=0.01)
    assert word["p"] == 1 / (movement.PERMUTATIONS + 1)
    assert explained_variance(ways, speakers)["p"] > 0.05
    # A shift of each speaker shows once the words' means are out of its way.
    shifted = ways + np.stack([0.2 * np.eye(8)["abcd".index(s) + 2] for s in speakers])
    within = explained_variance(shifted, speakers, within=words)
    assert within["p"] < 0.05
    assert within["share"] > explained_variance(shifted, speakers)["share"]
    assert explained_variance(shifted, speakers, within=words) == within


@pytest.mark.parametrize("groups", [["a"] * 4, list("abcd"), []])
def test_nothing_is_explained_where_there_is_nothing_to_compare(groups):
    assert explained_variance(np.eye(4)[: len(groups)], groups) is None


def test_motionless_points_have_no_direction_to_explain():
    assert explained_variance(np.zeros((4, 2)), ["a", "a", "b", "b"]) is None


def test_orders_within_groups_stay_within_them():
    outer = np.array([0, 1, 0, 1, 1, 0])
    for seed in range(20):
        order = movement._order(outer, np.random.default_rng(seed))
        assert sorted(order) == list(range(6))
        assert (outer[order] == outer).all()


def test_neighbours_and_how_many_share_a_label():
    points = np.array([[0.0], [1.0], [1.5], [9.0]])
    assert nearest_latents(points, 2).tolist() == [[1, 2], [2, 0], [1, 0], [2, 1]]
    shares = label_agreement(nearest_latents(points, 2), ["a", "a", "b", "b"])
    assert shares.tolist() == [0.5, 0.5, 0.0, 0.5]
    assert nearest_latents(points, 99).shape == (4, 3)


def test_memory_does_not_grow_with_the_square_of_the_points():
    points = np.random.default_rng(2).standard_normal((3000, 2))
    tracemalloc.start()
    try:
        nearest_latents(points)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All distances would be 72 MB; those of a piece are 6, and there are a few of them.
    assert peak < 36e6


@pytest.mark.parametrize("piece", [7, 256])
def test_trustworthiness_is_that_of_scikit_learn(monkeypatch, piece):
    monkeypatch.setattr(movement, "_PIECE", piece)
    generator = np.random.default_rng(1)
    latents = generator.standard_normal((60, 5))
    places = latents[:, :2] + 0.5 * generator.standard_normal((60, 2))
    wanted = manifold.trustworthiness(latents, places, n_neighbors=6)
    assert trustworthiness(latents, places, 6) == pytest.approx(wanted)
    assert trustworthiness(places, places, 6) == 1


def test_one_point_has_numbers_too():
    found = measure_movement(np.zeros((1, 2)), np.ones((1, 2)), np.array([2**0.5]), ["yes"], ["a"],
                    np.array([False]))  # fmt: skip
    assert found["distance"]["all"]["mean"] == pytest.approx(2**0.5)
    assert found["distance"]["misclassified"] is None
    assert found["cosine"]["all"] is None
    assert found["direction_all"] == {"word": None, "speaker": None, "speaker_within_word": None}
    assert found["neighbours"] == {}
