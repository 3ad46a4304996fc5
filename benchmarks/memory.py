"""Measure the memory of an evaluation: flat in samples, and of what size at 10,000 x 35.

    python benchmarks/memory.py [--samples 10 100] [--scale 10000] [--words 35] [--folder DIR]

Each line is a process of its own, which says how much memory it held at most:

- a whole evaluation with few and with more starts a word, with the embedded bundle and with one of
  35 words (random weights: only its size counts), beside a store of 3,000 utterances a word, as
  large as the whole of Speech Commands;
- `--scale` starts a word without the ascents, whose chunks are written here: an evaluation is
  killed after its first chunk, which is a real one, the others are made of it, and `--resume` does
  the rest, from the counting to the page and the published files.

Needs 4 GB of disk in `--folder`, by default a temporary one; the store is a sparse file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from keras_listen.models.backend import start_quietly

#: Utterances of a word in the store, by split; together those of Speech Commands.
UTTERANCES = {"training": 2400, "validation": 300, "testing": 300}
SETTINGS = {"preset": "paper", "npz": True}


def write_store(folder: Path, words: list[str]) -> None:
    """Write a store whose features are zeros that take no place on the disk."""
    import numpy as np

    from keras_listen import FeatureSpec
    from keras_listen.output.files import csv_text, make_folder, write_json, write_text

    make_folder(folder)
    spec = FeatureSpec()
    numbered = [(split, n) for split, count in UTTERANCES.items() for n in range(count)]
    rows = [
        {"file": f"{word}/{split}{n}", "word": word, "speaker": str(n), "split": split}
        for word in words
        for split, n in numbered
    ]
    rows = [{"row": i} | row for i, row in enumerate(rows)]
    shape = (len(rows), spec.frames, spec.n_mels)
    np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, shape)
    np.save(folder / "noise.npy", np.zeros((0, spec.n_mels), np.float32))
    write_text(folder / "index.csv", csv_text(rows))
    write_json(folder / "store.json", {"schema": 1, "spec": spec.to_dict(), "words": words})


def write_bundle(folder: Path, words: list[str]) -> None:
    """Write a bundle of networks that have learned nothing."""
    import keras

    from keras_listen import FeatureSpec
    from keras_listen.models.bundle import create_bundle
    from keras_listen.models.networks.autoencoder import build_decoder, build_encoder
    from keras_listen.training.recipes import CLASSIFIERS

    keras.utils.set_random_seed(0)
    bundle = create_bundle(folder, words, FeatureSpec())
    for name, build in CLASSIFIERS.items():
        bundle.add(name, {"model": build(len(words))})
    bundle.add("ae", {"encoder": build_encoder(), "decoder": build_decoder()})


def embedded_words() -> list[str]:
    """Return the words of the embedded bundle."""
    from keras_listen.models.bundle import embedded_path

    return json.loads((embedded_path() / "bundle.json").read_text(encoding="utf-8"))["words"]


def prepare(folder: Path, words: int) -> None:
    """Write bundle and stores."""
    names = [f"word{n:02d}" for n in range(words)]
    write_bundle(folder / "bundle", names)
    write_store(folder / "store", names)
    write_store(folder / "embedded-store", embedded_words())


def study(out: Path, settings: dict) -> None:
    """Evaluate once."""
    from keras_listen import evaluate

    evaluate(**SETTINGS | settings, out=out)


def begin(out: Path, settings: dict) -> None:
    """Compute the first chunk of an evaluation and make all others of it."""
    from keras_listen import evaluate

    @contextlib.contextmanager
    def killed(**about):
        def advance(count: int) -> None:
            raise KeyboardInterrupt

        yield advance

    with contextlib.suppress(KeyboardInterrupt):
        evaluate(**SETTINGS | settings, out=out, track=killed)
    words = len(json.loads((out / "manifest.json").read_text(encoding="utf-8"))["words"])
    (first,) = out.glob("chunks/*/*.npz")
    for cell in (out / "chunks").iterdir():
        multiply(first, cell, words, settings["samples"])


def multiply(first: Path, cell: Path, words: int, samples: int) -> None:
    """Write all chunks of a cell that are not there, in the likeness of the first one."""
    import numpy as np

    with np.load(first) as stored:
        model = dict(stored)
    size, total = len(model["word"]), words * samples
    for place in range(0, total, size):
        places = np.arange(place, min(place + size, total))
        made = {
            name: array[: len(places)] if len(array) == size else array
            for name, array in model.items()
        }
        made |= {"word": places // samples, "k": places % samples}
        made["spread_word"] = np.full(len(model["spread_word"]), made["word"][0])
        starts = np.unique(made["word"][made["k"] == 0])
        made["shown_word"] = starts
        for name in ("shown_before", "shown_after"):
            made[name] = np.repeat(model[name][:1], len(starts), axis=0)
        path = cell / f"{place:07d}.npz"
        if not path.exists():
            np.savez(path, **made)


def measured(stage: str, folder: Path, out: str, settings: dict) -> tuple[float, float]:
    """Run a stage in a process of its own; return its peak in MB and its seconds."""
    begun = time.perf_counter()
    command = [sys.executable, __file__, "--stage", stage, "--folder", folder / out]
    command += ["--settings", json.dumps(settings)]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1]), time.perf_counter() - begun


def peak() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Print a line for each evaluation."""
    words = arguments.words
    measured("prepare", folder, "", {"words": words})
    embedded = {"speech": str(folder / "embedded-store")}
    large = {"speech": str(folder / "store"), "bundle": str(folder / "bundle")}
    print(f"{'study':44} {'starts':>9} {'peak MB':>8} {'seconds':>8}")

    def show(what: str, count: int, found: tuple[float, float]) -> None:
        print(f"{what:44} {count:9,} {found[0]:8,.0f} {found[1]:8,.0f}", flush=True)

    kinds = ((f"embedded, {len(embedded_words())} words", embedded), (f"{words} words", large))
    for name, settings in kinds:
        for samples in arguments.samples:
            out = f"{name}-{samples}".replace(" ", "-")
            found = measured("study", folder, out, settings | {"samples": samples})
            show(f"{name}, a whole study", samples, found)
    settings = large | {"samples": arguments.scale}
    measured("begin", folder, "counted", settings)
    found = measured("study", folder, "counted", settings | {"resume": True})
    show(f"{words} words, all but the ascents", arguments.scale, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 100], help="starts a word")
    parser.add_argument("--scale", type=int, default=10000, help="starts a word, without ascents")
    parser.add_argument("--words", type=int, default=35)
    parser.add_argument("--folder", type=Path, help="new or empty; a temporary one by default")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage is None:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            compare(Path(folder), arguments)
        return
    start_quietly()
    if arguments.stage == "prepare":
        prepare(arguments.folder, **arguments.settings)
    else:
        {"study": study, "begin": begin}[arguments.stage](arguments.folder, arguments.settings)
    print(peak())


if __name__ == "__main__":
    main()
