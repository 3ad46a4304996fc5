"""Compute chunks of an evaluation on a dask.distributed cluster, to the same bytes as without one.

Workers compute, the process that asked writes: outputs need no shared file system, but the models
and stores must be at the same paths everywhere. The worker's side is in `worker`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...errors import ClusterError, ListenError, ParameterError, install_command
from ...experiment.chunks import Computing
from ...plugins import PluginSettings
from .connection import connected, local_workers, one_line, silenced_dask
from .worker import ClusterJob, compute_remote_chunk, conditions, differences, identity_of

if TYPE_CHECKING:
    import distributed

    # A worker imports this module before it starts TensorFlow as the command did.
    from ..grid import Grid, GridChunk

#: Seconds without any worker after which an evaluation is given up.
PATIENCE = 60
#: Chunks given out for each thread of the cluster: one is computed, one is at hand. So memory stays
#: flat, and an interruption loses little.
_AHEAD = 2
#: Seconds between two checks that there are workers, while no result arrives.
_LOOK = 1.0

_KEPT = "what is done is kept, --resume goes on"

log = logging.getLogger("keras_listen")


def require_usable(scheduler: str | None, workers: int | None) -> None:
    """Refuse a choice of cluster that cannot be used, before anything else is done.

    Raises:
        ParameterError: two clusters were chosen, or one without workers.
        ClusterError: dask.distributed is not installed.
    """
    if scheduler is None and workers is None:
        return
    if scheduler is not None and workers is not None:
        raise ParameterError(
            "both a scheduler and a number of workers were given; --scheduler uses a cluster that "
            "is there, --workers starts one on this machine: leave one of them out"
        )
    if workers is not None and workers < 1:
        raise ParameterError(f"the number of workers is {workers}; expected at least 1")
    if find_spec("distributed") is None:
        raise ClusterError(
            f"a cluster needs dask.distributed; install it with: {install_command('dask')}"
        )


@contextlib.contextmanager
def computing(
    grid: Grid,
    manifest: Mapping[str, Any],
    reopen: Callable[[dict[str, Any]], tuple[Grid, dict[str, Any]]],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
) -> Iterator[Computing | None]:
    """Connect to a cluster for the block and yield the function that computes chunks there.

    Args:
        grid, manifest: of the evaluation.
        reopen: makes both again from the manifest's settings, in another process.
        scheduler: address of a running cluster.
        workers: start so many on this machine instead.

    Yields:
        `computing` of `evaluation.grid.run_grid`; None where neither was given.

    Raises:
        ClusterError: no scheduler answers, or the local workers do not start.
    """
    if scheduler is None and workers is None:
        yield None
        return
    job = ClusterJob(
        f"{reopen.__module__}:{reopen.__qualname__}",
        json.dumps(manifest["command"]),
        json.dumps(identity_of(manifest)),
        os.getcwd(),
        PluginSettings.from_environment(),
        conditions(),
    )
    with silenced_dask(), contextlib.ExitStack() as stack:
        ended: Callable[[], str] = str
        if scheduler is None:
            scheduler, ended = stack.enter_context(local_workers(workers))
        client = stack.enter_context(connected(scheduler))
        yield partial(_Cluster(client, job, ended).compute, grid)


class _Cluster:
    """A connection to workers, and the chunks that they compute.

    Attributes:
        flying: futures and chunks that were submitted and not yet fetched, by the future's key.
        done: futures whose chunks are computed, as they come.
        seen: time at which there was a worker last.
        warned: differences between workers and this process that were logged.
    """

    def __init__(self, client: distributed.Client, job: ClusterJob, ended: Callable[[], str]):
        self.client, self.job, self.ended = client, job, ended
        self.address: str = client.scheduler.address
        self.flying: dict[str, tuple[Any, GridChunk]] = {}
        self.done: queue.SimpleQueue = queue.SimpleQueue()
        self.seen = time.monotonic()
        self.warned: set[str] = set()

    def watch(self, event: tuple[float, dict[str, Any]]) -> None:
        """Log that a worker with chunks of ours was lost; called by dask, in its thread."""
        _, about = event
        if about.get("action") == "remove-worker" and not about.get("expected"):
            lost = {*about.get("processing-tasks", ()), *about.get("lost-computed-tasks", ())}
            if not lost.isdisjoint(self.flying):
                log.warning("a worker was lost; its chunks are computed again")

    def compute(self, grid: Grid, chunks: Sequence[GridChunk]) -> Iterator[tuple[GridChunk, bytes]]:
        """Yield chunks with the contents of their files, as they come."""
        waiting = iter(chunks)
        self.client.subscribe_topic("all", self.watch)
        try:
            while True:
                room = _AHEAD * max(1, self.threads()) - len(self.flying)
                for chunk in islice(waiting, max(0, room)):
                    self.submit(grid, chunk)
                if not self.flying:
                    return
                try:
                    future = self.done.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                contents = self.contents(future)
                _, chunk = self.flying.pop(future.key)
                yield chunk, contents
        finally:
            with contextlib.suppress(Exception):
                self.client.unsubscribe_topic("all")
                self.client.cancel([future for future, _ in self.flying.values()])

    def submit(self, grid: Grid, chunk: GridChunk) -> None:
        """Submit a chunk to the workers."""
        place = grid.cells.index(chunk.cell), chunk.first, chunk.stop
        key = f"keras-listen-{uuid.uuid4().hex}"
        future = self.client.submit(compute_remote_chunk, self.job, *place, key=key, pure=False)
        self.flying[key] = future, chunk
        future.add_done_callback(self.done.put)

    def threads(self) -> int:
        """Return the number of the workers' threads; give up if there were none for long.

        Raises:
            ClusterError: there were none for long, or the scheduler is gone.
        """
        try:
            count = sum(self.client.nthreads().values())
        except Exception as error:
            raise self.gone() from error
        now = time.monotonic()
        if count:
            self.seen = now
        elif why := self.ended():
            raise ClusterError(f"{why}; {_KEPT}")
        elif now - self.seen > PATIENCE:
            raise ClusterError(
                f"the scheduler at {self.address} has had no worker for {PATIENCE} s; start some, "
                f"where keras-listen is installed, with: dask worker {self.address} --nthreads 1, "
                "and give --resume"
            )
        return count

    def contents(self, future: distributed.Future) -> bytes:
        """Return the file of a chunk, and warn of a worker whose bits may differ from ours.

        Raises:
            ListenError: it could not be computed.
        """
        import distributed

        try:
            contents, there = self.result(future)
        except ListenError:
            raise
        except distributed.CancelledError as error:
            raise self.gone() from error
        except distributed.KilledWorker as error:
            raise ClusterError(
                f"every worker that took one of the chunks died, the last at "
                f"{error.last_worker.address}; are they out of memory? {_KEPT}"
            ) from error
        except Exception as error:
            what = f"{type(error).__name__}: {one_line(error)}"
            raise ClusterError(f"the cluster failed ({what}); {_KEPT}") from error
        self.compare(there)
        return contents

    def result(self, future: distributed.Future) -> Any:
        """Fetch a result; if it was lost with its worker, wait until it is computed again."""
        while True:
            try:
                return future.result(timeout=PATIENCE)
            except TimeoutError:
                if future.status == "error":
                    raise
                self.threads()

    def gone(self) -> ClusterError:
        """Return the error for a scheduler that no longer answers."""
        return ClusterError(f"the scheduler at {self.address} is gone; {_KEPT}")

    def compare(self, there: Mapping[str, Any]) -> None:
        """Log, once, in which conditions workers differ from this process."""
        differing = differences(self.job.conditions, there)
        if differing and differing not in self.warned:
            self.warned.add(differing)
            log.warning(
                "a worker has %s; results may differ in their last bits from those of this machine",
                differing,
            )
