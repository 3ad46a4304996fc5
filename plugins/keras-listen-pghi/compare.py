"""Compare vocoders that need no training: pghi, Griffin-Lim, and the one followed by the other.

    python compare.py STORE [--count 200] [--samples 12] [--bundle DIR] [--seed 0]

Two sets of features go through each: those of every n-th testing utterance of the store
(copy-synthesis), and what is maximized from noise with the prior ae, as many starts for each word
as `--samples` says. Of each set it prints how often the word is heard in the sounds' own features
(by the classifier, and by the bundle's residual network), how far the mel bands of the sounds, at
their own level, are from the features, and how long a processor core is busy with a sound.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

from keras_listen.models.backend import start_quietly

VOCODERS = (
    ("griffin-lim", {"iterations": 8}),
    ("griffin-lim", {"iterations": 32}),
    ("pghi", {}),
    ("pghi", {"iterations": 2}),
    ("pghi", {"iterations": 8}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--count", type=int, default=200, help="utterances, spread over the split")
    parser.add_argument("--samples", type=int, default=12, help="starts from noise for each word")
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--seed", type=int, default=0, help="of the starts and phases")
    arguments = parser.parse_args()
    start_quietly()
    from keras_listen import Store, load_bundle

    bundle = load_bundle(arguments.bundle)
    spoken = utterances(bundle, Store.open(arguments.store), arguments.count)
    report("testing utterances", bundle, *spoken, arguments.seed)
    report("maximized from noise", bundle, *maximized(bundle, arguments), arguments.seed)


def utterances(bundle, store, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features [shape=(count, frames, mels)] and labels of testing utterances."""
    testing = store.split("testing")
    positions = testing[np.linspace(0, len(testing) - 1, count).astype(int)]
    words = [store.utterances[position].word for position in positions]
    labels = np.array([bundle.classifier.label(word) for word in words])
    return store.batch(positions)[..., 0], labels


def maximized(bundle, arguments) -> tuple[np.ndarray, np.ndarray]:
    """Return features [shape=(samples, frames, mels)] and labels of what is reached from noise."""
    from keras_listen.experiment import resolve

    experiment = resolve(bundle, prior="ae", vocoder="none", seed=arguments.seed)
    samples = experiment.noise_samples(bundle.words, arguments.samples)
    labels = np.array([bundle.classifier.label(sample.word) for sample in samples])
    return experiment.compute(samples).clipped, labels


def report(what: str, bundle, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
    """Print the table of one set of features."""
    judges = {"classifier": bundle.classifier}
    if "residual" in bundle.referees:
        judges["residual network"] = bundle.referees["residual"]
    print(f"\n{len(features)} {what}\n")
    heading = ["vocoder", *(f"heard by the {name}" for name in judges), "mel bands", "core"]
    print_row(heading)
    print_row(["---"] * len(heading))
    print_row(["none: the features", *heard(judges, features, labels), "", ""])
    for name, options in VOCODERS:
        again, distance, seconds = through(name, options, bundle, features, seed)
        called = ", ".join([name, *(f"{key} {value}" for key, value in options.items())])
        figures = [f"{distance:.2f} dB", f"{1000 * seconds:.0f} ms"]
        print_row([called, *heard(judges, again, labels), *figures])


def heard(judges, features: np.ndarray, labels: np.ndarray) -> list[str]:
    """Return, for each judge, the share of features in which it hears the label."""
    found = (judge.predict(features[..., None]).argmax(axis=1) for judge in judges.values())
    return [f"{100 * (words == labels).mean():.1f} %" for words in found]


def through(
    name: str, options: dict, bundle, features: np.ndarray, seed: int
) -> tuple[np.ndarray, float, float]:
    """Return the features of the sounds, their distance in dB, and the seconds a sound."""
    from keras_listen.features import extract_fitted
    from keras_listen.plugins import default_registry
    from keras_listen.seeds import derive
    from keras_listen.vocoders.synthesis import mel_distance, synthesize

    vocoder = default_registry().create("vocoder", name, bundle, options)
    seeds = np.stack([derive(seed, "", k) for k in range(len(features))])
    synthesize(vocoder, features[:1], seeds[:1])  # compiles what is compiled
    start = time.process_time()
    sounds, gains = synthesize(vocoder, features, seeds)
    seconds = (time.process_time() - start) / len(features)
    again = np.stack([extract_fitted(sound, bundle.spec) for sound in sounds])
    # Maximized features are of no peak in particular, so sounds are compared at their own level.
    level = dataclasses.replace(bundle.spec, peak=0.0)
    pairs = zip(features, sounds / gains[:, None], strict=True)
    distance = np.mean([mel_distance(feature, sound, level) for feature, sound in pairs])
    return again, float(distance), seconds


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
