"""A shortcut that was planted must be pointed at, and none must be seen where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from planted_cue import Cue, learn, look

TONE = Cue("tone", 0.01, 2600.0)


@pytest.fixture(scope="module")
def tone(real_speech, tmp_path_factory):
    """A store with the tone, and the classifier that learned it."""
    return learn(real_speech, tmp_path_factory.mktemp("tone"), TONE)


@pytest.fixture(scope="module")
def clean(real_speech, tmp_path_factory):
    """The same without any cue."""
    return learn(real_speech, tmp_path_factory.mktemp("clean"), Cue())


def suspicions(results: dict) -> str:
    return " ".join(note for note in results["notes"] if "classifier" in note)


@pytest.mark.slow
def test_a_planted_tone_is_pointed_at(tone, tmp_path):
    results, tickets = look(*tone, "none", tmp_path / "debug")
    assert results["accuracy"]["raw"] < 0.2
    near = [abs(ticket["change"]["peak_hz"] - 2600) < 100 for ticket in tickets]
    assert np.mean(near) > 0.9
    assert results["changes"]["peak_hz"] == pytest.approx(2600, abs=100)
    assert results["changes"]["alarms"] > 0.25 * len(tickets)
    assert "may have learned a shortcut" in suspicions(results)
    assert "are largest near 2569 Hz" in suspicions(results)


@pytest.mark.slow
def test_a_planted_click_is_pointed_at(real_speech, tmp_path):
    """Nothing follows the speech but zeros and, in one of the words, a click at 0.95 s."""
    click = Cue("click", cut=True)
    results, tickets = look(*learn(real_speech, tmp_path, click), "none", tmp_path / "debug")
    assert results["accuracy"]["raw"] < 0.2
    near = [abs(ticket["change"]["peak_time_s"] - 0.955) < 0.05 for ticket in tickets]
    assert np.mean(near) > 0.9
    alarms = [ticket["change"]["alarm"] or "" for ticket in tickets]
    assert np.mean(["as a click would" in alarm for alarm in alarms]) > 0.9
    assert "may have learned a shortcut" in suspicions(results)
    assert "something that always comes then" in suspicions(results)


@pytest.mark.slow
def test_a_prior_that_hides_the_tone_says_so(tone, tmp_path):
    results, _ = look(*tone, "ae", tmp_path / "debug")
    assert results["accuracy"]["reconstruction"] > results["accuracy"]["raw"] + 0.3
    assert "is in what the prior leaves out" in suspicions(results)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["none", "ae"])
def test_nothing_is_suspected_of_the_clean_twin(clean, tmp_path, prior):
    results, tickets = look(*clean, prior, tmp_path / "debug")
    assert len(tickets) == 40
    assert np.mean([ticket["change"]["alarm"] is not None for ticket in tickets]) < 0.1
    assert suspicions(results) == ""
