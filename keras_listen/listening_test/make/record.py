"""Synthesize recordings, level them, write them, and score them.

Recordings are synthesized in chunks, see `experiment.chunks`. A chunk's file holds the measurements
and is written after its sounds: where it exists, all its sounds do.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import RunError
from ...experiment.chunks import BLOCKS, here, read_chunk, run_chunks
from ...experiment.samples import Sample
from ...features import FeatureSpec, count_samples, extract_fitted
from ...models.blocks import spans
from ...output.files import make_folder
from ...output.progress import Advance, Track, quiet
from ...seeds import derive, generator
from ...vocoders.pitch import control_of
from ...vocoders.synthesis import synthesize, tells_progress, write_wav
from ...vocoders.voicing import voiced_share
from ..folder import read_sound
from ..items import audio_url
from .proxies import active_level, spectral_flatness, speech_band_share
from .referee_panel import PanelScores, RefereePanel

log = logging.getLogger("keras_listen")

#: Level of every recording in dB below full scale, as usual in listening tests (ITU-T P.800).
LEVEL = -26.0
#: Seconds of a piece before its speed is known, and seconds in which all recordings that a vocoder
#: reported at once have been counted.
TELLING, COUNTED = 30.0, 5.0


class NoiseVocoder:
    """A vocoder that returns white noise whatever the features, for unclear anchors."""

    def __init__(self, spec: FeatureSpec):
        self.spec = spec

    def synthesize(self, features: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return noise [shape=(batch, samples)]."""
        samples = count_samples(features.shape[1], self.spec)
        return np.stack([0.1 * generator(seed).standard_normal(samples) for seed in seeds])


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording to synthesize.

    Attributes:
        name: of its file.
        cells: its columns of manifest.csv that are known before it is measured.
        sample: its word, and the number from which its seed is derived.
        features: [shape=(frames, mels), in [0, 1]].
        vocoder: synthesizes it.
    """

    name: str
    cells: dict[str, Any]
    sample: Sample
    features: np.ndarray
    vocoder: Any


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measurements of recordings, one value for each recording.

    Attributes:
        gains: factors applied to the vocoder's sounds [shape=(recordings,)].
        limited: where the peak kept it below the common level [shape=(recordings,), bool].
        flatness, share: spectral flatness, and share of the speech band [shape=(recordings,)].
        scores: of the classifier and its referees.
        voiced: share of voiced frames; None where chunks from before lack it, as the next two.
        pitch: none, estimated or invented; empty where the vocoder does nothing about the pitch.
        pitched: share of frames that were given a pitch; NaN where it does nothing.
    """

    gains: np.ndarray
    limited: np.ndarray
    flatness: np.ndarray
    share: np.ndarray
    scores: PanelScores
    voiced: np.ndarray | None = None
    pitch: np.ndarray | None = None
    pitched: np.ndarray | None = None


@dataclass(frozen=True)
class Piece:
    """Recordings that one vocoder synthesizes together: a chunk.

    Attributes:
        recordings: of the piece.
        places: their positions among all recordings.
        group: number of the vocoder.
        first: position of the first among the vocoder's recordings.
    """

    recordings: tuple[Recording, ...]
    places: tuple[int, ...]
    group: int
    first: int

    @property
    def reports(self) -> bool:
        """Whether its vocoder reports progress, as slow ones do."""
        return tells_progress(self.recordings[0].vocoder)

    @property
    def stop(self) -> int:
        """Position behind its last recording, among the vocoder's."""
        return self.first + len(self.recordings)

    @property
    def path(self) -> str:
        """Path of its results in the folder of the listening test."""
        return f"chunks/spoken-{self.group:02d}-{self.first:06d}.npz"


def cut_pieces(recordings: Sequence[Recording], block_size: int) -> list[Piece]:
    """Cut recordings into pieces, grouped by vocoder."""
    groups: dict[int, list[int]] = defaultdict(list)
    for place, recording in enumerate(recordings):
        groups[id(recording.vocoder)].append(place)
    found = []
    for group, places in enumerate(groups.values()):
        # A vocoder that reports shows its own progress, and is quickest with many.
        reports = tells_progress(recordings[places[0]].vocoder)
        for span in spans(len(places), block_size * (BLOCKS if reports else 1)):
            members = tuple(recordings[place] for place in places[span])
            found.append(Piece(members, tuple(places[span]), group, span.start))
    return found


def synthesize_recordings(
    recordings: Sequence[Recording],
    root: Path,
    panel: RefereePanel,
    seed: int,
    *,
    track: Track = quiet,
) -> Measurements:
    """Write missing and damaged recordings; return the measurements of all.

    Args:
        recordings: at least one.
        root: folder of the listening test.
        panel: classifier and referees that score the sounds.
        seed: of the listening test.
        track: progress, see `keras_listen.output.progress`.
    """
    make_folder(root / "audio")
    pieces = cut_pieces(recordings, panel.block_size)
    for piece in pieces:
        # A recording may have been deleted or damaged since the listening test was finished.
        if not all(_is_whole(root / audio_url(each.name)) for each in piece.recordings):
            (root / piece.path).unlink(missing_ok=True)
    slow = [p for p in pieces if p.reports and not (root / p.path).is_file()]
    record = partial(_record_piece, root, panel, seed, estimating_time_left(slow, track))
    run_chunks(pieces, root, here(record), label="speak", track=track)
    stored = [read_chunk(root, piece) for piece in pieces]
    order = np.argsort([place for piece in pieces for place in piece.places])
    arrays = {}
    for name in (name for name in stored[0] if all(name in each for each in stored)):
        axis = 1 if name == "referees" else 0
        arrays[name] = np.concatenate([each[name] for each in stored], axis).take(order, axis)
    scores = PanelScores(*(arrays.pop(name) for name in ("own", "referees", "activations")))
    return Measurements(**arrays, scores=scores)


def _is_whole(path: Path) -> bool:
    try:
        read_sound(path)
    except RunError:
        return False
    return True


def estimating_time_left(left: Sequence[Piece], track: Track) -> Track:
    """Return a `track` that logs, soon after each piece begins, the time that all the rest takes.

    The progress bar shows only one piece, of which there may be many.

    Args:
        left: pieces that are not finished, in order.
        track: draws the progress of one piece.
    """
    counts = iter([len(piece.recordings) for piece in left])
    waiting = sum(len(piece.recordings) for piece in left)

    @contextmanager
    def tracked(*, total: int, **shown: Any) -> Iterator[Advance]:
        nonlocal waiting
        count, begin = next(counts), time.monotonic()
        done, last, since = 0, begin, None

        def advance(finished: int = 1) -> None:
            nonlocal done, last, since
            if not finished:
                return
            count_on(finished)
            now = time.monotonic()
            if since is None and now - begin > TELLING:
                since = now
            elif since is not None and now - since > COUNTED:
                # Many may be reported at once: only what was finished before them, and how long
                # that took, is known.
                pace = (last - begin) / (count * done / total)
                _log_time_left(waiting - min(count, (now - begin) / pace), pace)
                since = math.inf
            done, last = done + finished, now

        with track(total=total, **shown) as count_on:
            yield advance
        waiting -= count

    return tracked


def _log_time_left(left: float, pace: float) -> None:
    """Log how many recordings are left, and how long they take at `pace` seconds each."""
    log.info(
        "%d recordings are left to speak, which takes about %.0f min",
        math.ceil(left),
        max(1, left * pace / 60),
    )


def _record_piece(
    root: Path, panel: RefereePanel, seed: int, track: Track, piece: Piece
) -> dict[str, np.ndarray]:
    """Synthesize, level, write and measure the recordings of a piece."""
    spec, vocoder = panel.classifier.spec, piece.recordings[0].vocoder
    features = np.stack([recording.features for recording in piece.recordings])
    samples = [recording.sample for recording in piece.recordings]
    seeds = np.stack([derive(seed, sample.word, sample.k) for sample in samples])
    sounds, gains = synthesize(vocoder, features, seeds, track)
    again = np.stack([extract_fitted(sound, spec) for sound in sounds])
    scores = panel.score(again[..., None], sounds)
    levels = [level_sound(y, spec.sample_rate) for y in sounds]
    for recording, (y, _, _) in zip(piece.recordings, levels, strict=True):
        write_wav(root / audio_url(recording.name), y, spec.sample_rate)
    control = control_of(vocoder)
    pitches = [control.find(each) for each in features] if control else []
    return {
        "voiced": np.array([voiced_share(y, spec.sample_rate) for y, _, _ in levels]),
        "pitch": np.array([pitch.origin for pitch in pitches] or [""] * len(sounds), "U9"),
        "pitched": np.array([pitch.share for pitch in pitches] or [math.nan] * len(sounds)),
        "gains": gains * np.array([gain for _, gain, _ in levels]),
        "limited": np.array([limited for _, _, limited in levels]),
        "flatness": np.array([spectral_flatness(y, spec) for y, _, _ in levels]),
        "share": np.array([speech_band_share(y, spec) for y, _, _ in levels]),
        **vars(scores),
    }


def level_sound(y: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float, bool]:
    """Scale a sound to the common active level; silence stays as it is.

    Args:
        y: samples [shape=(samples,)].
        sample_rate: in Hz.

    Returns:
        the sound, in [-1, 1]; the factor applied; and whether that is smaller than the level asks
        for, because a peak would have been clipped.
    """
    if not (peak := np.abs(y).max()):
        return y, 1.0, False
    wanted = 10 ** (LEVEL / 20) / active_level(y, sample_rate)
    gain = min(wanted, 1 / peak)
    return np.clip(y * np.float32(gain), -1, 1), float(gain), bool(gain < wanted)
