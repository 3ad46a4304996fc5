"""Compare the engine with the published one-at-a-time loop: seconds a sample.

    python benchmarks/published_loop.py [--bundle DIR] [--samples 72] [--single 6] [--rounds 3]

Four ways are timed, each in a process of its own, in turn, `--rounds` times; medians are printed:

published   as its scripts run it on TensorFlow 1: batch 1, one compiled step called 20 times with a
            NumPy update between, and four scorings, by classifier and separate classifier, before
            and after. Here the scorings are direct calls of the models, which are faster than
            `predict`. With and without oneDNN, which slows some of its convolutions; ratios are to
            the faster one.
plain       the engine, with models computed by Keras
ours        the engine as it is, see keras_listen/rewrites

The last two make the same scorings. Everything is warmed up before it is timed. `share` is the rate
of multiplications and additions, counted in the networks as they stand, over that of a large matrix
product, measured beside: what a rewrite saves counts as done, so it may exceed 100 %.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

STEPS = 20
PRIORS = ("none", "ae")
#: What is timed, with the environment that makes it so.
WAYS = {
    "published": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "published, no oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "plain": {"TF_ENABLE_ONEDNN_OPTS": "1", "KERAS_LISTEN_REWRITES": "0"},
    "ours": {"TF_ENABLE_ONEDNN_OPTS": "1", "KERAS_LISTEN_REWRITES": "1"},
}


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
    from keras_listen.maximization.ascent import Ascent
    from keras_listen.maximization.engine import maximize

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


def operations(model) -> float:
    """Count the multiplications and additions of convolutions and dense layers, for one sample."""
    import numpy as np

    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = np.prod(layer.output.shape[1:-1], dtype=int)
            total += 2 * places * np.prod(kernel.shape)
    return float(total)


def product_rate() -> float:
    """Measure floating-point operations a second of a large matrix product."""
    import tensorflow as tf

    size = 2048
    matrix = tf.random.normal((size, size))
    multiply = tf.function(lambda x: tf.reduce_sum(tf.matmul(x, x)))
    multiply(matrix).numpy()
    times = []
    for _ in range(7):
        start = time.perf_counter()
        multiply(matrix).numpy()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times)


def measure(way: str, settings: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time one way in this process, both priors."""
    from keras_listen.models.backend import start_quietly

    start_quietly()
    import numpy as np

    from keras_listen import load_bundle
    from keras_listen.plugins import default_registry
    from keras_listen.seeds import derive

    bundle, registry = load_bundle(settings.bundle), default_registry()
    objective = registry.create("objective", "softmax", bundle)
    count = settings.single if way.startswith("published") else settings.samples
    targets = np.arange(count, dtype=np.int32) % len(bundle.words)
    seeds = np.stack([derive(0, "benchmark", k) for k in range(count)])
    found = {}
    for name in PRIORS:
        prior = registry.create("prior", name, bundle)
        starts = prior.start(targets, seeds)
        one = published(bundle, prior) if way.startswith("published") else None
        function = one or ours(bundle, prior, objective)
        climbing = operations(bundle.classifier.model)
        if name != "none":
            climbing += operations(bundle.component(name).model("decoder"))
        found[name] = {
            "seconds": seconds_a_sample(function, starts, targets, settings.repeats),
            # Each step computes the networks and, at the same cost, their gradient.
            "operations": 2 * STEPS * climbing,
        }
    return found | {"rate": product_rate()}


def in_a_process(way: str, settings: argparse.Namespace) -> dict:
    """Time one way in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    done = subprocess.run(
        command, env=os.environ | WAYS[way], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--samples", type=int, default=72, help="starts of the engine")
    parser.add_argument("--single", type=int, default=6, help="starts of the published loop")
    parser.add_argument("--repeats", type=int, default=3, help="timings in a process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.way:
        print(json.dumps(measure(settings.way, settings)))
        return
    results: dict[str, list[dict]] = {way: [] for way in WAYS}
    for _ in range(settings.rounds):
        for way, found in results.items():
            found.append(in_a_process(way, settings))
    rate = statistics.median(r["rate"] for found in results.values() for r in found)
    print(f"matrix product: {rate / 1e9:.0f} GFLOP/s")
    print(f"{'prior':6} {'way':22} {'seconds a sample':>17} {'ratio':>7} {'share':>7}")
    for name in PRIORS:
        seconds = {
            way: statistics.median(r[name]["seconds"] for r in found)
            for way, found in results.items()
        }
        baseline = min(seconds["published"], seconds["published, no oneDNN"])
        work = results["ours"][0][name]["operations"]
        for way, value in seconds.items():
            share = work / value / rate
            print(f"{name:6} {way:22} {value:17.4f} {baseline / value:7.1f} {share:7.1%}")


if __name__ == "__main__":
    main()
