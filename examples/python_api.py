"""Maximize words from Python, and rank them by how convincing a referee finds the results.

    python examples/python_api.py [OUT]

Maximizes every word of the embedded bundle from three noise starts, prints the referee's mean
probability of each word, and classifies the sound of the most convincing one.
"""

import sys

import keras_listen


def main(out: str = "listened") -> None:
    bundle = keras_listen.load_bundle()
    print(f"{len(bundle.words)} words: {', '.join(bundle.words)}")

    # The same as the command `keras-listen run`; the rows are those of samples.csv.
    run = keras_listen.listen(prior="ae", vocoder="griffin-lim", samples=3, out=out)
    agreement = {
        word: sum(float(row["referee_probability"]) for row in run.rows if row["word"] == word) / 3
        for word in bundle.words
    }
    for word, probability in sorted(agreement.items(), key=lambda item: -item[1]):
        print(f"{word:8} referee's probability {probability:.3f}")
    print(f"own success {run.summary['own success']:.1%}, transfer {run.summary['transfer']:.1%}")

    # Classify the features of a sound that was written.
    best = max(agreement, key=agreement.get)
    heard = keras_listen.load_features(run.root / f"{best}-000.wav")
    probabilities = bundle.classifier.predict(heard[None, :, :, None])[0]
    print(f"{best}-000.wav is heard as {bundle.words[probabilities.argmax()]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
