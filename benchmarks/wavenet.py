"""Samples per second of the published WaveNet and of ours, with the same weights, in one run.

    pip install torch==2.13.0
    pip install --no-build-isolation --no-deps wavenet_vocoder==0.1.1
    python benchmarks/wavenet.py

The published generator takes one utterance at a time; its rate is set against ours for one
utterance and, in total, for several at once. The share says how much of the rate of a large matrix
product of this machine the generation reaches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NETS = {
    # 64 residual channels, 20 layers in 2 stacks, kernel 2
    "small": {
        "layers": 20,
        "stacks": 2,
        "kernel_size": 2,
        "residual_channels": 64,
        "gate_channels": 64,
        "skip_out_channels": 64,
    },
    # the published LJSpeech network
    "full": {
        "layers": 24,
        "stacks": 4,
        "kernel_size": 3,
        "residual_channels": 512,
        "gate_channels": 512,
        "skip_out_channels": 256,
    },
}
#: Samples generated in a measurement by the published code and by ours.
LENGTHS = {"small": (256, 2048), "full": (256, 256)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=[*NETS, "both"], default="both")
    parser.add_argument("--batches", default="1,16,32,64")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.batches.split(",")]
    peak = product_rate()
    print(f"large matrix product: {peak / 1e9:.0f} GFLOP/s on {os.cpu_count()} cores")
    for name in NETS if arguments.net == "both" else [arguments.net]:
        compare(name, sizes, arguments.repeats, peak)


def product_rate(size: int = 2000) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    a = np.random.default_rng(0).random((size, size), np.float32)
    return 2 * size**3 / median_time(lambda: a @ a, 5)


def median_time(work, repeats: int) -> float:
    """Return the median duration of calls to `work`, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def compare(name: str, sizes: list[int], repeats: int, peak: float) -> None:
    """Print the rates of one network."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "vocoders"))
    import torch
    from test_wavenet_published import SMALL, build

    from keras_listen.vocoders.wavenet.convert import config_of, read_checkpoint, to_keras
    from keras_listen.vocoders.wavenet.generator import Generator

    warnings.simplefilter("ignore")
    settings = {**SMALL, **NETS[name]}
    net = build(settings)
    path = Path(os.environ.get("TMPDIR", "/tmp")) / "wavenet-benchmark.pth"
    torch.save({"state_dict": net.state_dict()}, path)
    config = config_of(settings)
    model = to_keras(read_checkpoint(path), config)
    path.unlink()
    theirs, ours = LENGTHS[name]
    draws = np.random.default_rng(0)

    def features(batch: int, samples: int) -> np.ndarray:
        return draws.random((batch, samples // 256, 80), np.float32)

    conditioning = torch.from_numpy(features(1, theirs).swapaxes(1, 2).copy())

    def published() -> None:
        with torch.no_grad():
            net.incremental_forward(c=conditioning, T=theirs)

    rates = {}
    for threads in {1, torch.get_num_threads()}:
        torch.set_num_threads(threads)
        rates[theirs / median_time(published, repeats)] = threads
    base = max(rates)
    print(f"{name}: published, one utterance: {base:.0f} samples/s with {rates[base]} thread(s)")
    for size in sizes:
        generator = Generator(model, config, rows=1 if size == 1 else 0)
        given, seeds = features(size, ours), np.zeros((size, 2), np.uint32)
        start = time.perf_counter()
        generator.generate(given[:, :1], seeds)
        first = time.perf_counter() - start
        rate = size * ours / median_time(partial(generator.generate, given, seeds), repeats)
        share = rate * 2 * generator.products / peak
        print(
            f"{name}: {size:3d} at once: {rate:8.0f} samples/s, {rate / base:6.1f} times, "
            f"{100 * share:3.0f} % of the matrix product rate (first call {first:.1f} s)"
        )


if __name__ == "__main__":
    main()
