"""A dask cluster on this machine, for tests."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path

import distributed


@contextmanager
def local_cluster(workers: int, **config):
    """Run a scheduler and workers, none of which says anything."""
    import dask

    with (
        dask.config.set(config),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


def chunks(root: Path) -> dict[str, bytes]:
    """Return the chunks in the folder of an evaluation by path."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.npz")}
