"""Make prototypes of real speech for a bundle, and measure real speech against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.store import Store
from ..errors import CorpusError
from ..models.bundle import Bundle
from ..models.provenance import made_with
from ..models.speech import SPEECH, SpeechPrototypes, coarsen, move
from ..seeds import derive
from ..vocoders.griffin_lim import GriffinLim
from ..vocoders.synthesis import synthesize
from ..vocoders.voicing import voiced_share

#: Prototypes of a word at most, and rounds of k-means.
PROTOTYPES, ROUNDS = 16, 8
#: Recordings whose sounds are made again to see how many of their frames are voiced.
_SPOKEN = 100


def add_speech(
    bundle: Bundle, store: Store, seed: int = 0, corpus: Mapping[str, Any] | None = None
) -> None:
    """Add the component `speech` to a bundle: prototypes of the store's training split.

    Args:
        bundle: of the store's words and features.
        store: real speech.
        seed: of the recordings that k-means starts from.
        corpus: facts on the store, for the provenance.

    Raises:
        CorpusError: a word has no training utterance, or the testing split is empty.
        RunError: the disk is full or cannot be written.
    """
    training = store.split("training")
    prototypes = []
    for label, word in enumerate(store.words):
        mine = training[store.labels[training] == label]
        if not len(mine):
            raise CorpusError(
                f"the store {store.root} has no training utterance of {word!r}, and {SPEECH} needs "
                "one of each word; prepare more files"
            )
        coarse = coarsen(store.batch(mine)[..., 0], store.spec)
        prototypes.append(make_prototypes(coarse, np.random.default_rng((seed, label))))
    bundle.add(
        SPEECH,
        {},
        # Words of few utterances repeat theirs.
        arrays={"prototypes": np.stack(prototypes).astype(np.float16)},
        about={
            "kind": SPEECH,
            "provenance": {"seed": seed, "rounds": ROUNDS, "corpus": corpus or {}, **made_with()},
        },
    )
    bundle.describe(SPEECH, figures=measure_speech(bundle, store))


def make_prototypes(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the means of similar recordings, by k-means that moves each in time.

    Args:
        coarse: features of one word [shape=(recordings, times, bands)].
        generator: chooses the recordings to start from.

    Returns:
        [shape=(PROTOTYPES, times, bands)]; of fewer recordings these, repeated.
    """
    count = min(PROTOTYPES, len(coarse))
    found = coarse[generator.choice(len(coarse), count, replace=False)]
    moved, rows = move(coarse), np.arange(len(coarse))
    for _ in range(ROUNDS):
        distance = _differences(moved, found)
        nearest = distance.min(axis=1).argmin(axis=1)
        place = distance[rows, :, nearest].argmin(axis=1)
        for each in np.unique(nearest):
            mine = nearest == each
            found[each] = moved[rows[mine], place[mine]].mean(axis=0)
    return found[np.arange(PROTOTYPES) % count]


def _differences(moved: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
    """Return root mean square differences in dB [shape=(samples, moves, prototypes)].

    Args:
        moved: [shape=(samples, moves, times, bands)].
        prototypes: [shape=(prototypes, times, bands)].
    """
    flat = moved.reshape(-1, prototypes[0].size)
    known = prototypes.reshape(len(prototypes), -1)
    squares = np.square(flat).sum(1)[:, None] - 2 * flat @ known.T + np.square(known).sum(1)
    root = np.sqrt(np.maximum(squares, 0) / flat.shape[1])
    return root.reshape(*moved.shape[:2], -1)


def measure_speech(bundle: Bundle, store: Store, split: str = "testing") -> dict[str, Any]:
    """Measure recordings that the prototypes were not made of.

    Returns:
        split and utterances; distance_db: mean distance to the prototypes of their word, and
        distance_db_of_other_words; nearest_is_own: share that is nearest to its own word;
        voiced_share: mean share of voiced frames of `voiced_of` recordings, spoken by Griffin-Lim.

    Raises:
        CorpusError: the split is empty.
    """
    speech = SpeechPrototypes.of(bundle.component(SPEECH), store.words)
    positions = store.split(split)
    features, labels = store.batch(positions)[..., 0], store.labels[positions]
    distances = np.stack(
        [speech.distances(features, [word] * len(features)) for word in store.words], axis=1
    )
    own = np.arange(len(store.words)) == labels[:, None]
    others = distances[~own]
    chosen = np.unique(np.linspace(0, len(positions) - 1, _SPOKEN).astype(int))
    seeds = np.stack([derive(0, store.utterances[positions[i]].file, 0) for i in chosen])
    sounds, _ = synthesize(GriffinLim(store.spec, pitch="estimated"), features[chosen], seeds)
    return {
        "split": split,
        "utterances": len(positions),
        "distance_db": float(distances[own].mean()),
        "distance_db_of_other_words": float(others.mean()) if others.size else None,
        "nearest_is_own": float((distances.argmin(axis=1) == labels).mean()),
        "voiced_of": len(chosen),
        "voiced_share": float(np.mean([voiced_share(s, store.spec.sample_rate) for s in sounds])),
    }
