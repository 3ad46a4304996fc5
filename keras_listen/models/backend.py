"""Start the backend of Keras and check that it is TensorFlow where that is needed."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from ..errors import ListenError


def require_tensorflow() -> None:
    """Raise ListenError unless Keras runs on TensorFlow, in float32, which the engine needs."""
    wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
    if wanted == "tensorflow":
        try:
            import keras

            wanted = keras.backend.backend()
        except (ImportError, ValueError) as error:
            wanted = f"of ~/.keras/keras.json ({error})"
    if wanted != "tensorflow":
        raise ListenError(
            f"Keras is set to the backend {wanted}, the engine needs tensorflow; set "
            "KERAS_BACKEND=tensorflow, or mend ~/.keras/keras.json"
        )
    require_float32()


def require_float32() -> None:
    """Raise ListenError unless Keras makes layers of float32, as all figures here are.

    A `floatx` in keras.json that stems from another project, or a policy, would stop with a
    traceback, after minutes.
    """
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy().name
    if floatx != "float32":
        raise ListenError(
            f"Keras is set to floatx {floatx}, keras-listen needs float32; change floatx in "
            "~/.keras/keras.json to float32"
        )
    if policy != "float32":
        raise ListenError(
            f"Keras is set to the dtype policy {policy}, keras-listen needs float32; call "
            "keras.config.set_dtype_policy('float32') first"
        )


def prepare_environment() -> None:
    """Set what TensorFlow reads from the environment when it is first imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves oneDNN off on processors without certain instructions; there, too, it halves
    # the time of convolutions and their gradients (measured with AVX2).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def start_quietly(*, engine: bool = True) -> None:
    """Import Keras and start its backend without the notices that it prints at start.

    They are written by compiled code before any log level takes effect, so standard error is
    redirected meanwhile.

    Args:
        engine: whether the engine will be used, which needs TensorFlow.

    Raises:
        ListenError: the engine is needed and Keras is set to another backend, or to one that is not
            installed, or to other numbers than float32.
    """
    own = "tensorflow" not in sys.modules
    prepare_environment()
    with _muted_stderr():
        if engine:
            require_tensorflow()
        try:
            import keras
        except (ImportError, ValueError) as error:
            backend = os.environ.get("KERAS_BACKEND", "of ~/.keras/keras.json")
            raise ListenError(
                f"Keras cannot start the backend {backend} ({error}); set "
                "KERAS_BACKEND=tensorflow, or install that backend"
            ) from error

        require_float32()
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_physical_devices()
            # It would warn of retracing, as several classifiers are traced once each.
            tf.get_logger().addFilter(_is_no_retracing)
            if own:
                tf.get_logger().setLevel("ERROR")


def _is_no_retracing(record: logging.LogRecord) -> bool:
    """Return whether a message of TensorFlow's is none about functions that are traced again."""
    return "triggered tf.function retracing" not in str(record.msg)


def tensorflow_threads() -> int:
    """Return the number of threads that TensorFlow uses for one operation."""
    import tensorflow as tf

    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    # Where nobody chose, TensorFlow takes every core that this process may run on.
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return chosen or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or len(usable(0))


@contextlib.contextmanager
def _muted_stderr() -> Iterator[None]:
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # started without standard error: nothing to mute
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
