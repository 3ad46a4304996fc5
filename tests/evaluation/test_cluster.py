"""Evaluations on a real cluster: the bytes they have without one, whatever happens on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import distributed
import psutil
import pytest
from helpers import SMALL, assert_one_line, digests, watched
from local_cluster import chunks, local_cluster
from threadpoolctl import threadpool_limits

from keras_listen import evaluate
from keras_listen.errors import ClusterError, ParameterError, install_command
from keras_listen.evaluation import cluster as clusters
from keras_listen.evaluation.api import reopen
from keras_listen.evaluation.cluster import connection, worker

LOST = "a worker was lost; its chunks are computed again"


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as started:
        yield started


@pytest.fixture(scope="module")
def alone(bundle, tmp_path_factory) -> Path:
    """An evaluation that was neither disturbed nor given to a cluster."""
    out = tmp_path_factory.mktemp("alone") / "out"
    return evaluate(["ae", "none"], bundle=bundle, **SMALL, out=out).root


@pytest.fixture(scope="module")
def opened(alone):
    """Its grid and its manifest."""
    manifest = json.loads((alone / "manifest.json").read_text(encoding="utf-8"))
    return reopen(manifest["command"])


@pytest.fixture
def evaluation(bundle, tmp_path):
    """A function that carries out the same evaluation and returns its folder."""

    def evaluation(**settings) -> Path:
        given = {"bundle": bundle, **SMALL, "out": tmp_path / "out", **settings}
        return evaluate(["ae", "none"], **given).root

    return evaluation


def computed(opened, cluster) -> dict[str, bytes]:
    """Compute the chunks on a cluster and return their files by path."""
    grid, manifest = opened
    where = {"scheduler": cluster.scheduler_address}
    with clusters.computing(grid, manifest, reopen, **where) as compute:
        return {chunk.path: contents for chunk, contents in compute(list(grid.chunks()))}


@pytest.fixture
def said(caplog):
    """What the package logged, as a function."""
    return lambda: [r.getMessage() for r in caplog.records if r.name == "keras_listen"]


def once_begun(act):
    """Return a `track` that does something when the first chunk has come back."""

    begun = []

    def act_once(done, **about):
        if not begun:
            begun.append(done)
            act()

    return watched(act_once)


def interrupt() -> None:
    raise KeyboardInterrupt


def busy_worker(cluster) -> str:
    """Return the address of a worker that has chunks to compute, or to hand over."""
    with distributed.Client(cluster, set_as_default=False) as client:
        while True:
            for has in (client.processing(), client.has_what()):
                if busy := [address for address, keys in has.items() if keys]:
                    return busy[0]


def kill(cluster, address: str) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        (pid,) = client.run(os.getpid, workers=[address]).values()
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def at_first(monkeypatch):
    """A function that arranges for something to be done when the first chunk was given out."""
    submit = clusters._Cluster.submit

    def at_first(act) -> None:
        def submit_and_act(self, grid, chunk) -> None:
            submit(self, grid, chunk)
            if len(self.flying) == 1:
                act()

        monkeypatch.setattr(clusters._Cluster, "submit", submit_and_act)

    return at_first


def test_local_workers_write_the_same_bytes_and_say_nothing(evaluation, alone, said, capfd):
    assert digests(evaluation(workers=1)) == digests(alone)
    assert said() == []
    assert capfd.readouterr().err == ""


def test_a_killed_worker_costs_a_line_and_no_byte(evaluation, alone, cluster, said):
    def kill_one() -> None:
        kill(cluster, busy_worker(cluster))

    root = evaluation(scheduler=cluster.scheduler_address, track=once_begun(kill_one))
    assert digests(root) == digests(alone)
    assert said() == [LOST]


@pytest.mark.parametrize("first", ["alone", "cluster"])
def test_an_evaluation_is_begun_in_one_place_and_finished_in_the_other(
    evaluation, alone, cluster, first
):
    there = {"scheduler": cluster.scheduler_address}
    one, other = ({}, there) if first == "alone" else (there, {})
    with pytest.raises(KeyboardInterrupt):
        evaluation(**one, track=once_begun(interrupt))
    assert digests(evaluation(**other, resume=True)) == digests(alone)


@pytest.mark.slow
def test_an_interrupted_evaluation_leaves_no_worker_behind(
    evaluation, alone, monkeypatch, tmp_path, request
):
    # In the background of a shell Python starts with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    others, processes = set(psutil.Process().children(recursive=True)), []

    def interrupt_with_workers() -> None:
        processes.extend(set(psutil.Process().children(recursive=True)) - others)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        evaluation(workers=1, track=once_begun(interrupt_with_workers))
    assert len(processes) >= 2, "there were a worker and its nanny"
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == []
    assert list(scratch.iterdir()) == []
    assert digests(evaluation(resume=True)) == digests(alone)


def test_chunks_given_out_are_few(opened, alone, cluster, monkeypatch):
    """Two for each thread, so that neither they nor their results pile up."""
    flying = []
    submit = clusters._Cluster.submit

    def counted(self, grid, chunk):
        submit(self, grid, chunk)
        flying.append(len(self.flying))

    monkeypatch.setattr(clusters._Cluster, "submit", counted)
    assert computed(opened, cluster) == chunks(alone)
    assert len(flying) == 6
    assert max(flying) == 4


def test_what_workers_differ_in_is_said_once(opened, alone, cluster, said, monkeypatch):
    def conditions() -> dict:
        return worker.conditions() | {"numpy": "1.0", "processor": "z80"}

    monkeypatch.setattr(clusters, "conditions", conditions)
    assert computed(opened, cluster) == chunks(alone)
    here = worker.conditions()
    assert said() == [
        f"a worker has processor {here['processor']} (here z80), numpy {here['numpy']} (here 1.0); "
        "results may differ in their last bits from those of this machine"
    ]


def test_workers_take_the_threads_of_the_evaluation(opened, cluster, said):
    """A worker starts with one thread for products of matrices; it must get as many as we have."""
    with threadpool_limits(3, user_api="blas"):
        assert worker.conditions()["threads of BLAS"] == 3
        computed(opened, cluster)
    assert said() == []


def test_conditions_that_differ_are_named():
    here = {"numpy": "2.0", "GPU": "", "keras": "3"}
    assert worker.differences(here, here) == ""
    there = {"numpy": "1.0", "GPU": "H100", "keras": "3"}
    assert worker.differences(here, there) == "numpy 1.0 (here 2.0), GPU H100 (here none)"


def test_workers_with_other_models_are_refused(opened, cluster, monkeypatch):
    def other(manifest) -> dict:
        found = worker.identity_of(manifest)
        return found | {"models": found["models"] | {"ae": {}}, "spec": {}}

    monkeypatch.setattr(clusters, "identity_of", other)
    message = r"^the worker at tcp://\S+ has other models \(ae\), spec \(.*copy them there"
    with pytest.raises(ClusterError, match=message):
        computed(opened, cluster)


def test_workers_without_the_models_are_refused(opened, cluster, tmp_path):
    grid, manifest = opened
    gone = manifest | {"command": manifest["command"] | {"bundle": str(tmp_path)}}
    message = r"^the worker at tcp://\S+ cannot open the evaluation: .*it has no bundle\.json"
    with pytest.raises(ClusterError, match=message):
        computed((grid, gone), cluster)


def test_a_chunk_that_kills_its_worker_ends_the_evaluation(evaluation, alone, at_first):
    with local_cluster(1, **{"distributed.scheduler.allowed-failures": 0}) as fragile:
        at_first(lambda: kill(fragile, busy_worker(fragile)))
        with pytest.raises(ClusterError, match=r"^every worker that took one of the chunks died"):
            evaluation(scheduler=fragile.scheduler_address)
    assert digests(evaluation(resume=True)) == digests(alone)


def test_a_scheduler_without_workers_is_given_up(opened, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 0)
    message = "has had no worker for 0 s; start some, .* with: dask worker tcp://"
    with local_cluster(0) as empty, pytest.raises(ClusterError, match=message):
        computed(opened, empty)


def test_a_scheduler_that_goes_away_ends_the_evaluation(opened, at_first):
    with local_cluster(0) as leaving:
        at_first(leaving.close)
        with pytest.raises(
            ClusterError, match=r"^the scheduler at tcp\S+ is gone; .*--resume goes on$"
        ):
            computed(opened, leaving)


@pytest.mark.parametrize("kind", ["closed", "silent", "malformed", "nonsense"])
def test_a_scheduler_that_does_not_answer_is_named(call, bundle, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(connection, "ANSWER", 1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if kind == "silent":
            listener.listen()
        there = {"malformed": "tcp://127.0.0.1:port", "nonsense": "gopher://x:1"}
        address = there.get(kind, f"tcp://127.0.0.1:{port}")
        done = call("evaluate", "--bundle", bundle, "--scheduler", address, "--samples", 2)
    assert_one_line(done, f"no dask scheduler answers at {address} .*dask scheduler")
    assert list(tmp_path.iterdir()) == []


def test_without_dask_a_cluster_says_how_to_get_it(evaluation, monkeypatch, tmp_path):
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=re.escape(install_command("dask"))):
        evaluation(workers=2)
    assert list(tmp_path.iterdir()) == []


def test_one_cluster_is_chosen_and_has_workers(call, evaluation, tmp_path):
    done = call("evaluate", "--scheduler", "tcp://127.0.0.1:8786", "--workers", 2)
    assert_one_line(done, "both a scheduler and a number of workers were given")
    with pytest.raises(ParameterError, match="the number of workers is 0; expected at least 1"):
        evaluation(workers=0)
    assert list(tmp_path.iterdir()) == []


def test_local_workers_that_do_not_start_are_heard(evaluation, monkeypatch, tmp_path):
    monkeypatch.setattr(connection.sys, "executable", "/bin/false")
    with pytest.raises(ClusterError, match="the local workers ended with status 1: they said noth"):
        evaluation(workers=1)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert "workers" not in manifest["command"]


UNPICKLED = """
import os, sys
from keras_listen.evaluation.cluster import worker
assert "tensorflow" not in sys.modules, "a worker starts TensorFlow as the command did"
worker._start({"oneDNN": "0", "rewrites": False, "threads of TensorFlow": 3})
import tensorflow as tf
print(tf.config.threading.get_intra_op_parallelism_threads(), os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""


def test_a_worker_starts_tensorflow_as_the_command_did():
    done = subprocess.run(
        [sys.executable, "-c", UNPICKLED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "0"]
