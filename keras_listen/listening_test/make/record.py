"""Synthesize recordings, level them, write them, and score them.

Recordings are spoken in chunks, see `keras_listen.chunks`; what is measured on them is a chunk's
file, which is written after the sounds, so that a chunk that is there is whole.
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
from ...output.files import make_folder, replacing
from ...output.progress import Advance, Track, quiet
from ...seeds import derive, generator
from ...vocoders.synthesis import synthesize, tells_progress, wav_bytes
from ..folder import read_sound
from ..items import audio_url
from .proxies import active_level, spectral_flatness, speech_band_share
from .referee_panel import PanelScores, RefereePanel

log = logging.getLogger("keras_listen")

#: Level of every recording in dB below full scale, as usual in listening tests (ITU-T P.800).
LEVEL = -26.0
#: Seconds of a piece after which it can be told how long all will take, and in which all that was
#: reported at once has been counted.
TELLING, COUNTED = 30.0, 5.0


class Noise:
    """A vocoder that makes white noise of any features, for unclear anchors."""

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
        cells: what manifest.csv says of it already.
        sample: its word, and the number that its seed comes from.
        features: [shape=(frames, mels), in [0, 1]].
        vocoder: what speaks.
    """

    name: str
    cells: dict[str, Any]
    sample: Sample
    features: np.ndarray
    vocoder: Any


@dataclass(frozen=True, eq=False)
class Measured:
    """Measurements of recordings, one value each.

    Attributes:
        gains: what the vocoder's sounds were multiplied by [shape=(recordings,)].
        limited: where the peak did not allow the full level [shape=(recordings,), bool].
        flatness, share: spectral flatness, and share of the speech band [shape=(recordings,)].
        heard: what panel make of them.
    """

    gains: np.ndarray
    limited: np.ndarray
    flatness: np.ndarray
    share: np.ndarray
    heard: PanelScores


@dataclass(frozen=True)
class Piece:
    """Recordings that one vocoder synthesizes together: a chunk.

    `places` are theirs among all recordings, `group` counts the vocoders.
    """

    recordings: tuple[Recording, ...]
    places: tuple[int, ...]
    group: int
    first: int

    @property
    def reports(self) -> bool:
        """Whether its vocoder tells how far it is, as those do that take long."""
        return tells_progress(self.recordings[0].vocoder)

    @property
    def stop(self) -> int:
        """The recording behind its last, counted within the group."""
        return self.first + len(self.recordings)

    @property
    def path(self) -> str:
        """Where its results are, inside the study's folder."""
        return f"chunks/spoken-{self.group:02d}-{self.first:06d}.npz"


def pieces(recordings: Sequence[Recording], block_size: int) -> list[Piece]:
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


def speak(
    recordings: Sequence[Recording],
    root: Path,
    panel: RefereePanel,
    seed: int,
    *,
    track: Track = quiet,
) -> Measured:
    """Write missing and damaged recordings; return the measurements of all.

    Args:
        recordings: at least one.
        root: the study's folder.
        panel: who hears them.
        seed: of the study.
        track: progress, see `keras_listen.output.progress`.
    """
    make_folder(root / "audio")
    cut = pieces(recordings, panel.block_size)
    for piece in cut:
        # Somebody may have lost or damaged a recording of a study that was finished.
        if not all(_is_whole(root / audio_url(each.name)) for each in piece.recordings):
            (root / piece.path).unlink(missing_ok=True)
    slow = [p for p in cut if p.reports and not (root / p.path).is_file()]
    compute = partial(_compute, root, panel, seed, outlook(slow, track))
    run_chunks(cut, root, here(compute), label="speak", track=track)
    stored = [read_chunk(root, piece) for piece in cut]
    order = np.argsort([place for piece in cut for place in piece.places])
    arrays = {}
    for name in stored[0]:
        axis = 1 if name == "referees" else 0
        arrays[name] = np.concatenate([each[name] for each in stored], axis).take(order, axis)
    heard = PanelScores(*(arrays.pop(name) for name in ("own", "referees", "activations")))
    return Measured(**arrays, heard=heard)


def _is_whole(path: Path) -> bool:
    try:
        read_sound(path)
    except RunError:
        return False
    return True


def outlook(left: Sequence[Piece], track: Track) -> Track:
    """Return a `track` that soon estimates, in each piece, the time that all remaining ones take.

    Its own bar is of one piece, of which there may be many.
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
            count_on(finished)
            now = time.monotonic()
            if since is None and now - begin > TELLING:
                since = now
            elif since is not None and now - since > COUNTED:
                # Many may be reported at once: only what was finished before them, and how long
                # that took, is known.
                pace = (last - begin) / (count * done / total)
                _tell(waiting - min(count, (now - begin) / pace), pace)
                since = math.inf
            done, last = done + finished, now

        with track(total=total, **shown) as count_on:
            yield advance
        waiting -= count

    return tracked


def _tell(left: float, pace: float) -> None:
    """Say how many recordings are left, and how long they take at so many seconds each."""
    log.info(
        "%d recordings are left to speak, which takes about %.0f min",
        math.ceil(left),
        max(1, left * pace / 60),
    )


def _compute(
    root: Path, panel: RefereePanel, seed: int, track: Track, piece: Piece
) -> dict[str, np.ndarray]:
    """Speak, write and measure the recordings of a piece."""
    spec, vocoder = panel.classifier.spec, piece.recordings[0].vocoder
    features = np.stack([recording.features for recording in piece.recordings])
    samples = [recording.sample for recording in piece.recordings]
    seeds = np.stack([derive(seed, sample.word, sample.k) for sample in samples])
    sounds, gains = synthesize(vocoder, features, seeds, track)
    heard = panel.score(np.stack([extract_fitted(y, spec) for y in sounds])[..., None])
    levels = [leveled(y, spec.sample_rate) for y in sounds]
    for recording, (y, _, _) in zip(piece.recordings, levels, strict=True):
        with replacing(root / audio_url(recording.name)) as beside:
            beside.write_bytes(wav_bytes(y, spec.sample_rate))
    return {
        "gains": gains * np.array([gain for _, gain, _ in levels]),
        "limited": np.array([limited for _, _, limited in levels]),
        "flatness": np.array([spectral_flatness(y, spec) for y, _, _ in levels]),
        "share": np.array([speech_band_share(y, spec) for y, _, _ in levels]),
        **vars(heard),
    }


def leveled(y: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float, bool]:
    """Bring a sound to the common level; silence stays as it is.

    Args:
        y: samples [shape=(samples,)].
        sample_rate: in Hz.

    Returns:
        the sound, with no sample beyond 1; what it was multiplied by; and whether that is less than
        it should be, because a peak would have been cut off.
    """
    if not (peak := np.abs(y).max()):
        return y, 1.0, False
    wanted = 10 ** (LEVEL / 20) / active_level(y, sample_rate)
    gain = min(wanted, 1 / peak)
    return np.clip(y * np.float32(gain), -1, 1), float(gain), bool(gain < wanted)
