"""timing.json adds up the seconds of all calls."""

from __future__ import annotations

import json
import time

import pytest

from keras_listen.errors import RunError
from keras_listen.output.files import Clock


def test_a_clock_adds_to_what_earlier_calls_measured(tmp_path):
    (tmp_path / "timing.json").write_text('{"write": 2.0, "draw": 1.5}', encoding="utf-8")
    clock = Clock(tmp_path)
    with clock.timed("write"):
        time.sleep(0.02)
    with clock.timed("page"):
        pass
    kept = json.loads((tmp_path / "timing.json").read_text(encoding="utf-8"))
    assert list(kept) == ["draw", "page", "write"]
    assert kept["draw"] == 1.5
    assert kept["write"] >= 2.02


def test_a_clock_may_write_only_when_asked_and_counts_what_fails(tmp_path):
    clock = Clock(tmp_path, write_each=False)
    with pytest.raises(KeyError), clock.timed("maximize"):
        raise KeyError
    assert clock.seconds["maximize"] > 0
    assert list(tmp_path.iterdir()) == []
    clock.write()
    assert list(json.loads((tmp_path / "timing.json").read_text())) == ["maximize"]


def test_a_damaged_time_is_named(tmp_path):
    (tmp_path / "timing.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"timing\.json is damaged .*; delete it"):
        Clock(tmp_path)
