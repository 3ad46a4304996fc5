"""Time maximization through sound: seconds a sample, and beside another program's.

    python benchmarks/sound_path.py MODEL.keras [--steps 60] [--samples 72] [--runs 5]
        [--beside "python other.py ARGUMENTS"]

MODEL.keras is a network on `tf-simple-audio` (124 x 129) with the words of the embedded bundle.
Another program is run in turns with ours, and its time read from its last line that has a number
before "ms a sample and step". Prints medians and their ratio, own success, and the largest memory.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def ours(model: str, steps: int, samples: int) -> None:
    """Climb once and print milliseconds a sample and step."""
    import numpy as np

    import keras_listen
    from keras_listen.models.sound_classifier import load_sound_classifier
    from keras_listen.plugins import default_registry

    bundle, registry = keras_listen.load_bundle(), default_registry()
    front = registry.create("frontend", "tf-simple-audio", None, {"level": "peak"})
    classifier = load_sound_classifier(model, bundle.words, front, bundle.spec)
    prior = registry.create("prior", "vae", bundle)
    objective = registry.create("objective", "log-probability", bundle.with_classifier(classifier))
    targets = (np.arange(samples) % len(bundle.words)).astype(np.int32)
    seeds = np.stack([np.arange(samples), targets], 1).astype(np.uint32)
    z = prior.start(targets, seeds)

    def climb(steps: int):
        ascent = keras_listen.Ascent(steps=steps, step_size=0.05)
        return keras_listen.maximize(classifier, objective, prior, z, targets, ascent, seeds=seeds)

    climb(steps)  # Traces, and starts threads.
    began = time.perf_counter()
    found = climb(steps)
    each = (time.perf_counter() - began) / samples / steps
    own = (found.probabilities[-1].argmax(1) == targets).mean()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"own success {own:.3f}, {memory:.2f} GiB")
    for name, referee in bundle.referees.items():
        agreed = (referee.predict(found.features).argmax(1) == targets).mean()
        print(f"{name} agrees with {agreed:.3f}")
    print(f"{1e3 * each:.2f} ms a sample and step")


def timed(command: list[str]) -> tuple[float, str]:
    """Run a command; return its milliseconds a sample and step, and what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(re.findall(r"([\d.]+) ms a sample and step", done.stdout)[-1]), done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--samples", type=int, default=72)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--beside")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        ours(given.model, given.steps, given.samples)
        return
    numbers = ["--steps", str(given.steps), "--samples", str(given.samples)]
    mine = [sys.executable, __file__, given.model, *numbers, "--once"]
    times: dict[str, list[float]] = {"ours": [], "beside": []}
    for _ in range(given.runs):
        each, text = timed(mine)
        times["ours"].append(each)
        if given.beside:
            times["beside"].append(timed(shlex.split(given.beside))[0])
        print(
            f"load {os.getloadavg()[0]:.1f}", {k: v[-1] for k, v in times.items() if v}, flush=True
        )
    print(text.strip())
    medians = {name: statistics.median(found) for name, found in times.items() if found}
    print("medians, ms a sample and step:", {name: round(m, 2) for name, m in medians.items()})
    if given.beside:
        print(f"{medians['beside'] / medians['ours']:.2f} times as fast")


if __name__ == "__main__":
    main()
