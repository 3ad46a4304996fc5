"""Evaluations with plugins on a cluster: workers load the plugins that the caller uses."""

from __future__ import annotations

import pytest
from local_cluster import chunks, local_cluster

from keras_listen import configure_plugins, evaluate
from keras_listen.errors import ClusterError, PluginError
from keras_listen.plugins import default_registry
from keras_listen.plugins.discovery import PluginSettings

PLUGIN = '''
from keras_listen import hookimpl
from keras_listen.priors import Identity


def halved(bundle, *, raises: bool = False):
    """Half of everything."""
    prior = Identity(bundle.spec)

    def decode(z):
        if raises:
            raise KeyError("gone")
        return SCALE * z

    prior.decode = decode
    return prior


@hookimpl
def register_priors(register):
    register("halved", halved)
'''
SMALL = {"samples": 3, "steps": 2, "block_size": 2}


@pytest.fixture
def folder(tmp_path):
    """A folder of one plugin; what this process wants is undone at the end."""
    before = PluginSettings.from_environment()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "half.py").write_text(PLUGIN.replace("SCALE", "0.5"))
    yield tmp_path / "plugins"
    before.to_environment()
    default_registry.cache_clear()


def test_workers_load_the_plugins_of_an_evaluation(folder, bundle, tmp_path):
    with local_cluster(1) as cluster:
        # The worker was started before anybody knew of the folder.
        configure_plugins(folders=[folder])
        given = {"bundle": bundle, **SMALL}
        alone = evaluate(["halved"], **given, out=tmp_path / "alone").root
        scheduler = cluster.scheduler_address
        there = evaluate(["halved"], **given, out=tmp_path / "there", scheduler=scheduler).root
        assert chunks(there) == chunks(alone)
        assert len(chunks(alone)) == 2

        options = {"options": ["prior.halved.raises=yes"], "scheduler": scheduler}
        with pytest.raises(PluginError) as caught:
            evaluate(["halved"], **given, **options, out=tmp_path / "raises")
        assert str(caught.value).startswith(
            "prior halved of half local: decode failed: KeyError: 'gone' ("
        )

        # The same worker leaves it out again where an evaluation does not want it.
        other = tmp_path / "other"
        other.mkdir()
        text = PLUGIN.replace("SCALE", "0.25").replace('"halved"', '"quarter"')
        (other / "quarter.py").write_text(text)
        configure_plugins(folders=[other])
        evaluate(["quarter"], **given, out=tmp_path / "quarter", scheduler=scheduler)


def test_a_worker_without_the_plugin_says_so(folder, bundle, tmp_path):
    configure_plugins(folders=[folder])
    default_registry()
    with local_cluster(1) as cluster:
        (folder / "half.py").rename(tmp_path / "elsewhere.py")
        with pytest.raises(
            ClusterError, match=r"cannot open the evaluation: no prior is called 'halved'"
        ):
            evaluate(
                ["halved"],
                bundle=bundle,
                **SMALL,
                out=tmp_path / "out",
                scheduler=cluster.scheduler_address,
            )
