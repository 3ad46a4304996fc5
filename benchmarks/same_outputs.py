"""Check that two builds write the same files.

    python benchmarks/same_outputs.py make OUT --corpus FOLDER [--python PYTHON] [--path CHECKOUT]
    python benchmarks/same_outputs.py compare OUT_BEFORE OUT_AFTER

`make` runs `prepare`, `run` with both vocoders, `evaluate`, `debug`, `study make` and `vocode` of
the package that PYTHON imports (of CHECKOUT, if given) on part of a Speech Commands style FOLDER.
`compare` reads two such folders and lists every file that is missing or differs. Left out are
`timing.json`, versions and paths in manifests, and the markup of pages, whose visible text must be
the same.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Utterances of each word that are taken: so many of the testing list, and so many of the others.
TESTING, OTHERS = 9, 6
COMMANDS = {
    "prepare": "prepare corpus store",
    "run-wavenet": "run --prior ae --vocoder wavenet --out run-wavenet",
    "run-griffin-lim": "run --prior ae --vocoder griffin-lim --out run-griffin-lim",
    "evaluate": "evaluate --samples 20 --speech store --out evaluate",
    "debug": "debug store --audio corpus --out debug",
    "study-make": "study make store study-make --words yes,no,stop --real",
    "vocode": "vocode corpus/yes --vocoder griffin-lim --out vocode",
}
#: Keys of JSON files that say where and with what, not what came out.
INCIDENTAL = {"versions", "python", "platform", "keras_listen", "command_line"}


def copy_corpus(corpus: Path, target: Path) -> None:
    """Copy the first utterances of each well covered word, and the lists, to `target`."""
    testing = (corpus / "testing_list.txt").read_text().split()
    wanted: list[str] = []
    for folder in sorted(path for path in corpus.iterdir() if path.is_dir()):
        names = sorted(f"{folder.name}/{path.name}" for path in folder.glob("*_nohash_*"))
        listed = {Path(name).with_suffix("") for name in testing}
        chosen = [name for name in names if Path(name).with_suffix("") in listed]
        if len(chosen) >= TESTING:
            others = [name for name in names if name not in chosen]
            wanted += chosen[:TESTING] + others[:OTHERS]
    for name in wanted:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(corpus / name, target / name)
    for name in ("testing_list.txt", "validation_list.txt"):
        shutil.copy2(corpus / name, target / name)


def make(out: Path, corpus: Path, python: str, checkout: Path | None) -> None:
    """Run every command, with its output in OUT/NAME.log.

    All of it at one path, which stands in manifests, and then moved to `out`.
    """
    work = Path(tempfile.gettempdir()) / "keras-listen-outputs"
    work.mkdir()
    copy_corpus(corpus, work / "corpus")
    environment = dict(os.environ)
    if checkout:
        environment["PYTHONPATH"] = str(checkout.resolve())
    arguments = [python, "-m", "keras_listen"]
    told = subprocess.run(
        [*arguments, "run", "--help"], env=environment, capture_output=True, text=True, check=True
    )
    # Before there were presets, every run had the settings that are called paper now.
    published = ["--preset", "paper"] if "--preset" in told.stdout else []
    for name, command in COMMANDS.items():
        given = [*command.split(), *(published if command.startswith("run ") else [])]
        with open(work / f"{name}.log", "wb") as log:
            subprocess.run(
                [*arguments, *given],
                cwd=work,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        print(f"{name}: done", flush=True)
    shutil.move(work, out)


def without_incidentals(value: object) -> object:
    """Return a JSON value without what may differ between two builds."""
    if isinstance(value, dict):
        return {
            key: without_incidentals(item) for key, item in value.items() if key not in INCIDENTAL
        }
    if isinstance(value, list):
        return [without_incidentals(item) for item in value]
    return value


def visible_text(page: str) -> str:
    """Return the words of an HTML page, without markup, scripts and styles."""
    page = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"(?s)<[^>]*>", " ", page)).split())


def content(path: Path) -> object:
    """Return what must be the same of the file at `path`."""
    if path.suffix == ".json":
        return without_incidentals(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".html":
        return visible_text(path.read_text(encoding="utf-8"))
    return path.read_bytes()


def compare(before: Path, after: Path) -> list[str]:
    """Return a line for each file that stands in one tree alone or differs."""
    names = [
        {
            str(path.relative_to(tree))
            for path in tree.rglob("*")
            if path.is_file() and path.name != "timing.json" and path.suffix != ".log"
        }
        for tree in (before, after)
    ]
    lines = [f"only before: {name}" for name in sorted(names[0] - names[1])]
    lines += [f"only after: {name}" for name in sorted(names[1] - names[0])]
    shared = sorted(names[0] & names[1])
    differing = [name for name in shared if content(before / name) != content(after / name)]
    lines += [f"differs: {name}" for name in differing]
    print(f"{len(shared)} files in both, {len(differing)} differ")
    return lines


def main() -> None:
    """Read the command line, make or compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make")
    making.add_argument("out", type=Path)
    making.add_argument("--corpus", type=Path, required=True)
    making.add_argument("--python", default=sys.executable)
    making.add_argument("--path", type=Path)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.verb == "make":
        make(given.out, given.corpus, given.python, given.path)
    elif lines := compare(given.before, given.after):
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
