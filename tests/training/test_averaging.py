"""The moving average of weights, against its closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_listen.training.averaging import MovingAverage


@pytest.fixture
def model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])


def set_all(model: keras.Model, value: float) -> None:
    model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])


def averaged(model: keras.Model, average: MovingAverage) -> float:
    with average.in_place():
        [kernel] = model.get_weights()
    return float(kernel[0, 0])


def test_it_follows_a_step_exponentially(model):
    set_all(model, 0.0)
    average = MovingAverage(model, 0.99)
    set_all(model, 1.0)
    for step in range(5000, 5100):  # late enough that the beginning's shorter memory is over
        average.update(step)
    assert averaged(model, average) == pytest.approx(1 - 0.99**100, rel=1e-5)
    np.testing.assert_array_equal(model.get_weights()[0], 1.0)


def test_it_forgets_the_initial_weights_soon(model):
    set_all(model, 100.0)
    average = MovingAverage(model, 0.9999)
    set_all(model, 1.0)
    for step in range(200):
        average.update(step)
    assert averaged(model, average) == pytest.approx(1.0, abs=0.01)


def test_a_checkpoint_continues_it(model):
    set_all(model, 0.0)
    first, second = (MovingAverage(model, 0.9) for _ in range(2))
    set_all(model, 1.0)
    first.update(999)
    second.from_arrays(first.to_arrays())
    assert averaged(model, second) == pytest.approx(1 - 0.9**10, rel=1e-5)


def test_weights_come_back_after_an_error(model):
    set_all(model, 0.0)
    average = MovingAverage(model, 0.9)
    set_all(model, 1.0)
    with pytest.raises(ZeroDivisionError), average.in_place():
        raise ZeroDivisionError
    np.testing.assert_array_equal(model.get_weights()[0], 1.0)
