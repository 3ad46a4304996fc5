"""The Classifier: a Keras model with its words and features.

Gives logits, probabilities and the activations of any layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from ..errors import ModelError, ParameterError, unknown
from ..features import FeatureSpec
from ..texts import read_names
from .batch_coupling import apart, is_batch_coupled
from .blocks import BLOCK_SIZE, in_blocks
from .formats.keras_file import open_model
from .head import Compute, find_head, plainly
from .problem import Problem
from .provenance import Origin
from .rectifier import Rectifier, find_rectifier
from .rewrites import Rewritten, interruptible


class Classifier:
    """A speech classifier.

    Args:
        model: takes features [shape=(batch, frames, mels, 1)] and returns one value a word
            [shape=(batch, words)], or one value for two words [shape=(batch, 1)]; see
            `keras_listen.models.head.Head` for what the values may be.
        words: in the order of the model's outputs; of a single sigmoid, the word of 0 first.
        spec: the features it was trained on.
        shape: of its input, with the batch, where a front end makes it instead of the features.
        what: its name in messages.
        head: what its outputs are, one of `keras_listen.models.head.KINDS`; found out where None.
        batch_coupled: whether its answer for one sample depends on the others in its batch; found
            out where None.

    Attributes:
        head: see `keras_listen.models.head.Head`.
        origin: where it comes from, if a user brings it; None for that of a bundle.

    Raises:
        ModelError: model, words and spec do not fit together.
        ParameterError: there is no such head.
    """

    origin: Origin | None = None

    def __init__(
        self,
        model: keras.Model,
        words: Sequence[str],
        spec: FeatureSpec | None = None,
        *,
        shape: Sequence[int | None] | None = None,
        what: str = "the classifier",
        head: str | None = None,
        batch_coupled: bool | None = None,
    ):
        self.model, self.words, self.what = model, tuple(words), what
        self.spec = spec or FeatureSpec()
        self._taps: dict[str, keras.Model] = {}
        self._rectifiers: dict[str, Rectifier | None] = {}
        self._compute: Compute = plainly
        self._computed: dict[str, Callable] = {}
        if problems := check_shapes(model, self.words, shape or self.spec):
            raise ModelError(f"{what}: {problems[0]}")
        self._kind = head
        self.head = find_head(model, kind=head)
        if self.head.probabilities is None:
            raise ModelError(f"{what}: {self.head.problem}")
        if batch_coupled is not None:
            self.__dict__["batch_coupled"] = batch_coupled  # takes the cached property's place

    @cached_property
    def batch_coupled(self) -> bool:
        """Whether the answer for one sample depends on the others in its batch.

        Such a model, for instance one that takes a maximum over its whole input, is computed one
        sample at a time.
        """
        # Logits and not probabilities, which hide differences where they are 0 or 1.
        function = self.head.logits or self.head.probabilities
        with _outside_of_graphs():
            return is_batch_coupled(function, self.model.input_shape)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the model: a line each."""
        notes = []
        if self.head.note:
            mend = "leave its head out" if self._kind else "name its head"
            notes.append(f"{self.what}: {self.head.note}; if that is wrong, {mend}")
        if self.batch_coupled:
            notes.append(
                f"{self.what}: answers for one sample depend on the others in its batch (such as "
                "by a maximum over all of its input): computed one by one, slower"
            )
        return tuple(notes)

    @property
    def has_logits(self) -> bool:
        """Whether logits are available, that is, the last activation can be bypassed exactly."""
        return self.head.logits is not None

    def require_logits(self) -> None:
        """Raise ModelError unless logits are available."""
        if not self.has_logits:
            raise ModelError(f"{self.what} has no logits: {self.head.problem}")

    def logits(self, features: Any) -> Any:
        """Return logits, the input of the softmax or sigmoid [shape=(batch, words)].

        Args:
            features: tensor [shape=(batch, frames, mels, 1), in [0, 1]].

        Raises:
            ModelError: the last activation cannot be bypassed exactly.
        """
        self.require_logits()
        return self.apart(self.head.logits)(features)

    def probabilities(self, features: Any) -> Any:
        """Return probabilities of the words [shape=(batch, words)].

        Rows sum to 1, unless the model ends in a sigmoid for each word.
        """
        if self.head.logits is None:
            return self.apart(self.head.probabilities)(features)
        return self.activate(self.logits(features))

    def activate(self, logits: Any) -> Any:
        """Return the probabilities of logits [shape=(batch, words)]."""
        return self.head.activate(logits)

    def decide(self, probabilities: Any) -> Any:
        """Return the position of the predicted word, -1 where none is.

        Where each word has a sigmoid, none is predicted unless its probability is above 0.5.

        Args:
            probabilities: NumPy array or TensorFlow tensor [shape=(..., words)].

        Returns:
            integers [shape=(...)], of the same library.
        """
        return self.head.decide(probabilities)

    def activations(self, features: Any, layer: str) -> Any:
        """Return the output of the layer called `layer`.

        Raises:
            ParameterError: no such layer.
        """
        return self.apart(self._function(layer, self._tap(layer)))(features)

    def rectifier(self, layer: str) -> Rectifier | None:
        """Return the last activation before the output of `layer`; None where there is none.

        Raises:
            ParameterError: no such layer.
        """
        if layer not in self._rectifiers:
            self._rectifiers[layer] = find_rectifier(self.model, self._tap(layer).outputs[0])
        return self._rectifiers[layer]

    def before_activation(self, features: Any, layer: str) -> Any:
        """Return the input of `rectifier(layer)`, which there has to be.

        Raises:
            ParameterError: no such layer.
        """
        rectifier, name = self.rectifier(layer), f"before {layer}"
        if name not in self._computed:
            self._computed[name] = rectifier.before(self._compute)
        return self.apart(self._computed[name])(features)

    def apart(self, function: Callable) -> Callable:
        """Return a function of features that computes each sample alone where they are coupled."""
        return apart(function) if self.batch_coupled else function

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
                return keras.Model(self.model.inputs[0], (entering or [tensor])[0])
            tensor = entering[0]

    @cached_property
    def rewritten(self) -> Classifier:
        """The same classifier, computed by the faster operations of `keras_listen.rewrites`."""
        if self.batch_coupled:
            return self
        other = copy.copy(self)
        made: list[Rewritten] = []

        def compute(model: keras.Model) -> Rewritten:
            made.append(Rewritten(model))
            return made[-1]

        other._compute, other._computed = compute, {}
        other.head = find_head(self.model, compute, self._kind)
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
            output = _output_in(self.model, self.model.get_layer(layer))
            self._taps[layer] = keras.Model(self.model.inputs[0], output)
        return self._taps[layer]

    def predict(self, features: np.ndarray, *, block_size: int = BLOCK_SIZE) -> np.ndarray:
        """Return probabilities as NumPy [shape=(batch, words)], computed in fixed blocks."""
        if refresh := getattr(self.rewritten, "refresh", None):
            refresh()
        with interruptible():
            return in_blocks(self._compiled, np.asarray(features, np.float32), block_size)

    @cached_property
    def _compiled(self):
        """Compute probabilities as one compiled function, made once."""
        if keras.backend.backend() != "tensorflow":
            return lambda block: ops.convert_to_numpy(self.probabilities(block))
        import tensorflow as tf

        return tf.function(self.rewritten.probabilities, reduce_retracing=True)

    def __repr__(self) -> str:
        words = ", ".join(self.words[:3]) + (", …" if len(self.words) > 3 else "")
        return f"<Classifier {self.what}: {len(self.words)} words ({words})>"

    def label(self, word: str) -> int:
        """Return the position of `word`.

        Raises:
            ParameterError: the classifier has no such word.
        """
        if word not in self.words:
            raise ParameterError(unknown("word of this classifier", word, self.words))
        return self.words.index(word)


def _output_in(model: keras.Model, layer: keras.Layer) -> keras.KerasTensor:
    """Return a layer's output in a model's graph; that of a model within is of its own graph."""
    tensors, seen = list(model.outputs), set()
    while tensors:
        tensor = tensors.pop()
        operation, use, _ = tensor._keras_history
        if operation is layer:
            return tensor
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors += operation._inbound_nodes[use].input_tensors
    return layer.output


def check_shapes(
    model: keras.Model, words: Sequence[str], expected: FeatureSpec | Sequence[int | None]
) -> list[Problem]:
    """Return the ways in which model, words and input don't fit together, the input's first.

    Args:
        model: any.
        words: in the order of its outputs.
        expected: the features, or the shape that a front end gives, with the batch; None where any
            size fits, as for the batch.
    """
    problems = []
    # Subclassed models have none, a Sequential without Input none before it is built.
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        remedy = "build it from keras.Input, or as a Sequential that begins with one"
        return [Problem("the model's input shape is not known", remedy)]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        ends = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        return [Problem(f"the model has {ends}", "expected one of each")]
    if problem := _input_problem(tuple(model.input_shape), expected):
        problems.append(problem)
    if len(set(words)) != len(words):
        problems.append(Problem("the words are not all different"))
    outputs = tuple(model.output_shape)
    if len(outputs) != 2:
        problems.append(
            Problem(f"the model's output has shape {outputs}", "expected (None, words)")
        )
    elif outputs[1] != len(words) and (outputs[1], len(words)) != (1, 2):
        problems.append(
            Problem(
                f"the model has {outputs[1]} outputs, but there are {len(words)} words",
                "give one word for each output, in its order",
            )
        )
    return problems


def _outside_of_graphs() -> AbstractContextManager:
    """Return a context in which values are computed even while TensorFlow traces a function."""
    if keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    return tf.init_scope()


#: Fewer values than this, along one axis, are taken to be averages over time.
_AVERAGES = 256


def _input_problem(shape: tuple, expected: FeatureSpec | Sequence[int | None]) -> Problem | None:
    """Return how a model's input shape differs from what is expected."""
    spec = expected if isinstance(expected, FeatureSpec) else None
    wanted = (None, *spec.shape) if spec else tuple(expected)
    if len(shape) == len(wanted) and all(
        None in (have, want) or have == want
        for have, want in zip(shape[1:], wanted[1:], strict=True)
    ):
        return None
    if problem := average_problem(shape):
        return problem
    remedy = _input_remedy(shape, spec) if spec else _front_end_remedy(shape, wanted)
    return Problem(f"the model takes input of shape {shape}, expected {wanted}", remedy)


def average_problem(shape: Sequence[int | None]) -> Problem | None:
    """Return what is wrong with an input of averages over time, None for another one.

    Args:
        shape: of the input, with the batch. A small vector is taken for averages: no axis of it can
            be time.
    """
    sizes = [size for size in shape[1:] if size != 1]
    if len(sizes) != 1 or sizes[0] is None or sizes[0] >= _AVERAGES:
        return None
    return Problem(
        f"the model takes input of shape {tuple(shape)}: averages over time, there is no time left "
        "to listen to",
        "use a model on frames over time, or on the waveform",
    )


def _input_remedy(shape: tuple, spec: FeatureSpec) -> str:
    """Return what to do about an input of another shape than the features have."""
    if _is_waveform(shape):
        return "it takes a waveform: name its front end, --frontend waveform"
    find = "--frontend NAME, or let keras-listen doctor find it with --audio RECORDINGS --suggest"
    if [size for size in shape[1:] if size != 1] == [spec.frames, spec.n_mels] or (
        len(shape) == 4 and shape[1:3] == (spec.n_mels, spec.frames)
    ):
        return (
            "its axes differ: give --frontend features with -o frontend.features.layout=..., such "
            f"as time,bands; or if it takes other features, name its front end with {find}"
        )
    return (
        f"name its front end with {find}; if it takes the default features with other settings, "
        "give these with a --spec file"
    )


def _is_waveform(shape: tuple) -> bool:
    short = len(shape) == 2 or (len(shape) == 3 and shape[2] in (None, 1))
    return short and (shape[1] is None or shape[1] >= 4000)


def _front_end_remedy(shape: tuple, wanted: tuple) -> str:
    """Return what to do about an input of another shape than the front end gives."""
    have, given = ([size for size in sizes[1:] if size != 1] for sizes in (shape, wanted))
    if _is_waveform(shape) != _is_waveform(wanted):
        return "choose another front end: " + (
            "the model takes a waveform" if _is_waveform(shape) else "it gives a waveform"
        )
    if have == given:
        return (
            "only the channel axis differs: set the front end's layout, such as time,bands or "
            "time,bands,channel"
        )
    if None not in (*have, *given):
        if sorted(have) == sorted(given):
            return (
                "the axes stand in another order: set the front end's layout, such as "
                "bands,time,channel"
            )
        if math.prod(have) == math.prod(given):
            return "one of them is flattened: set whether the front end's output is"
    if _is_waveform(shape):
        return "set the front end's length of sound"
    return "set the front end's frames and bands to those of the model, or choose another one"


def read_words(path: str | Path) -> tuple[str, ...]:
    """Read a words file: one word a line, in the order of the model's outputs.

    Raises:
        ModelError: the file cannot be read or is empty.
    """
    try:
        words = tuple(read_names(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the words file {path}: {error}") from error
    if not words:
        raise ModelError(f"the words file {path} is empty; expected one word a line")
    return words


def load_classifier(
    path: str | Path,
    words: Sequence[str],
    spec: FeatureSpec | None = None,
    *,
    trust: bool = False,
    head: str | None = None,
    builder: str | None = None,
    imports: Sequence[str] = (),
) -> Classifier:
    """Open a model file as a classifier; see `Classifier` and `open_model`."""
    model = open_model(path, trust=trust, builder=builder, imports=imports)
    return Classifier(model, words, spec, what=f"the model {path}", head=head)
