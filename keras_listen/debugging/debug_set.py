"""Classify utterances, encode them and maximize the encodings to the utterances' own words.

The debug set of a debugging run are the utterances of one split of a store. They are computed in
chunks, see `experiment.chunks`; tables, maps and tickets are made from the chunks' files; only
examples come from elsewhere, see `debugging.neighbours`.

chunks/<n>.npz                      arrays of one chunk, see `compute_debug_chunk`
sounds/<id>-before.wav, -after.wav  the decoded encoding, and the maximized one, with a vocoder
latents_before.npy, _after.npy      float32 [shape=(points, values)]

References:
    Soomro et al., Interspeech 2019, section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data.store import Store
from ..errors import CorpusError, ParameterError, unknown
from ..experiment.chunks import BLOCKS, read_chunk
from ..experiment.experiment import Experiment
from ..experiment.hearing import predict_files
from ..experiment.samples import Sample, slug, unique_samples
from ..models.blocks import spans
from ..models.sound_classifier import SoundClassifier
from ..output.files import make_folder, replacing
from ..seeds import derive
from ..vocoders.pitch import control_of
from ..vocoders.synthesis import synthesize, write_wav
from ..vocoders.voicing import voiced_share

#: Latents of more values are compared, and drawn in maps, by so many random projections, which keep
#: distances and angles to a few per cent (Johnson and Lindenstrauss, 1984).
WIDTH = 512
#: What chunks, and columns of points.csv, tell of the vocoder's sounds.
SOUND_ARRAYS = ("voiced_before", "voiced_after", "pitch_before", "pitch_after")
#: Characters of an id, so that file names made of it are short enough for any system.
_LONGEST = 60


@dataclass(frozen=True, eq=False)
class DebugSet:
    """The utterances of a debugging run, and the models that they are debugged with.

    Attributes:
        experiment: without a vocoder.
        store: holds the utterances.
        positions: of them in the store [shape=(points,)].
        samples: one for each, with its id.
        vocoder: the vocoder, or None.
        corpus: folder of the recordings, for a classifier that hears them through a front end; or
            None.
        reader: name of the reader of recordings.
    """

    experiment: Experiment
    store: Store
    positions: np.ndarray
    samples: tuple[Sample, ...]
    vocoder: Any = None
    corpus: Path | None = None
    reader: str = "soundfile"

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        store: Store,
        positions: np.ndarray,
        vocoder: Any = None,
        corpus: str | Path | None = None,
        reader: str = "soundfile",
    ) -> DebugSet:
        """Return the debug set of some of a store's utterances; ids are word and file name."""
        samples = []
        for position in positions:
            utterance = store.utterances[position]
            name = f"{slug(utterance.word)}-{slug(Path(utterance.file).stem)}"[:_LONGEST]
            row = int(store.rows[position])
            samples.append(Sample(name, utterance.word, utterance.file, row))
        corpus = Path(corpus) if corpus is not None else None
        return cls(
            experiment, store, positions, tuple(unique_samples(samples)), vocoder, corpus, reader
        )

    def with_positions(self, positions: np.ndarray) -> DebugSet:
        """Return the debug set of other utterances of the store."""
        return DebugSet.of(
            self.experiment, self.store, positions, self.vocoder, self.corpus, self.reader
        )

    def predict_raw(self, points: Sequence[int], features: np.ndarray) -> np.ndarray:
        """Return the classifier's probabilities of utterances as they are.

        A classifier behind a front end hears the recordings, in their own rate and length.

        Args:
            points: positions in the debug set.
            features: of the utterances [shape=(points, frames, mels, 1)].

        Returns:
            [shape=(points, words)].

        Raises:
            ReadError: a recording cannot be read.
        """
        experiment = self.experiment
        size = experiment.block_size
        if not isinstance(experiment.classifier, SoundClassifier):
            return experiment.classifier.predict(features, block_size=size)
        paths = [self.corpus / self.samples[point].start for point in points]
        found, _, failed = predict_files(
            experiment.classifier, paths, reader=self.reader, block_size=size
        )
        if failed:
            raise failed[0]
        return found

    @cached_property
    def labels(self) -> np.ndarray:
        """Position of each utterance's word among the classifier's [shape=(points,)]."""
        label = self.experiment.classifier.label
        return np.array([label(sample.word) for sample in self.samples])

    @cached_property
    def speakers(self) -> np.ndarray:
        """Speaker of each utterance [shape=(points,), str]."""
        return np.array([self.store.utterances[position].speaker for position in self.positions])

    def seeds_of(self, points: Sequence[int]) -> np.ndarray:
        """Return the vocoder's seeds for some points, whatever the version [shape=(any, 2)]."""
        chosen = [self.samples[point] for point in points]
        return np.stack([derive(self.experiment.seed, s.word, s.k) for s in chosen])

    def chunks(self) -> Iterator[DebugChunk]:
        """Yield every chunk, in order."""
        for span in spans(len(self.samples), BLOCKS * self.experiment.block_size):
            yield DebugChunk(span.start, span.stop)


@dataclass(frozen=True)
class DebugChunk:
    """Points `first` up to `stop` of a debugging run."""

    first: int
    stop: int

    @property
    def path(self) -> str:
        """Path of its file inside the output folder."""
        return f"chunks/{self.first:07d}.npz"


def select_utterances(
    store: Store,
    split: str,
    known: Sequence[str],
    words: Sequence[str] = (),
    speakers: Sequence[str] = (),
) -> tuple[np.ndarray, list[str]]:
    """Choose the utterances of a debugging run.

    Args:
        store: holds them.
        split: one of the store's, or "all".
        known: the classifier's words; others are left out.
        words, speakers: those wanted; all where empty.

    Returns:
        positions in the store [shape=(any,)], and notes of what was left out.

    Raises:
        ParameterError: a name is unknown.
        CorpusError: nothing is left.
    """
    found = store.split(split)
    _require_known("word", words, store.words)
    _require_known("speaker", speakers, {u.speaker for u in store.utterances})
    wanted = set(words or store.words)
    notes = _missing(sorted(wanted - set(known)))
    kept = []
    for position in found:
        utterance = store.utterances[position]
        if utterance.word in wanted & set(known) and (
            not speakers or utterance.speaker in speakers
        ):
            kept.append(position)
    if not kept:
        raise CorpusError(
            f"the store {store.root} has no utterance to look into: none of the split {split} has "
            "one of the words that are wanted and the classifier knows, by one of the speakers"
        )
    return np.array(kept, np.int64), notes


def _require_known(what: str, given: Sequence[str], known: Sequence[str] | set[str]) -> None:
    for name in given:
        if name not in known:
            raise ParameterError(f"in the store, {unknown(what, name, known)}"[:500])


def _missing(words: Sequence[str]) -> list[str]:
    if not words:
        return []
    return [f"left out: words that the classifier does not know ({', '.join(words)})"]


def compute_debug_chunk(
    debug_set: DebugSet, root: Path, chunk: DebugChunk
) -> dict[str, np.ndarray]:
    """Maximize the utterances of a chunk to their own words.

    With a vocoder, writes their sounds too.

    Returns:
        raw: probabilities on the utterance's own features [shape=(samples, words)]; path: on what
        the latent decodes to at each step, its reconstruction first and the maximized last
        [shape=(samples, steps + 1, words)]; first_step: at which the word was predicted, -1 if
        never [shape=(samples,)]; before, first, after: latents of the start, of that step (of the
        start where there was none) and of the end [shape=(samples, values)]; with a vocoder also
        `SOUND_ARRAYS`, see `Points`.
    """
    size = debug_set.experiment.block_size
    parts = []
    for span in spans(chunk.stop - chunk.first, size):
        parts.append(
            _compute_block(debug_set, root, chunk.first + span.start, chunk.first + span.stop)
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compute_block(debug_set: DebugSet, root: Path, first: int, stop: int) -> dict[str, np.ndarray]:
    experiment = debug_set.experiment
    features = debug_set.store.read(debug_set.positions[first:stop])
    raw = debug_set.predict_raw(range(first, stop), features)
    found = experiment.compute(debug_set.samples[first:stop], features[..., 0]).maximization
    told: dict[str, np.ndarray] = {}
    for when, sounding in (("before", found.start_features), ("after", found.features)):
        names = [f"{sample.id}-{when}" for sample in debug_set.samples[first:stop]]
        seeds = debug_set.seeds_of(range(first, stop))
        about = write_sounds(debug_set, root / "sounds", names, sounding[..., 0], seeds)
        told |= {f"{name}_{when}": values for name, values in about.items()}
    count = stop - first
    return {
        "raw": raw,
        "path": found.probabilities.transpose(1, 0, 2),
        "first_step": found.first_step,
        "before": found.start_z.reshape(count, -1),
        "first": found.first_z.reshape(count, -1),
        "after": found.z.reshape(count, -1),
        **told,
    }


def write_sounds(
    debug_set: DebugSet, folder: Path, names: Sequence[str], features: np.ndarray, seeds: np.ndarray
) -> dict[str, np.ndarray]:
    """Synthesize features and write their sounds, if there is a vocoder.

    Args:
        debug_set: holds the vocoder.
        folder: made where it is missing.
        names: of the files, without suffix.
        features: [shape=(samples, frames, mels)]; what is outside [0, 1] is clipped.
        seeds: [shape=(samples, 2)].

    Returns:
        voiced: share of voiced frames of each sound; pitch: where the vocoder does something about
        it, none, estimated or invented. Nothing without a vocoder.
    """
    if (vocoder := debug_set.vocoder) is None:
        return {}
    make_folder(folder)
    clipped, rate = np.clip(features, 0, 1), vocoder.spec.sample_rate
    sounds, _ = synthesize(vocoder, clipped, seeds)
    for name, sound in zip(names, sounds, strict=True):
        write_wav(folder / f"{name}.wav", sound, rate)
    told = {"voiced": np.array([voiced_share(sound, rate) for sound in sounds])}
    if control := control_of(vocoder):
        # Of one width, whatever the block.
        told["pitch"] = np.array([control.find(each).origin for each in clipped], "U9")
    return told


@dataclass(frozen=True, eq=False)
class Points:
    """Results of all utterances of a debugging run, latents narrowed.

    Attributes:
        raw, reconstruction, maximized: probabilities on an utterance's own features, on its decoded
            encoding, and at the end [shape=(points, words)].
        first_step: see `compute_debug_chunk` [shape=(points,)].
        distance: Euclidean length of the way in the latent space [shape=(points,)].
        before, after: latents; where they have more than `WIDTH` values, their projections
            [shape=(points, at most WIDTH)].
        sounds: by names of `SOUND_ARRAYS`, of the sounds before and after: shares of voiced frames,
            and where the pitch is from [shape=(points,)]; empty without a vocoder, and of folders
            from before.
    """

    raw: np.ndarray
    reconstruction: np.ndarray
    maximized: np.ndarray
    first_step: np.ndarray
    distance: np.ndarray
    before: np.ndarray
    after: np.ndarray
    sounds: Mapping[str, np.ndarray] = field(default_factory=dict)

    def probabilities_on(self, basis: str) -> np.ndarray:
        """Return the probabilities on "raw" features, or else on the "reconstruction"."""
        return self.raw if basis == "raw" else self.reconstruction


def gather_points(debug_set: DebugSet, root: Path) -> Points:
    """Read the results of all chunks in the output folder."""
    names = ("raw", "path", "first_step", "before", "after")
    parts, sounds = [], []
    for chunk in debug_set.chunks():
        arrays = read_chunk(root, chunk, names, later=SOUND_ARRAYS)
        sounds.append({name: arrays[name] for name in SOUND_ARRAYS if name in arrays})
        before, after, path = arrays["before"], arrays["after"], arrays["path"]
        narrow = latent_projection(before.shape[1])
        distance = np.linalg.norm(after - before, axis=1)
        parts.append(
            Points(
                arrays["raw"], path[:, 0].copy(), path[:, -1].copy(), arrays["first_step"],
                distance, narrow(before), narrow(after),
            )
        )  # fmt: skip
    fields = [name for name in Points.__dataclass_fields__ if name != "sounds"]
    there = [name for name in SOUND_ARRAYS if all(name in some for some in sounds)]
    return Points(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in fields},
        sounds={name: np.concatenate([some[name] for some in sounds]) for name in there},
    )


def latent_projection(values: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that projects latents to `WIDTH` values, if they have more."""
    if values <= WIDTH:
        return np.asarray
    directions = np.random.default_rng(0).standard_normal((values, WIDTH), np.float32)
    directions /= np.sqrt(WIDTH)
    return lambda latents: latents @ directions


def write_latents(debug_set: DebugSet, root: Path) -> None:
    """Write latents_before.npy and latents_after.npy chunk by chunk, never holding all."""
    for when in ("before", "after"):
        with replacing(root / f"latents_{when}.npy") as beside, open(beside, "wb") as file:
            for number, chunk in enumerate(debug_set.chunks()):
                latents = read_chunk(root, chunk, (when,))[when]
                if number == 0:
                    shape = (len(debug_set.samples), latents.shape[1])
                    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, about)
                file.write(latents.astype("<f4").tobytes())
