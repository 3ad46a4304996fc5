"""Where a change lies: changes that are put somewhere must be found there."""

from __future__ import annotations

import numpy as np
import pytest

from keras_listen.debugging.alarms import band_centres, list_suspicions, locate_change, padding_mask
from keras_listen.debugging.tickets import summarize_tickets
from keras_listen.features import FeatureSpec, extract_fitted
from keras_listen.output.files import write_json

SPEC = FeatureSpec()
HERTZ = band_centres(SPEC)


def versions(change: np.ndarray, frames: int = 90) -> dict[str, np.ndarray]:
    """Return versions of a recording of `frames` frames, with a change from one to another."""
    original = np.zeros((90, 80), np.float32)
    original[:frames] = 0.5
    return {"original": original, "reconstruction": original, "maximized": original + change}


def changed(frames: slice, bands: slice, by: float = 0.2) -> np.ndarray:
    change = np.zeros((90, 80), np.float32)
    change[frames, bands] = by
    return change


def test_bands_are_where_a_tone_of_their_frequency_is_loudest():
    time = np.arange(22050) / 22050
    for hertz in (300, 1000, 3000, 6500):
        loudest = extract_fitted(np.sin(2 * np.pi * hertz * time), SPEC)[20:60].mean(axis=0)
        assert abs(HERTZ - hertz).argmin() == pytest.approx(loudest.argmax(), abs=1)


def test_padding_is_the_zeros_at_the_ends_and_no_pause():
    original = np.zeros((8, 4))
    original[2] = original[5, 1] = 0.3
    assert padding_mask(original).tolist() == [True, True, False, False, False, False, True, True]
    assert padding_mask(np.zeros((3, 4))).all()


def test_a_change_of_speech_alarms_nobody():
    generator = np.random.default_rng(0)
    change = np.zeros((90, 80))
    change[20:60, 10:50] = generator.normal(0, 0.2, (40, 40))
    found = locate_change(versions(change), SPEC)
    assert found["share_speech"] == pytest.approx(1)
    assert found["alarm"] is None


def test_a_change_in_padding_alarms():
    change = changed(slice(70, 90), slice(10, 50)) + changed(slice(0, 5), slice(10, 50), 0.1)
    found = locate_change(versions(change, frames=60), SPEC)
    # 20 frames of 0.04 against 5 of 0.01.
    assert found["share_padding"] == pytest.approx(0.8 / 0.85, abs=1e-6)
    assert "94% of the change lies where no speech is: 94% in padding" in found["alarm"]


def test_a_change_above_and_below_speech_alarms():
    high = locate_change(versions(changed(slice(30, 40), slice(76, 80))), SPEC)
    assert high["share_high"] == 1
    assert "100% above 6000 Hz" in high["alarm"]
    low = locate_change(versions(changed(slice(30, 40), slice(0, 2))), SPEC)
    assert low["share_low"] == 1
    assert "100% below 200 Hz" in low["alarm"]


def test_a_steady_tone_alarms_within_speech_too_and_a_short_one_does_not():
    band = 40
    steady = changed(slice(0, 90), slice(band, band + 2))
    found = locate_change(versions(steady), SPEC)
    assert found["share_speech"] == 1
    assert found["peak_hz"] == pytest.approx(HERTZ[band], abs=60)
    assert "narrow steady band near" in found["alarm"]
    short = locate_change(versions(changed(slice(40, 48), slice(band, band + 2))), SPEC)
    assert short["alarm"] is None


def test_a_tone_need_be_neither_most_of_the_change_nor_in_all_frames():
    """A third of the change, in half of the frames, warns; the rest is anywhere."""
    generator = np.random.default_rng(1)
    anywhere = generator.normal(0, 1, (90, 80))
    tone = changed(slice(20, 65), slice(30, 33), 1.0)
    mixed = np.sqrt(0.7) * anywhere / np.linalg.norm(anywhere)
    found = locate_change(versions(mixed + np.sqrt(0.3) * tone / np.linalg.norm(tone)), SPEC)
    assert 0.3 < found["share_peak"] < 0.45
    assert f"in a narrow steady band near {found['peak_hz']:.0f} Hz" in found["alarm"]
    assert locate_change(versions(anywhere), SPEC)["alarm"] is None
    # All of the change in a tenth of the frames is as much as a third in a third of them.
    for frames, warns in ((8, False), (10, True)):
        alarm = locate_change(versions(changed(slice(40, 40 + frames), slice(30, 33))), SPEC)[
            "alarm"
        ]
        assert (alarm is not None) is warns


def test_a_click_alarms_and_a_vowel_does_not():
    """Most bands in two frames are a click; some bands are speech, and so are many frames."""
    click = locate_change(versions(changed(slice(40, 42), slice(0, 76))), SPEC)
    assert click["share_moment"] == 1
    assert click["alarm"] == (
        "100% of the change lies in a moment near 0.46 s, in most bands, as a click would"
    )
    # A narrow change at another time is larger, but no click.
    both = locate_change(
        versions(changed(slice(20, 25), slice(0, 76)) + changed(slice(70, 71), slice(30, 36), 0.8)),
        SPEC,
    )
    assert "in a moment near 0.23 s, in most bands" in both["alarm"]
    narrow = locate_change(versions(changed(slice(40, 42), slice(20, 50))), SPEC)
    assert (narrow["share_moment"], narrow["alarm"]) == (1, None)
    long = locate_change(versions(changed(slice(30, 60), slice(0, 76))), SPEC)
    assert long["share_moment"] == pytest.approx(5 / 30, abs=1e-5)
    assert long["alarm"] is None


def summarized(root, changes: list[dict]) -> dict:
    for i, change in enumerate(changes):
        (root / "tickets" / str(i)).mkdir(parents=True)
        write_json(root / "tickets" / str(i) / "ticket.json", {"change": change})
    return summarize_tickets(root, [str(i) for i in range(len(changes))])


def test_changes_at_one_moment_are_noticed(tmp_path):
    """Three of four that changed are at one moment, no two at one frequency."""
    frames, bands = (68, 70, 72, 10), (10, 30, 50, 70)
    changes = [
        locate_change(versions(changed(slice(f, f + 1), slice(b, b + 1))), SPEC)
        for f, b in zip(frames, bands, strict=True)
    ]
    still = locate_change(versions(np.zeros((90, 80))), SPEC)
    found = summarized(tmp_path, [*changes, still, still])
    assert (found["tickets"], found["alarms"]) == (6, 0)
    assert found["peak_time_s"] == pytest.approx(70 * 256 / 22050, abs=1e-3)
    assert (found["same_moment"], found["same_band"]) == (0.75, 0.25)
    assert found["moved"] == 4


@pytest.mark.parametrize(("name", "said"), [
    ("same_band", "70% of the changes are largest near 1000 Hz"),
    ("same_moment", "70% of the changes are largest near 0.96 s"),
])  # fmt: skip
def test_what_most_changes_have_in_common_is_said(name, said):
    changes = {"tickets": 10, "moved": 5, "alarms": 0, "peak_hz": 1000.0, "peak_time_s": 0.96}
    changes |= {"same_band": 0.5, "same_moment": None}
    results = {"judged": "raw", "misclassified": 10, "mended": 0, "changes": changes}
    assert list_suspicions(results) == []
    (note,) = list_suspicions(results | {"changes": changes | {name: 0.7}})
    assert note.startswith(said)
    few = changes | {name: 1.0, "moved": 4}
    assert list_suspicions(results | {"changes": few}) == []


def test_what_is_mended_is_said_where_it_was_a_mistake():
    changes = {"tickets": 0, "moved": 0, "alarms": 0, "same_band": None, "same_moment": None}
    results = {"judged": "raw", "misclassified": 5, "mended": 2, "changes": changes}
    (note,) = list_suspicions(results)
    assert note.startswith("2 mistakes are mended by encoding and decoding alone")
    assert list_suspicions(results | {"judged": "reconstruction"}) == []


def test_tickets_without_a_change_have_no_place_in_common(tmp_path):
    found = summarized(tmp_path, [locate_change(versions(np.zeros((90, 80))), SPEC)] * 3)
    assert (found["tickets"], found["peak_hz"], found["same_moment"]) == (3, None, None)


def test_moment_and_band_of_the_largest_change():
    change = changed(slice(0, 90), slice(0, 80), 0.01) + changed(slice(50, 51), slice(30, 31))
    found = locate_change(versions(change), SPEC)
    assert found["peak_time_s"] == pytest.approx(50 * 256 / 22050, abs=1e-4)
    assert found["peak_hz"] == pytest.approx(HERTZ[30], abs=0.1)
    total = 0.01**2 * (7200 - 1) + 0.21**2
    assert found["share_speech"] == pytest.approx(
        1 - 0.01**2 * 90 * ((HERTZ < 200).sum() + (HERTZ > 6000).sum()) / total, abs=1e-4
    )


def test_no_change_is_nowhere():
    found = locate_change(versions(np.zeros((90, 80))), SPEC)
    assert found["alarm"] is None
    assert found["share_speech"] == 0
