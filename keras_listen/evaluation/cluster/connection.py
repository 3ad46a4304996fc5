"""Connect to a dask.distributed cluster, or start one on this machine, without its log lines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any

from ...errors import ClusterError

#: Seconds in which a scheduler must answer.
ANSWER = 10
_LOGGERS = ("distributed", "distributed.client", "bokeh", "tornado", "tornado.application")


@contextlib.contextmanager
def silenced_dask() -> Iterator[None]:
    """Keep dask's own log lines from the terminal: we log what matters of them."""
    import distributed  # noqa: F401 its loggers get their handlers when it is imported

    handlers = [h for name in _LOGGERS for h in logging.getLogger(name).handlers]
    asynchronous = logging.getLogger("asyncio")
    with contextlib.ExitStack() as stack:
        for owner in (*handlers, asynchronous):
            owner.addFilter(_nothing)
            stack.callback(owner.removeFilter, _nothing)
        yield


def _nothing(record: logging.LogRecord) -> bool:
    return False


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a scheduler for the block and yield the client.

    Raises:
        ClusterError: no scheduler answers there.
    """
    import distributed

    try:
        # In a thread, as where we are called an event loop may run.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, _greet(address)).result()
        with warnings.catch_warnings():
            # We log differing versions ourselves, see `worker.differences`.
            warnings.simplefilter("ignore")
            client = distributed.Client(address, timeout=ANSWER, set_as_default=False)
    except Exception as error:
        why = f"silence for {ANSWER} s" if isinstance(error, TimeoutError) else one_line(error)
        raise ClusterError(
            f"no dask scheduler answers at {address} ({why}); start one with: dask "
            "scheduler, which says its address, tcp://HOST:PORT"
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=ANSWER)


async def _greet(address: str) -> None:
    """Make sure that a scheduler answers: a client would wait forever for a silent one."""
    import distributed

    arguments = distributed.Security().get_connection_args("client")
    async with asyncio.timeout(ANSWER):
        remote = distributed.rpc(address, timeout=ANSWER, connection_args=arguments)
        async with remote:
            kind = (await remote.identity())["type"]
    if kind != "Scheduler":
        raise ValueError(f"this is the address of a {kind.lower()}")


@contextlib.contextmanager
def local_workers(workers: int) -> Iterator[tuple[str, Callable[[], str]]]:
    """Start a scheduler in this process, and workers beside it, for the block.

    Workers are started by the command `dask worker`, in a session of their own: Ctrl-C does not
    reach them, a script needs no `if __name__ == "__main__"`, and their output goes to a file.

    Yields:
        the scheduler's address, and a function that returns why all workers ended, "" while they
        run.
    """
    import dask
    import distributed

    with (
        TemporaryDirectory(prefix="keras-listen-", ignore_cleanup_errors=True) as scratch,
        dask.config.set({"temporary-directory": scratch}),
        distributed.LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        open(Path(scratch) / "workers.log", "wb") as lines,
    ):
        command = [sys.executable, "-P", "-m", "dask", "worker", cluster.scheduler_address]
        command += ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0"]
        command += ["--no-dashboard", "--local-directory", scratch]
        nowhere = {"stdin": subprocess.DEVNULL, "stdout": lines, "stderr": lines}
        process = subprocess.Popen(command, **nowhere, start_new_session=True)
        try:
            yield cluster.scheduler_address, partial(_why_ended, process, Path(lines.name))
        finally:
            # Asked to end, workers would finish their chunks first. They watch this process, their
            # parent, and leave with it.
            process.kill()
            process.wait()


def _why_ended(process: subprocess.Popen, lines: Path) -> str:
    if process.poll() is None:
        return ""
    said = lines.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(said) if line.strip()), "they said nothing")
    return f"the local workers ended with status {process.returncode}: {last.strip()}"


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, or its kind where it has none."""
    return shorten(str(error), 300, placeholder=" …") or type(error).__name__
