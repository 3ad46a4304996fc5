"""A store's features word by word: right, and not for ever."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from keras_listen.evaluation.utterances import Utterances

#: Bytes of one utterance of the tiny store.
SIZE = 90 * 80 * 4


def test_a_words_utterances_are_those_of_the_index(tiny_store):
    known = Utterances(tiny_store)
    for word in tiny_store.words:
        for split in ("training", "validation", "testing"):
            positions = [
                i
                for i, utterance in enumerate(tiny_store.utterances)
                if (utterance.word, utterance.split) == (word, split)
            ]
            assert known.count(word, split) == len(positions) > 0
            np.testing.assert_array_equal(
                known.features(word, split), tiny_store.batch(np.array(positions))
            )
    assert known.count("backward", "testing") == 0
    assert known.features("backward", "testing").shape == (0, 90, 80, 1)
    assert known.neighbours("backward") is None


def test_a_word_is_among_its_neighbours(tiny_store):
    known = Utterances(tiny_store)
    features = known.features("up", "training")
    np.testing.assert_allclose(known.neighbours("up").nearest(features), 0, atol=1e-3)
    assert known.neighbours("up").nearest(known.features("up", "testing")).min() > 0.01


def test_what_was_asked_for_longest_ago_is_forgotten(tiny_store):
    known = Utterances(tiny_store, room=12 * SIZE)  # two words' six testing utterances
    kept = {word: weakref.ref(known.features(word, "testing")) for word in ("down", "stop")}
    # Asked for again, so that it is "stop" that goes.
    assert known.features("down", "testing") is kept["down"]()
    known.features("up", "testing")
    gc.collect()
    assert kept["stop"]() is None
    assert known.features("down", "testing") is kept["down"]()


def test_a_word_that_is_larger_than_the_room_is_kept_alone(tiny_store):
    known = Utterances(tiny_store, room=1)
    first = known.neighbours("up")
    assert known.neighbours("up") is first
    last = weakref.ref(first)
    del first
    known.neighbours("down")
    gc.collect()
    assert last() is None


def test_the_file_is_let_go_of(tiny_store):
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("the system does not say which files are mapped")
    fresh = type(tiny_store).open(tiny_store.root)
    before = maps.read_text().count("features.npy")
    read = fresh.read(np.array([3, 1]))
    assert maps.read_text().count("features.npy") == before
    np.testing.assert_array_equal(read, tiny_store.batch(np.array([3, 1])))
