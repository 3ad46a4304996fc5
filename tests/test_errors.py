"""The command that installs an extra, from wherever the package was installed."""

from __future__ import annotations

import json
from importlib import metadata
from types import SimpleNamespace

import pytest

from keras_listen import errors

URL = "https://example.org/keras-listen"


@pytest.mark.parametrize(
    ("about", "checkout", "command"),
    [
        (None, False, "pip install 'keras-listen[study]'"),
        (None, True, "pip install '.[study]' in the project's folder"),
        (
            {"url": "file:///src/keras-listen", "dir_info": {}},
            False,
            "pip install '.[study]' in the project's folder",
        ),
        (
            {"url": "file:///src/keras-listen", "dir_info": {"editable": True}},
            True,
            "pip install -e '.[study]' in the project's folder",
        ),
        (
            {"url": "file:///tmp/keras_listen-1-py3-none-any.whl", "archive_info": {}},
            False,
            "pip install 'keras-listen[study] @ file:///tmp/keras_listen-1-py3-none-any.whl'",
        ),
        (
            {"url": URL, "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            False,
            f"pip install 'keras-listen[study] @ git+{URL}@abc'",
        ),
    ],
)
def test_an_extra_is_installed_from_where_the_package_is_from(
    monkeypatch, tmp_path, about, checkout, command
):
    text = None if about is None else json.dumps(about)
    found = SimpleNamespace(read_text=lambda name: text if name == "direct_url.json" else None)
    built = SimpleNamespace(read_text=lambda name: None)  # a checkout's .egg-info
    monkeypatch.setattr(metadata, "distributions", lambda name: iter([built, found]))
    (tmp_path / "keras_listen").mkdir()
    if checkout:
        (tmp_path / "setup.cfg").write_text("[metadata]\nname = keras-listen\n")
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "keras_listen" / "errors.py"))
    assert errors.install_command("study") == command


def test_a_package_that_is_not_installed_is_of_an_index_or_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "distributions", lambda name: iter([]))
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "keras_listen" / "errors.py"))
    assert errors.install_command("tfio") == "pip install 'keras-listen[tfio]'"
