"""Compare the readers: files a second at 22,050 Hz, in one run.

    python benchmarks/readers.py [FOLDER] [--count 500] [--repeats 5]

FOLDER holds recordings at any depth; by default $KERAS_LISTEN_CORPUS/speech_commands. Readers take
turns; medians are printed. Run it where the tfio extra is installed to see both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from keras_listen.data.readers import SUFFIXES
from keras_listen.errors import Unavailable
from keras_listen.models.backend import start_quietly
from keras_listen.plugins import default_registry

SAMPLE_RATE = 22050


def recordings(folder: Path, count: int) -> list[Path]:
    """Return `count` recordings, spread over the folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return found[:: max(1, len(found) // count)][:count]


def main() -> None:
    corpus = Path(os.environ.get("KERAS_LISTEN_CORPUS", ".")) / "speech_commands"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=corpus)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    paths = recordings(arguments.folder, arguments.count)
    if not paths:
        sys.exit(f"no recordings in {arguments.folder}; name a folder that has some")
    start_quietly()
    readers, registry = {}, default_registry()
    for name in ("soundfile", "tfio"):
        try:
            readers[name] = registry.create("reader", name)
        except Unavailable as error:
            print(error)
    times: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(arguments.repeats + 1):
        for name, read in readers.items():
            start = time.perf_counter()
            failed = sum(isinstance(sound, Exception) for _, sound in read(paths, SAMPLE_RATE))
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
            elif failed:
                print(f"{name} could not read {failed} of {len(paths)} files")
    rates = {name: len(paths) / statistics.median(spent) for name, spent in times.items()}
    for name, rate in rates.items():
        print(f"{name:10} {rate:8.0f} files a second")
    if len(rates) == 2:
        print(f"tfio / soundfile {rates['tfio'] / rates['soundfile']:.2f}")


if __name__ == "__main__":
    main()
