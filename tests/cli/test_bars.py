"""Progress: bars in a terminal, lines in a log file, and a time left once it means something."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from keras_listen.cli import bars
from keras_listen.cli.bars import TimeLeft, bar
from keras_listen.cli.train import Announcer


class Clock:
    """Stands for the time that passes."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bars.time, "monotonic", clock.monotonic)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def stage(clock: Clock, total: int | None, every: float, count: int = 1, **about) -> None:
    """Go through a stage whose items take `every` seconds."""
    with bar(total=total, **({"label": "maximize", "unit": "sample"} | about)) as advance:
        for _ in range((total or 5) // count):
            clock.now += every
            advance(count)


def test_without_a_terminal_there_are_plain_lines(clock, capsys):
    stage(clock, 4, 60.0)
    lines = capsys.readouterr().err
    assert lines.splitlines() == [
        "maximize: 1 of 4 samples (25 %)",
        "maximize: 2 of 4 samples (50 %), 2 min 0 s left",
        "maximize: 3 of 4 samples (75 %), 1 min 0 s left",
        "maximize: 4 samples in 4 min 0 s",
    ]
    assert "\r" not in lines
    assert "\x1b" not in lines


def test_a_line_is_written_every_ten_seconds_and_percent_at_most(clock, capsys):
    stage(clock, 1000, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 100
    assert lines[0] == "maximize: 10 of 1000 samples (1 %)"
    assert lines[1] == "maximize: 20 of 1000 samples (2 %)"
    assert lines[2] == "maximize: 30 of 1000 samples (3 %), 16 min 10 s left"


def test_a_stage_inside_another_one_speaks_only_where_it_takes_long(clock, capsys):
    with bar(total=2, label="maximize", unit="sample") as advance:
        stage(clock, 3, 1.0, label="steps", unit="step")
        stage(clock, 3, 11.0, label="steps", unit="step")
        advance(2)
    assert capsys.readouterr().err.splitlines() == [
        "steps: 1 of 3 steps (33 %)",
        "steps: 2 of 3 steps (67 %), 11 s left",
        "maximize: 2 samples in 36 s",
    ]


def test_one_item_and_an_unknown_number_of_items_are_said_rightly(clock, capsys):
    stage(clock, 1, 3.0)
    stage(clock, None, 20.0, label="download", unit="MiB")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "maximize: 1 sample in 3 s"
    assert lines[1] == "download: 1 MiB"
    assert lines[-1] == "download: 5 MiB in 1 min 40 s"


def test_a_stage_that_is_interrupted_has_no_last_line(clock, capsys):
    def work() -> None:
        with bar(total=4, label="work", unit="item") as advance:
            advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err == ""


def test_in_a_terminal_there_is_a_bar_and_no_time_left_at_first(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    stage(clock, 4, 60.0)
    text = terminal.getvalue()
    assert "\r" in text
    assert "maximize" in text
    assert "4/4" in text
    first, *_ = text.split("1/4")
    assert "left" not in first
    assert "?" not in text


def test_the_time_left_leaves_out_the_first_items_which_wait_for_what_is_compiled(clock):
    left = TimeLeft(4)
    clock.now = 600.0
    assert left.text == ""
    left.count(1)
    assert left.text == ""
    clock.now += 10.0
    assert left.text == ""
    left.count(1)
    assert left.text == "20 s left"
    clock.now += 10.0
    left.count(1)
    assert left.text == "10 s left"
    left.count(1)
    assert left.text == ""


def test_training_says_the_time_for_all_components(clock, monkeypatch, capsys):
    monkeypatch.setattr("keras_listen.cli.train.time.monotonic", clock.monotonic)
    announce = Announcer("epoch", {"classifier": 3, "ae": 10, "vae": 5})
    for epoch in (1, 2):
        clock.now += 60.0
        announce("classifier", {"epoch": epoch, "epochs": 3, "loss": 0.5})
    clock.now += 60.0
    announce("classifier", {"epoch": 3, "epochs": 3, "loss": 0.5})
    clock.now += 120.0
    announce("ae", {"epoch": 1, "epochs": 10, "loss": 0.5})
    clock.now += 60.0
    announce("vae", {"epoch": 5, "epochs": 5, "loss": 0.5})
    ends = [line.partition("loss 0.5000  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert ends == [
        "2 min 0 s left, about 17 min 0 s for all 3 components",
        "1 min 0 s left, about 16 min 0 s for all 3 components",
        "0 s left, about 15 min 0 s for all 3 components",
        "18 min 0 s left, about 24 min 15 s for all 3 components",
        "0 s left",
    ]


def test_it_is_said_once_that_loops_are_compiled_and_only_where_they_are(tmp_path):
    (tmp_path / "loops.py").write_text(
        "import logging, sys\n"
        "import numba\n"
        "from keras_listen.models.compiling import tell_compiling\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "tell_compiling()\n"
        "tell_compiling()\n"
        "one = numba.njit(cache=True)(lambda x: x + 1)\n"
        "two = numba.njit(cache=True)(lambda x: x + 2)\n"
        "print(one(1), two(1))\n"
    )
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "loops.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        )
        assert done.stdout == "2 3\n"
        said.append(done.stderr)
    assert said[0].splitlines() == [
        "compiling fast loops, once on this machine; this takes up to a minute"
    ]
    assert said[1] == ""
