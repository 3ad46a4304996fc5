#!/usr/bin/env bash
# Keras 3.15.1 with TensorFlow 2.21.0: augmentation layers inside a model are random in `model(x)`.
#
# Guess: a call without `training` is inference, so random layers pass their input on, as Dropout and
#   GaussianNoise do.
# Behaviour: RandomFlip, RandomTranslation and RandomContrast change their input in `model(x)`; only
#   `model(x, training=False)` and `model.predict(x)` leave it alone. Whoever takes gradients by
#   `model(x)`, as most tools for saliency and activation maximization do, looks at another input
#   each time.
# Seen:
#   Dropout              model(x) unchanged  training=False unchanged
#   GaussianNoise        model(x) unchanged  training=False unchanged
#   RandomFlip           model(x) CHANGED    training=False unchanged
#   RandomTranslation    model(x) CHANGED    training=False unchanged
#   RandomContrast       model(x) CHANGED    training=False unchanged
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q keras==3.15.1 tensorflow==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow "$work/venv/bin/python" 2>/dev/null <<'PYTHON'
import keras
import numpy as np
from keras import layers

x = np.arange(32, dtype="float32").reshape(1, 4, 8, 1)
expected = {
    layers.Dropout(0.5): True,
    layers.GaussianNoise(1.0): True,
    layers.RandomFlip("horizontal", seed=1): False,
    layers.RandomTranslation(0.3, 0.3, seed=1): False,
    layers.RandomContrast(0.5, seed=1): False,
}
for layer, quiet in expected.items():
    model = keras.Sequential([keras.Input((4, 8, 1)), layer])
    plain = all(np.array_equal(np.asarray(model(x)), x) for _ in range(10))
    inference = all(np.array_equal(np.asarray(model(x, training=False)), x) for _ in range(10))
    say = {True: "unchanged", False: "CHANGED"}
    print(f"{type(layer).__name__:20} model(x) {say[plain]:10} training=False {say[inference]}")
    assert plain == quiet and inference
PYTHON
