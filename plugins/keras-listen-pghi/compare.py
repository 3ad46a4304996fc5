"""Compare vocoders that need no training: pghi, Griffin-Lim, and pghi followed by Griffin-Lim.

    python compare.py STORE [--count 200] [--samples 12] [--bundle DIR] [--seed 0]

Each vocoder synthesizes two sets of features: those of every n-th testing utterance of the store
(copy-synthesis), and maximizations from noise with the prior ae, `--samples` of each word. For each
set it prints the share of sounds whose features are recognized as the word (by the classifier, and
by the bundle's residual network), the distance between the mel bands of the sounds, at their own
level, and the features, and the processor time per sound.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

import keras_listen
from keras_listen import Bundle, Store, load_bundle
from keras_listen.features import extract_fitted
from keras_listen.models.backend import start_quietly
from keras_listen.plugins import default_registry
from keras_listen.seeds import derive
from keras_listen.vocoders.synthesis import mel_distance, synthesize

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
    bundle = load_bundle(arguments.bundle)
    spoken = utterances(bundle, Store.open(arguments.store), arguments.count)
    report("testing utterances", bundle, *spoken, arguments.seed)
    report("maximized from noise", bundle, *maximized(bundle, arguments), arguments.seed)


def utterances(bundle: Bundle, store: Store, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features [shape=(count, frames, mels)] and labels of testing utterances."""
    testing = store.split("testing")
    positions = testing[np.linspace(0, len(testing) - 1, count).astype(int)]
    words = [store.utterances[position].word for position in positions]
    labels = np.array([bundle.classifier.label(word) for word in words])
    return store.batch(positions)[..., 0], labels


def maximized(bundle: Bundle, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return features [shape=(samples, frames, mels)] and labels of maximizations from noise."""
    # Names that import TensorFlow are used only after `start_quietly`.
    experiment = keras_listen.resolve(bundle, prior="ae", vocoder="none", seed=arguments.seed)
    samples = experiment.noise_samples(bundle.words, arguments.samples)
    labels = np.array([bundle.classifier.label(sample.word) for sample in samples])
    return experiment.compute(samples).clipped, labels


def report(what: str, bundle: Bundle, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
    """Print the table of one set of features."""
    networks = {"classifier": bundle.classifier}
    if "residual" in bundle.referees:
        networks["residual network"] = bundle.referees["residual"]
    print(f"\n{len(features)} {what}\n")
    heading = ["vocoder", *(f"heard by the {name}" for name in networks), "mel bands", "core"]
    print_row(heading)
    print_row(["---"] * len(heading))
    print_row(["none: the features", *heard(networks, features, labels), "", ""])
    for name, options in VOCODERS:
        again, distance, seconds = through(name, options, bundle, features, seed)
        called = ", ".join([name, *(f"{key} {value}" for key, value in options.items())])
        figures = [f"{distance:.2f} dB", f"{1000 * seconds:.0f} ms"]
        print_row([called, *heard(networks, again, labels), *figures])


def heard(
    networks: dict[str, keras_listen.Classifier], features: np.ndarray, labels: np.ndarray
) -> list[str]:
    """Return, for each network, the share of features that it assigns to their label."""
    found = (each.predict(features[..., None]).argmax(axis=1) for each in networks.values())
    return [f"{100 * (words == labels).mean():.1f} %" for words in found]


def through(
    name: str, options: dict, bundle: Bundle, features: np.ndarray, seed: int
) -> tuple[np.ndarray, float, float]:
    """Return the features of the sounds, their distance in dB, and the seconds a sound."""
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
