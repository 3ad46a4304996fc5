"""Say how far the numbers can be trusted that `run` and `evaluate` give of each sound.

    python benchmarks/real_speech.py STORE [--corpus DIR] [--count 60] [--bundle DIR] [RUN ...]

With the corpus that the store was made from, and where the package praat-parselmouth is installed:
the share of voiced frames in testing recordings, by Praat (its defaults, 60 to 400 Hz), by
`vocoders.voicing` and as estimated from the features: means, correlation with Praat's shares, and
milliseconds a sound. Then the distance to real speech of the word, of all testing utterances to
their own word and to others, and of the features in folders of runs: means, the share that is
nearest to its own word, and the share of pairs in which a testing utterance of the word is nearer
(0.5 for no difference).
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

from keras_listen.models.backend import start_quietly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--corpus", type=Path, help="what the store was made from")
    parser.add_argument("--count", type=int, default=60, help="recordings, spread over the split")
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    arguments = parser.parse_intermixed_args()
    start_quietly(engine=False)
    from keras_listen import Store, load_bundle

    store = Store.open(arguments.store)
    if arguments.corpus is not None and importlib.util.find_spec("parselmouth"):
        print_voicing(store, arguments.corpus, arguments.count)
    print_distances(load_bundle(arguments.bundle), store, arguments.runs)


def print_voicing(store, corpus: Path, count: int) -> None:
    """Print shares of voiced frames beside Praat's."""
    import parselmouth

    from keras_listen.data.readers import soundfile_reader
    from keras_listen.features import extract_fitted
    from keras_listen.vocoders.pitch import estimate_voiced_shares
    from keras_listen.vocoders.voicing import voiced_share

    testing, rate = store.split("testing"), store.spec.sample_rate
    chosen = testing[np.linspace(0, len(testing) - 1, count).astype(int)]
    files = [corpus / store.utterances[position].file for position in chosen]
    sounds = [sound.astype(np.float64) for _, sound in soundfile_reader(None)(files, rate)]
    features = [extract_fitted(sound, store.spec)[None] for sound in sounds]

    def praat(sound):
        pitch = parselmouth.Sound(sound, rate).to_pitch(0.01, 60, 400)
        return (pitch.selected_array["frequency"] > 0).mean()

    wanted = np.array([praat(sound) for sound in sounds])
    print(f"share of voiced frames, {count} testing recordings; by Praat {wanted.mean():.3f}")
    for name, function, given in (
        ("by autocorrelation", lambda sound: voiced_share(sound, rate), sounds),
        ("from features", lambda one: estimate_voiced_shares(one, store.spec)[0], features),
    ):
        function(given[0])
        start = time.perf_counter()
        found = np.array([function(one) for one in given])
        milliseconds = 1000 * (time.perf_counter() - start) / count
        deviation = np.sqrt(np.mean(np.square(found - wanted)))
        print(
            f"  {name:<20} {found.mean():.3f}  correlation {np.corrcoef(found, wanted)[0, 1]:.3f}  "
            f"root mean square difference {deviation:.3f}  {milliseconds:.1f} ms"
        )


def print_distances(bundle, store, runs: list[Path]) -> None:
    """Print distances to real speech of the word."""
    from keras_listen.models.speech import find_speech

    speech, note = find_speech(bundle, store.spec)
    if speech is None:
        raise SystemExit(note)

    def all_distances(features):
        return np.stack([speech.distances(features, [w] * len(features)) for w in speech.words], 1)

    testing = store.split("testing")
    names = [store.utterances[position].word for position in testing]
    labels = np.array([speech.words.index(name) for name in names])
    distances = all_distances(store.batch(testing)[..., 0])
    own = np.arange(len(speech.words)) == labels[:, None]
    real = np.sort(distances[own])

    def tell(name, found, nearest):
        further = np.searchsorted(real, found).mean() / len(real)
        shares = f"{further:.2f} of pairs further" + (
            f"  own nearest {nearest:.3f}" if nearest else ""
        )
        print(f"  {name:<28} {found.mean():6.2f} dB  deviation {found.std():5.2f}  {shares}")

    print("distance to real speech of the word")
    tell("testing, own word", distances[own], (distances.argmin(axis=1) == labels).mean())
    tell("testing, other words", distances[~own], None)
    for run in runs:
        files = sorted(run.glob("*.npy"))
        features = np.clip(np.stack([np.load(file) for file in files]), 0, 1)
        labels = np.array([speech.words.index(file.stem.rpartition("-")[0]) for file in files])
        distances = all_distances(features)
        found = distances[np.arange(len(files)), labels]
        tell(run.name, found, (distances.argmin(axis=1) == labels).mean())


if __name__ == "__main__":
    main()
