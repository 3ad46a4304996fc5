"""The Classifier: a Keras model with its words and features.

Gives logits, probabilities and the activations of any layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from ..errors import ModelError, ParameterError, unknown
from ..features import FeatureSpec
from .blocks import BLOCK_SIZE, in_blocks
from .formats.keras_file import open_model
from .problem import Problem
from .rewrites import Rewritten, interruptible

#: Turns a model into a function of features, in inference mode.
Compute = Callable[[keras.Model], Callable]

#: Layers that pass probabilities on as they are.
_TRANSPARENT = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape)


class Classifier:
    """A speech classifier.

    Args:
        model: takes features [shape=(batch, frames, mels, 1)] and returns one value a word
            [shape=(batch, words)]: probabilities from a final softmax, or logits without one.
        words: in the order of the model's outputs.
        spec: the features it was trained on.
        what: its name in messages.

    Raises:
        ModelError: model, words and spec do not fit together.
    """

    def __init__(
        self,
        model: keras.Model,
        words: Sequence[str],
        spec: FeatureSpec | None = None,
        *,
        what: str = "the classifier",
    ):
        self.model, self.words, self.what = model, tuple(words), what
        self.spec = spec or FeatureSpec()
        self._taps: dict[str, keras.Model] = {}
        self._compute: Compute = _plainly
        self._computed: dict[str, Callable] = {}
        if problems := check_shapes(model, self.words, self.spec):
            raise ModelError(f"{what}: {problems[0]}")
        self.head = find_head(model)
        if self.head.kind == "sigmoid":
            raise ModelError(f"{what}: {self.head.problem}")

    @property
    def has_logits(self) -> bool:
        """Whether logits are available, that is, the softmax can be bypassed exactly."""
        return self.head.logits is not None

    def require_logits(self) -> None:
        """Raise ModelError unless logits are available."""
        if not self.has_logits:
            raise ModelError(f"{self.what} has no logits: {self.head.problem}")

    def logits(self, features: Any) -> Any:
        """Return logits, the input of the softmax [shape=(batch, words)].

        Args:
            features: tensor [shape=(batch, frames, mels, 1), in [0, 1]].

        Raises:
            ModelError: the softmax cannot be bypassed exactly.
        """
        self.require_logits()
        return self.head.logits(features)

    def probabilities(self, features: Any) -> Any:
        """Return probabilities of the words [shape=(batch, words), rows sum to 1]."""
        if self.head.logits is None:
            return self._function("", self.model)(features)
        return ops.softmax(self.head.logits(features))

    def activations(self, features: Any, layer: str) -> Any:
        """Return the output of the layer called `layer`.

        Raises:
            ParameterError: no such layer.
        """
        return self._function(layer, self._tap(layer))(features)

    def layer_shape(self, layer: str) -> tuple[int, ...]:
        """Return the shape of a layer's output, without the batch.

        Raises:
            ParameterError: no such layer.
        """
        return tuple(self._tap(layer).output_shape[1:])

    @cached_property
    def penultimate(self) -> keras.Model:
        """The model up to the input of its last layer that has weights."""
        tensor = self.model.outputs[0]
        while True:
            layer, use, _ = tensor._keras_history
            entering = layer._inbound_nodes[use].input_tensors
            if layer.weights or not entering:
                return keras.Model(_single(self.model.inputs), _single(entering or [tensor]))
            tensor = entering[0]

    @cached_property
    def rewritten(self) -> Classifier:
        """The same classifier, computed by the faster operations of `keras_listen.rewrites`."""
        other = copy.copy(self)
        made: list[Rewritten] = []

        def compute(model: keras.Model) -> Rewritten:
            made.append(Rewritten(model))
            return made[-1]

        other._compute, other._computed = compute, {}
        other.head = find_head(self.model, compute)
        other.refresh = lambda: [each.refresh() for each in made]
        other.__dict__["rewritten"] = other  # takes the place of the cached property
        return other

    def _function(self, name: str, model: keras.Model) -> Callable:
        """Return the function that computes a part of the model; it is made once."""
        if name not in self._computed:
            self._computed[name] = self._compute(model)
        return self._computed[name]

    def _tap(self, layer: str) -> keras.Model:
        if layer not in self._taps:
            names = [known.name for known in self.model.layers]
            if layer not in names:
                raise ParameterError(unknown(f"layer of {self.what}", layer, names))
            output = self.model.get_layer(layer).output
            self._taps[layer] = keras.Model(_single(self.model.inputs), output)
        return self._taps[layer]

    def predict(self, features: np.ndarray, *, block_size: int = BLOCK_SIZE) -> np.ndarray:
        """Return probabilities as NumPy [shape=(batch, words)], computed in fixed blocks."""
        self.rewritten.refresh()
        with interruptible():
            return in_blocks(self._compiled, np.asarray(features, np.float32), block_size)

    @cached_property
    def _compiled(self):
        """Compute probabilities as one compiled function, made once."""
        if keras.backend.backend() != "tensorflow":
            return lambda block: ops.convert_to_numpy(self.probabilities(block))
        import tensorflow as tf

        return tf.function(self.rewritten.probabilities, reduce_retracing=True)

    def label(self, word: str) -> int:
        """Return the position of `word`.

        Raises:
            ParameterError: the classifier has no such word.
        """
        if word not in self.words:
            raise ParameterError(unknown("word of this classifier", word, self.words))
        return self.words.index(word)


@dataclass(frozen=True)
class Head:
    """The end of a model and how to obtain its logits.

    Attributes:
        kind: "softmax", "logits", "hidden softmax" or "sigmoid".
        logits: function from features to logits, or None where there is none.
        problem: why there is none.
    """

    kind: str
    logits: Callable | None = None
    problem: Problem | None = None


def _plainly(model: keras.Model) -> Callable:
    return lambda features: model(features, training=False)


def find_head(model: keras.Model, compute: Compute = _plainly) -> Head:
    """Find the final softmax of a model and a function to its logits, made by `compute`."""
    layer, entering = _end(model)
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.sigmoid:
        return Head(
            "sigmoid",
            problem=Problem(
                "it ends in a sigmoid",
                "multi-label models are not supported, use a softmax over the words",
            ),
        )
    if isinstance(layer, keras.layers.Softmax) or _is_plain(layer, keras.activations.softmax):
        return Head("softmax", _tap_input(model, entering, compute))
    if isinstance(layer, keras.layers.Dense) and activation is keras.activations.softmax:
        return Head("softmax", _dense_logits(model, layer, entering, compute))
    if activation is keras.activations.softmax or _sums_to_one(model):
        return Head(
            "hidden softmax",
            problem=Problem(
                "its softmax is not in a last Dense, Softmax or Activation layer",
                "rebuild it to end in one, or use the objective softmax",
            ),
        )
    return Head("logits", compute(model))


def _single(inputs: list):
    """Return the only input as a tensor: Keras treats a list of one differently."""
    return inputs[0]


def _end(model: keras.Model):
    """Return the last layer that changes values, and its input in this model.

    A layer may have been used in other models before, so the model's own graph is followed.
    """
    tensor = model.outputs[0]
    while True:
        layer, use, _ = tensor._keras_history
        entering = layer._inbound_nodes[use].input_tensors
        if not isinstance(layer, _TRANSPARENT):
            # With more values than words, its softmax is over something else.
            values = math.prod(size or 0 for size in tensor.shape[1:])
            return (layer if values == model.output_shape[-1] else None), entering
        tensor = entering[0]


def _is_plain(layer, activation) -> bool:
    return isinstance(layer, keras.layers.Activation) and layer.activation is activation


def _tap_input(model: keras.Model, entering: list, compute: Compute, finish=lambda x: x):
    """Return a function from features to the tensor `entering`, processed by `finish`."""
    before = compute(keras.Model(_single(model.inputs), _single(entering)))
    shape = (-1, model.output_shape[-1])
    return lambda features: ops.reshape(finish(before(features)), shape)


def _dense_logits(model: keras.Model, layer, entering: list, compute: Compute):
    def linear(x):
        x = ops.matmul(x, layer.kernel)
        return x + layer.bias if layer.use_bias else x

    return _tap_input(model, entering, compute, linear)


def _sums_to_one(model: keras.Model) -> bool:
    """Test by a probe whether outputs are probabilities, whatever layer they come from."""
    shape = [4, *(64 if size is None else size for size in model.input_shape[1:])]
    probe = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    out = ops.convert_to_numpy(model(probe, training=False))
    return bool((out >= 0).all() and np.allclose(out.sum(axis=1), 1.0, atol=1e-3))


def check_shapes(model: keras.Model, words: Sequence[str], spec: FeatureSpec) -> list[Problem]:
    """Return the ways in which model, words and spec don't fit together, the input's first."""
    problems = []
    # Subclassed models have none, a Sequential without Input none before it is built.
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        remedy = "build it from keras.Input, or as a Sequential that begins with one"
        return [Problem("the model's input shape is not known", remedy)]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        ends = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        return [Problem(f"the model has {ends}", "expected one of each")]
    shape = tuple(model.input_shape)
    if len(shape) != 4 or any(
        have not in (None, want) for have, want in zip(shape[1:], spec.shape, strict=True)
    ):
        problems.append(_input_problem(shape, spec))
    if len(set(words)) != len(words):
        problems.append(Problem("the words are not all different"))
    outputs = tuple(model.output_shape)
    if len(outputs) != 2:
        problems.append(
            Problem(f"the model's output has shape {outputs}", "expected (None, words)")
        )
    elif outputs[1] != len(words):
        problems.append(
            Problem(
                f"the model has {outputs[1]} outputs, but there are {len(words)} words",
                "give one word for each output, in its order",
            )
        )
    return problems


def _input_problem(shape: tuple, spec: FeatureSpec) -> Problem:
    return Problem(
        f"the model takes input of shape {shape}, expected {(None, *spec.shape)}",
        _input_remedy(shape, spec),
    )


def _input_remedy(shape: tuple, spec: FeatureSpec) -> str:
    """Return what to do about an input of another shape than the features have."""
    waveform = len(shape) == 2 or (len(shape) == 3 and shape[2] in (None, 1))
    if waveform and (shape[1] is None or shape[1] >= 4000):
        return "models on waveforms are not supported"
    if len(shape) == 4 and shape[1:3] == (spec.n_mels, spec.frames):
        return "time comes first: put a Permute((2, 1, 3)) layer in front"
    if len(shape) == 3:
        return "the channel axis is missing: put a Reshape layer in front"
    if shape[-1] not in (None, 1):
        return "features have one channel"
    if len(shape) == 4 and shape[2] is not None and shape[2] <= 40 < spec.n_mels:
        return "models on MFCC are not supported, for fewer mel bands give a --spec file"
    return "give the features it was trained on with a --spec file"


def read_words(path: str | Path) -> tuple[str, ...]:
    """Read a words file: one word a line, in the order of the model's outputs.

    Raises:
        ModelError: the file cannot be read or is empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the words file {path}: {error}") from error
    words = tuple(line.strip() for line in lines if line.strip())
    if not words:
        raise ModelError(f"the words file {path} is empty; expected one word a line")
    return words


def load_classifier(
    path: str | Path,
    words: Sequence[str],
    spec: FeatureSpec | None = None,
    *,
    trust: bool = False,
    builder: str | None = None,
    imports: Sequence[str] = (),
) -> Classifier:
    """Open a model file as a classifier; see `Classifier` and `open_model`."""
    model = open_model(path, trust=trust, builder=builder, imports=imports)
    return Classifier(model, words, spec, what=f"the model {path}")
