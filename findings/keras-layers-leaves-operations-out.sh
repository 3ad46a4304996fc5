#!/usr/bin/env bash
# Keras 3.15.1: `model.layers` leaves out what was called as a function, a final softmax included.
#
# Guess: as in Keras 2, where calling a function on a symbolic tensor made a layer of it, every step
#   of a functional model is in `model.layers`, so the last of them gives the model's output.
# Behaviour: `keras.activations.softmax(x)` and `keras.ops.softmax(x)` are operations, not layers; they
#   are in `model.operations` alone. `model.layers[-1]` is the Dense before, and a tool that replaces
#   its activation to get at logits, or takes its output for the model's, is wrong without a word.
#   Besides, a Dense made with activation=keras.ops.softmax has an activation that is not
#   keras.activations.softmax, though it computes the same.
# Seen:
#   layers: InputLayer, Dense; operations: InputLayer, Dense, Softmax
#   the last layer gives the model's output: False
#   keras.ops.softmax is keras.activations.softmax: False
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q keras==3.15.1 tensorflow==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$work/venv/bin/python" 2>/dev/null <<'PYTHON'
import keras
import numpy as np

inputs = keras.Input((4,))
outputs = keras.activations.softmax(keras.layers.Dense(3)(inputs))
model = keras.Model(inputs, outputs)
layers = [type(each).__name__ for each in model.layers]
operations = [type(each).__name__ for each in model.operations]
print(f"layers: {', '.join(layers)}; operations: {', '.join(operations)}")
last = keras.Model(inputs, model.layers[-1].output)
x = np.ones((1, 4), "float32")
same = np.allclose(np.asarray(model(x)), np.asarray(last(x)))
print("the last layer gives the model's output:", same)
equal = keras.layers.Dense(3, activation=keras.ops.softmax).activation is keras.activations.softmax
print("keras.ops.softmax is keras.activations.softmax:", equal)
assert layers == ["InputLayer", "Dense"] and operations[-1] == "Softmax"
assert not same and not equal
PYTHON
