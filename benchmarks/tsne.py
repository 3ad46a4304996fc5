"""Which t-SNE is faster here: scikit-learn's or openTSNE's, at 2,000 and at 22,000 points?

    python benchmarks/tsne.py STORE [--points 2000 22000] [--threads 1 2]

Points are encodings of the store's utterances by the embedded autoencoder and, as many, the same
moved by 4 in a direction of each word's own and some noise, as maximization does. Beside the
seconds stand the trustworthiness of the map (of 2,000 of its points) and whether a second fit gave
the same bytes.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
from sklearn.manifold import TSNE, trustworthiness

from keras_listen import Store, load_bundle
from keras_listen.models.blocks import in_blocks


def latents(store: Store, count: int) -> np.ndarray:
    """Return `count` points [shape=(count, 256)]."""
    encoder = load_bundle().component("ae").model("encoder")
    generator = np.random.default_rng(0)
    positions = generator.permutation(len(store.utterances))[: count // 2]
    # A store with too few utterances gives some of them twice, a little louder.
    positions = np.resize(positions, count // 2)
    levels = generator.uniform(0.9, 1.1, (count // 2, 1, 1, 1)).astype(np.float32)
    features = np.clip(store.batch(positions) * levels, 0, 1)
    before = in_blocks(lambda block: encoder(block, training=False), features)
    directions = generator.standard_normal((len(store.words), before.shape[1]))
    ways = directions[store.labels[positions]] + generator.standard_normal(before.shape)
    ways *= 4 / np.linalg.norm(ways, axis=1, keepdims=True)
    return np.concatenate([before, before + ways]).astype(np.float32)


def fit_sklearn(points: np.ndarray, threads: int) -> np.ndarray:
    return TSNE(perplexity=30, init="pca", random_state=0, n_jobs=threads).fit_transform(points)


def fit_opentsne(points: np.ndarray, threads: int) -> np.ndarray:
    import openTSNE

    return np.asarray(openTSNE.TSNE(perplexity=30, random_state=0, n_jobs=threads).fit(points))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--points", type=int, nargs="+", default=[2000, 22000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--once", action="store_true", help="do not compare a second fit")
    options = parser.parse_args()
    store = Store.open(options.store)
    for count in options.points:
        points = latents(store, count)
        some = np.random.default_rng(1).permutation(count)[:2000]
        for threads in options.threads:
            for fit in (fit_opentsne, fit_sklearn):
                start, busy = time.perf_counter(), time.process_time()
                places = fit(points, threads)
                seconds = time.perf_counter() - start
                busy = time.process_time() - busy
                kept = trustworthiness(points[some], places[some], n_neighbors=12)
                same = None if options.once else np.array_equal(places, fit(points, threads))
                print(
                    f"{count:6d} points  {fit.__name__:12}  {threads} threads  {seconds:6.1f} s  "
                    f"(processor {busy:6.1f} s)  trustworthiness {kept:.4f}  same again: {same}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
