"""Fit two-dimensional maps of latents before and after, and choose utterances for the figures.

References:
    van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008
    Soomro et al., Interspeech 2019, figure 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Perplexity of a map, which stands for the number of neighbours that count.
PERPLEXITY = 30.0
#: Utterances that a published figure has at least, so that its map says something.
ENOUGH = 30
#: Below so many points there are no neighbourhoods to keep.
_FEWEST = 10


@dataclass(frozen=True, eq=False)
class Map:
    """Places of utterances before and after.

    Attributes:
        before, after: [shape=(utterances, 2)].
        perplexity: of the fit; None where principal components took the place of t-SNE.
    """

    before: np.ndarray
    after: np.ndarray
    perplexity: float | None


def fit_map(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Map:
    """Fit one map to the latents before and after.

    Args:
        before, after: latents [shape=(utterances, values)], at least one.
        seed: of the fit.

    Returns:
        a t-SNE map, or the two first principal components of fewer than 10 points.
    """
    latents = np.concatenate([before, after]).astype(np.float32)
    count = len(latents)
    if count < _FEWEST:
        places, perplexity = _components(latents), None
    else:
        # More neighbours than a third of the points would be no neighbours.
        perplexity = min(PERPLEXITY, (count - 1) / 3)
        places = _fit(latents, perplexity, seed)
    return Map(places[: len(before)], places[len(before) :], perplexity)


def _fit(latents: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from openTSNE import TSNE

    # One thread: the same bytes on any number of cores.
    fit = TSNE(perplexity=perplexity, random_state=seed % 2**32, n_jobs=1)
    return np.asarray(fit.fit(latents), np.float32)


def _components(latents: np.ndarray) -> np.ndarray:
    """Return the two first principal components [shape=(points, 2)]."""
    centred = latents - latents.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(latents), 2), np.float32)
    found = (left * sizes)[:, :2]
    places[:, : found.shape[1]] = found
    return places


@dataclass(frozen=True, eq=False)
class Choice:
    """Utterances that a figure shows.

    Attributes:
        chosen: their positions [shape=(any,)].
        words, speakers: of them, the most frequent first.
        raised: whether there are more words or speakers than were asked for.
    """

    chosen: np.ndarray
    words: list[str]
    speakers: list[str]
    raised: bool


def choose_shown(
    words: Sequence[str],
    speakers: Sequence[str],
    among: np.ndarray,
    *,
    commands: int,
    shown: int,
    enough: int = ENOUGH,
) -> Choice:
    """Choose the utterances of the most frequent words and of their most frequent speakers.

    Speakers are counted among those who said the chosen words. While fewer than `enough` utterances
    are found, one more speaker and one more word are taken in turn.

    Args:
        words, speakers: of all utterances.
        among: mask of those that may be chosen [shape=(utterances,), bool].
        commands, shown: how many words and speakers to begin with.
        enough: utterances that are wanted at least, if there are so many.
    """
    words, speakers, among = np.asarray(words), np.asarray(speakers), np.asarray(among)
    asked = commands, shown
    while True:
        top_words = _most_frequent(words[among], commands)
        said = among & np.isin(words, top_words)
        top_speakers = _most_frequent(speakers[said], shown)
        chosen = np.flatnonzero(said & np.isin(speakers, top_speakers))
        more_words = len(set(words[among])) > commands
        more_speakers = len(set(speakers[said])) > shown
        if len(chosen) >= enough or not (more_words or more_speakers):
            return Choice(chosen, top_words, top_speakers, (commands, shown) != asked)
        # In turn, so that neither colours nor numbers become too many to be told apart.
        if more_speakers and (shown - asked[1] <= commands - asked[0] or not more_words):
            shown += 1
        else:
            commands += 1


def _most_frequent(names: np.ndarray, count: int) -> list[str]:
    """Return the most frequent names; of equally frequent ones those that sort first."""
    counted = Counter(names.tolist())
    return sorted(counted, key=lambda name: (-counted[name], name))[:count]
