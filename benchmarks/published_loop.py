"""Compare the engine with the published one-at-a-time loop: seconds a sample, in one process.

    python benchmarks/published_loop.py [--bundle DIR] [--samples 64] [--single 6] [--repeats 3]

The published loop, as its scripts run it on TensorFlow 1: batch 1, one compiled step called 20
times with a NumPy update between, and four scorings, by classifier and separate classifier, before
and after. Here the scorings are direct calls of the models, which are faster than `predict`.
Ours makes the same scorings. Both are warmed up before they are timed; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

from keras_listen.backend import start_quietly

STEPS = 20


def published(bundle, prior):
    """Return a function that maximizes one start at a time."""
    import numpy as np
    import tensorflow as tf

    @tf.function
    def step(z, target):
        with tf.GradientTape() as tape:
            tape.watch(z)
            score = bundle.classifier.model(prior.decode(z), training=False)[0, target]
        gradient = tape.gradient(score, z)
        return score, gradient / (tf.sqrt(tf.reduce_mean(tf.square(gradient))) + 1e-5)

    def scores(z):
        features = prior.decode(tf.constant(z))
        models = (bundle.classifier.model, bundle.referee.model)
        return [model(features, training=False).numpy() for model in models]

    def maximize_one(z, target):
        before = scores(z)
        moving = z.copy()
        for _ in range(STEPS):
            _, gradient = step(tf.constant(moving), tf.constant(target))
            moving += gradient.numpy() * np.float32(prior.step_size)
        return moving, before, scores(moving)

    return lambda starts, targets: [
        maximize_one(starts[i : i + 1], targets[i]) for i in range(len(starts))
    ]


def ours(bundle, prior, objective):
    """Return a function that maximizes a block at once."""
    from keras_listen.engine import Ascent, maximize

    def maximize_all(starts, targets):
        found = maximize(bundle.classifier, objective, prior, starts, targets, Ascent(steps=STEPS))
        return [bundle.referee.predict(f) for f in (found.start_features, found.features)]

    return maximize_all


def seconds_a_sample(function, starts, targets, repeats: int) -> float:
    """Return the median time of a call, divided by the number of starts."""
    function(starts, targets)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(starts, targets)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / len(starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--samples", type=int, default=64, help="starts of the engine")
    parser.add_argument("--single", type=int, default=6, help="starts of the published loop")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    start_quietly()
    import numpy as np

    from keras_listen import load_bundle
    from keras_listen.plugins import default_registry
    from keras_listen.seeds import derive

    bundle, registry = load_bundle(arguments.bundle), default_registry()
    objective = registry.create("objective", "softmax", bundle)
    targets = np.arange(arguments.samples, dtype=np.int32) % len(bundle.words)
    seeds = np.stack([derive(0, "benchmark", k) for k in range(arguments.samples)])
    print(f"{'prior':6} {'published':>12} {'ours':>12} {'ratio':>7}   seconds a sample")
    for name in ("none", "ae"):
        prior = registry.create("prior", name, bundle)
        starts = prior.start(targets, seeds)
        few = slice(arguments.single)
        slow = seconds_a_sample(
            published(bundle, prior), starts[few], targets[few], arguments.repeats
        )
        fast = seconds_a_sample(ours(bundle, prior, objective), starts, targets, arguments.repeats)
        print(f"{name:6} {slow:12.4f} {fast:12.4f} {slow / fast:7.1f}")


if __name__ == "__main__":
    main()
