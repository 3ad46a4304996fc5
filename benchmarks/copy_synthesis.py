"""Say how much of real speech survives a vocoder: features -> sound -> features -> classifier.

    python benchmarks/copy_synthesis.py STORE [--vocoder griffin-lim] [--bundle DIR] [--count 200]

Takes every n-th utterance of the store's testing split and prints the classifier's accuracy on the
utterances' own features, on those of the synthesized sounds, the share of right answers that is
kept, the mean distance of the features, the spectral convergence and the seconds a sound.
"""

from __future__ import annotations

import argparse
import time

from keras_listen.backend import start_quietly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--vocoder", default="griffin-lim")
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--count", type=int, default=200, help="utterances, spread over the split")
    arguments = parser.parse_args()
    start_quietly()
    import numpy as np

    from keras_listen import Store, load_bundle
    from keras_listen.features import denormalize_magnitude, extract_fitted
    from keras_listen.plugins import default_registry
    from keras_listen.seeds import derive

    bundle, store = load_bundle(arguments.bundle), Store.open(arguments.store)
    vocoder = default_registry().create("vocoder", arguments.vocoder, bundle)
    testing = store.split("testing")
    positions = testing[:: max(1, len(testing) // arguments.count)][: arguments.count]
    words = [store.utterances[position].word for position in positions]
    labels = np.array([bundle.classifier.label(word) for word in words])
    features = store.batch(positions)
    seeds = np.stack([derive(0, store.utterances[p].file, 0) for p in positions])

    start = time.perf_counter()
    sounds = vocoder.synthesize(features[..., 0], seeds)
    seconds = (time.perf_counter() - start) / len(positions)
    again = np.stack([extract_fitted(sound, store.spec) for sound in sounds])[..., None]

    right = bundle.classifier.predict(features).argmax(axis=1) == labels
    kept = bundle.classifier.predict(again).argmax(axis=1) == labels
    wanted, got = (denormalize_magnitude(f, store.spec) for f in (features, again))
    convergence = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
    print(f"{len(positions)} testing utterances, {arguments.vocoder}")
    print(f"accuracy on features          {right.mean():.3f}")
    print(f"accuracy on synthesized       {kept.mean():.3f}")
    print(f"right answers that are kept   {(kept & right).sum() / right.sum():.3f}")
    print(f"mean distance of features     {np.abs(again - features).mean():.4f}")
    print(f"spectral convergence (mel)    {convergence:.4f}")
    print(f"seconds a sound               {seconds:.3f}")


if __name__ == "__main__":
    main()
