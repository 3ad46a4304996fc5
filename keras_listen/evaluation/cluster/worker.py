"""Work of a cluster's worker: open an evaluation once, then compute chunks of it.

dask's scheduler imports this module when it passes tasks on, so TensorFlow, and our modules that
need it, are imported with a worker's first chunk.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import ClusterError, ListenError
from ...models.backend import start_quietly, tensorflow_threads
from ...models.provenance import versions
from ...plugins import PluginSettings, follow

if TYPE_CHECKING:
    from ..grid import Grid

#: Instructions by which compiled code chooses its kernels.
_VECTORS = ("avx2", "avx512f", "amx-tile", "sve")
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
#: TensorFlow has the processor to itself, whatever number of threads the worker was started with.
_turn = threading.Lock()

log = logging.getLogger("keras_listen")


@dataclass(frozen=True)
class ClusterJob:
    """Everything that a worker needs to compute chunks of an evaluation.

    Attributes:
        reopen: module and name of a function from the settings to the grid and its manifest; as
            text, because its module imports TensorFlow.
        command: the settings, as JSON.
        identity: what models and stores must be, as JSON, see `identity_of`.
        folder: where relative paths begin.
        plugins: which are wanted.
        conditions: of the process that asks, see `conditions`.
    """

    reopen: str
    command: str
    identity: str
    folder: str
    plugins: PluginSettings
    conditions: Mapping[str, Any] = field(compare=False)


def compute_remote_chunk(
    job: ClusterJob, cell: int, first: int, stop: int
) -> tuple[bytes, dict[str, Any]]:
    """Compute samples `first` up to `stop` of the cell at position `cell`.

    Returns:
        the chunk's file, and the conditions it was computed under.

    Raises:
        ClusterError: the models or stores here are not the evaluation's.
        ListenError: the chunk cannot be computed.
    """
    with _turn, _inside(job.folder):
        _start(job.conditions)
        from threadpoolctl import threadpool_limits

        # Here, because they import TensorFlow, which `_start` sets up.
        from ...experiment.chunks import packed
        from ..grid import GridChunk, compute_grid_chunk

        follow(job.plugins)
        grid = _opened(job)
        # dask starts its workers with one thread for BLAS. The distances to real speech have other
        # last bits then (measured: 64 x 400 features, 1 thread and 2).
        with threadpool_limits(job.conditions["threads of BLAS"], user_api="blas"):
            arrays = compute_grid_chunk(grid, GridChunk(grid.cells[cell], first, stop))
            return packed(arrays), conditions()


def _inside(folder: str) -> contextlib.AbstractContextManager:
    """Work in the folder that relative paths begin in, where this machine has it."""
    if os.path.isdir(folder):
        return contextlib.chdir(folder)
    return contextlib.nullcontext()


def _start(wanted: Mapping[str, Any]) -> None:
    """Start TensorFlow, the first time, as it was started in the process that asks.

    Workers of one machine take as many threads each as a process alone would, though they share its
    cores. With oneDNN, 1 to 4 threads made the same bytes here (priors none, ae and vae, blocks of
    7, 24, 64 and 200, two cores with AVX2); without, every number of threads made others.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ[_ONEDNN] = wanted["oneDNN"]
    start_quietly()
    import tensorflow as tf

    # Here, because it imports Keras, and so TensorFlow.
    from ...models.rewrites import SWITCH

    os.environ[SWITCH] = "1" if wanted["rewrites"] else "0"
    tf.config.threading.set_intra_op_parallelism_threads(wanted["threads of TensorFlow"])


@lru_cache(maxsize=1)
def _opened(job: ClusterJob) -> Grid:
    try:
        with _silenced():
            module, _, name = job.reopen.partition(":")
            reopen = getattr(import_module(module), name)
            grid, manifest = reopen(json.loads(job.command))
        found = identity_of(manifest)
    except ListenError as error:
        raise ClusterError(
            f"the worker at {_address()} cannot open the evaluation: {error} (workers need the "
            "same models, stores and plugins at the same paths)"
        ) from error
    if differing := _differing(json.loads(job.identity), json.loads(json.dumps(found))):
        raise ClusterError(
            f"the worker at {_address()} has other {', '.join(differing)} than this machine; copy "
            "them there, and give --resume"
        )
    return grid


def _address() -> str:
    from distributed import get_worker

    return get_worker().address


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Log nothing while a grid is opened: the process that asks has logged the same."""
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def identity_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a manifest that must be the same on all machines that compute chunks.

    Conditions may differ, and change the last bits; these parts may not.
    """
    parts = ("models", "vocoder", "referees", "components", "words", "spec", "stores")
    return {part: manifest[part] for part in parts}


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Name the parts of two identities that differ, and their entries."""
    named = []
    for part, value in wanted.items():
        other = found[part]
        if value == other:
            continue
        keys = sorted(set(value) | set(other)) if isinstance(value, dict) else []
        entries = [key for key in keys if value.get(key) != other.get(key)]
        named.append(f"{part} ({', '.join(entries)})" if entries else part)
    return named


def conditions() -> dict[str, Any]:
    """Return the hardware, threads and versions on which the last bits of results depend.

    TensorFlow must have been started.
    """
    import tensorflow as tf

    # Here, because it imports Keras, and so TensorFlow.
    from ...models.rewrites import enabled

    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return {
        "processor": _processor(),
        "processor cores": os.cpu_count(),
        "GPU": ", ".join(sorted({about.get("device_name", "unknown") for about in details})),
        "threads of TensorFlow": tensorflow_threads(),
        "threads of BLAS": _blas_threads(),
        "oneDNN": os.environ.get(_ONEDNN, ""),
        "rewrites": enabled(),
    } | versions()


def _processor() -> str:
    from llvmlite import binding

    has = binding.get_host_cpu_features()
    return " ".join([binding.get_host_cpu_name(), *(name for name in _VECTORS if has.get(name))])


def _blas_threads() -> int:
    from threadpoolctl import threadpool_info

    found = [about["num_threads"] for about in threadpool_info() if about["user_api"] == "blas"]
    return max(found, default=1)


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Return a text of the conditions in which a worker differs; "" where there are none."""
    return ", ".join(
        f"{name} {there.get(name) or 'none'} (here {value or 'none'})"
        for name, value in here.items()
        if there.get(name) != value
    )
