"""Locate changes of features, and warn of shortcuts: alarms of tickets, suspicions of the page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..features import FeatureSpec, mel_basis

#: Hz between which nearly all that tells words apart lies: the first formant of close vowels begins
#: near 250, fricatives have their energy below 6,000.
SPEECH = (200.0, 6000.0)
#: Share of a change outside of speech, from which on a ticket warns.
_MOSTLY = 0.5
#: Bands that a tone fills at most, and frames that a click does.
_NARROW = 5
#: Share of a change in so many bands, and that share times the share of frames in which it is, from
#: which on a ticket warns of a tone; share in so many frames, and share of bands, for a click.
#: Measured by benchmarks/planted_cues.py: where no cue is, changes of the features themselves are
#: narrow but short, and those through a decoder long but broad.
_TONE, _STEADY = 0.3, 0.1
_CLICK, _BROAD = 0.3, 0.8
#: Fewest changes of which it is remarked that they are alike.
_SEVERAL = 5
#: Share of tickets whose changes are largest at one frequency, or one moment, above which it is
#: remarked; see benchmarks/planted_cues.py.
_ALIKE = 0.6
#: One ticket of so many with an alarm, and one mistake of so many that the prior alone mends, is
#: suspicious.
_ONE_IN_ALARMED, _ONE_IN_MENDED = 4, 3


@lru_cache(maxsize=4)
def band_centres(spec: FeatureSpec) -> np.ndarray:
    """Return the frequency at the middle of each mel band, in Hz [shape=(mels,)]."""
    basis = mel_basis(spec)
    hertz = np.linspace(0, spec.sample_rate / 2, basis.shape[1])
    weights = basis.sum(axis=1)
    # A band narrower than the transform's resolution may be empty.
    even = np.linspace(spec.fmin, spec.fmax, spec.n_mels)
    return np.where(weights > 0, basis @ hertz / np.where(weights > 0, weights, 1), even)


def padding_mask(original: np.ndarray) -> np.ndarray:
    """Return the mask of frames that pad a short recording [shape=(frames,), bool].

    Those are the frames at both ends that hold nothing but zeros.

    Args:
        original: features of the recording [shape=(frames, mels)].
    """
    filled = np.flatnonzero((original > 0).any(axis=1))
    mask = np.ones(len(original), bool)
    if len(filled):
        mask[filled[0] : filled[-1] + 1] = False
    return mask


def locate_change(versions: Mapping[str, np.ndarray], spec: FeatureSpec) -> dict[str, Any]:
    """Locate the change from the reconstruction to the maximized features.

    Shares are of the squared change of features.

    Args:
        versions: original, reconstruction and maximized [each shape=(frames, mels)].
        spec: of the features.

    Returns:
        share_padding; of the rest, share_low and share_high outside of the `SPEECH` bands, and
        share_speech in them (0 to 1, together 1); peak_time_s and peak_hz, the moment and the band
        that changed most; share_peak and share_moment, the largest shares in a few neighbouring
        bands and in a few frames; alarm, a sentence where the change is suspicious, or None.
    """
    change = (versions["maximized"].astype(np.float64) - versions["reconstruction"]) ** 2
    total = change.sum()
    if not total:
        return _no_change()
    change /= total
    filled, hertz = padding_mask(versions["original"]), band_centres(spec)
    by_band = change[~filled].sum(axis=0)
    shares = {
        "share_padding": change[filled].sum(),
        "share_low": by_band[hertz < SPEECH[0]].sum(),
        "share_high": by_band[hertz > SPEECH[1]].sum(),
    }
    shares["share_speech"] = 1 - sum(shares.values())
    found = {name: round(float(share), 6) for name, share in shares.items()}
    band, share, steady = _strongest(change)
    frame, share_moment, broad = _strongest(change.T)
    moment = frame * spec.hop_length / spec.sample_rate
    found |= {
        "peak_time_s": round(moment, 4),
        "peak_hz": round(float(hertz[band]), 1),
        "share_peak": round(share, 6),
        "share_moment": round(share_moment, 6),
    }
    tone = share >= _TONE and share * steady >= _STEADY
    click = share_moment >= _CLICK and broad >= _BROAD
    return found | {"alarm": _alarm(found, tone, click)}


def _strongest(change: np.ndarray) -> tuple[int, float, float]:
    """Return the middle of the strongest neighbouring bands, their share, and how steady it is.

    Steady is the share of frames in which these bands change at least a tenth as much as they do
    where they change most. Of a transposed change, the same is returned for frames.

    Args:
        change: shares of the whole [shape=(frames, bands)].
    """
    width = min(_NARROW, change.shape[1])
    by_band = change.sum(axis=0)
    sums = np.convolve(by_band, np.ones(width), "valid")
    first = int(sums.argmax())
    in_time = change[:, first : first + width].sum(axis=1)
    steady = (in_time >= 0.1 * in_time.max()).mean()
    band = first + int(by_band[first : first + width].argmax())
    return band, float(sums[first]), float(steady)


def _alarm(found: Mapping[str, float], tone: bool, click: bool) -> str | None:
    """Return a sentence on what is suspicious in a change, or None."""
    outside = 1 - found["share_speech"]
    if outside >= _MOSTLY:
        return (
            f"{outside:.0%} of the change lies where no speech is: {found['share_padding']:.0%} in "
            f"padding, {found['share_low']:.0%} below {SPEECH[0]:.0f} Hz, "
            f"{found['share_high']:.0%} above {SPEECH[1]:.0f} Hz"
        )
    if tone:
        return (
            f"{found['share_peak']:.0%} of the change lies in a narrow steady band near "
            f"{found['peak_hz']:.0f} Hz, as a tone would"
        )
    if click:
        return (
            f"{found['share_moment']:.0%} of the change lies in a moment near "
            f"{found['peak_time_s']:.2f} s, in most bands, as a click would"
        )
    return None


def _no_change() -> dict[str, Any]:
    shares = ("share_padding", "share_low", "share_high", "share_speech", "peak_time_s", "peak_hz")
    return dict.fromkeys((*shares, "share_peak", "share_moment"), 0.0) | {"alarm": None}


def list_suspicions(results: Mapping[str, Any]) -> list[str]:
    """Return sentences on what is suspicious in the changes of all tickets."""
    found, changes = [], results["changes"]
    tickets, moved = changes["tickets"], changes["moved"]
    if changes["alarms"] * _ONE_IN_ALARMED > tickets:
        found.append(
            f"{changes['alarms']} of {tickets} tickets have an alarm: the classifier may have "
            "learned a shortcut"
        )
    if moved >= _SEVERAL and (changes["same_band"] or 0) > _ALIKE:
        found.append(
            f"{changes['same_band']:.0%} of the changes are largest near {changes['peak_hz']:.0f} "
            "Hz: unless the words differ just there, as two words may, the classifier may listen "
            "to something that is always there"
        )
    if moved >= _SEVERAL and (changes["same_moment"] or 0) > _ALIKE:
        found.append(
            f"{changes['same_moment']:.0%} of the changes are largest near "
            f"{changes['peak_time_s']:.2f} s: unless the words differ just there, as two words "
            "may, the classifier may listen to something that always comes then"
        )
    # On the basis of reconstructions, an utterance that they mend is no mistake.
    is_raw = results["judged"] == "raw"
    if is_raw and results["mended"] * _ONE_IN_MENDED > max(1, results["misclassified"]):
        found.append(
            f"{results['mended']} mistakes are mended by encoding and decoding alone: what "
            "misleads the classifier there is in what the prior leaves out and cannot show; look "
            "again with --prior none"
        )
    return found
