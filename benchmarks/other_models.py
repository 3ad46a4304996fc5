"""Listen to models that other people made: success, cycle and referees, as a Markdown table.

    python benchmarks/other_models.py MODELS [--audio CORPUS] [--samples 6] [--only NAME]

MODELS has the folders of the table below. Their front ends are those that their authors describe;
where the order of the classes is not published, words are numbers. Each is maximized with the prior
vae (60 steps of its own size, log probabilities), spoken by griffin-lim, and heard again from the
sound files by its own pipeline. With a corpus of Speech Commands, those with known words first hear
its testing recordings.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_TEN = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
#: File, words or their number, front end with its settings, and what builds the network.
MODELS: dict[str, tuple[str, list[str] | int, dict, str | None]] = {
    "wake_nerio": (
        "wakeword_model.keras",
        2,
        {"name": "tf-simple-audio", "log": "ln", "offset": 1e-6},
        None,
    ),
    "capstone": (
        "kws_model.keras",
        3,
        {"name": "mel", "frame": 640, "step": 320, "fft": 1024, "bands": 40, "fmin": 20.0,
         "fmax": 4000.0, "mel_scale": "kaldi", "power": 1.0, "window": "hann"},
        None,
    ),
    "edison": (
        "kws_model.h5",
        6,
        {"name": "mlperf-tiny-kws", "samples": 16384, "frame": 1024, "step": 512, "fft": 1024,
         "bands": 32, "fmin": 80.0, "fmax": 7600.0, "coefficients": 13},
        None,
    ),
    "strww": (
        "str_ww_ref_model.h5",
        3,
        {"name": "mel", "frame": 1024, "step": 512, "samples": 15872, "bands": 40,
         "layout": "time,channel,bands"},
        None,
    ),
    # Words from the metadata of the .tflite beside it. Its features were kept as pictures, whose
    # scale is not published: the deviation is one with which it hears most.
    "mltk_keyword_spotting": (
        "keyword_spotting.h5",
        ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "unknown",
         "_background_noise_"],
        {"name": "tflite-micro", "frame_ms": 30, "step_ms": 20, "bands": 10, "fmin": 60.0,
         "fmax": 4000.0, "pcan": False, "min_signal_remaining": 1.0, "seconds": 1.02,
         "deviation": 5.0, "layout": "time,bands,channel"},
        None,
    ),
    # Words and front end from the metadata of the .tflite beside it.
    "mltk_keyword_spotting_on_off": (
        "keyword_spotting_on_off.h5",
        ["on", "off", "_unknown_", "_silence_"],
        {"name": "tflite-micro", "sample_rate": 8000, "frame_ms": 30, "step_ms": 20, "fmin": 100.0,
         "fmax": 3999.0, "even_smoothing": 0.004, "odd_smoothing": 0.004, "pcan": False,
         "layout": "time,bands,channel"},
        None,
    ),
    "tinykws_saved": (
        "kws_ref_model",
        [*_TEN, "silence", "unknown"],
        {"name": "mlperf-tiny-kws"},
        None,
    ),
    "attrnn": (
        "model-attRNN.h5",
        36,
        {"name": "waveform", "layout": "time"},
        "examples.attrnn:build",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--prior", default="vae")
    parser.add_argument("--only", action="append")
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    logging.disable(logging.WARNING)
    print("| model | recordings heard | own success | cycle | separable referee | seconds |")
    print("|---|---|---|---|---|---|")
    for name in given.only or MODELS:
        print(_row(name, given), flush=True)


def _row(name: str, given: argparse.Namespace) -> str:
    """Listen to one model, and return its row of the table."""
    import numpy as np

    from keras_listen.experiment.chosen_model import ChosenModel
    from keras_listen.experiment.hearing import hear
    from keras_listen.experiment.options import open_classifier
    from keras_listen.models.bundle import load_bundle

    file, words, front, builder = MODELS[name]
    if builder:
        from examples.attrnn import WORDS

        words = list(WORDS)
    words = [f"class-{i}" for i in range(words)] if isinstance(words, int) else words
    front = dict(front)
    path = str(given.models / name / file)
    chosen = ChosenModel(
        path,
        tuple(words),
        frontend=front.pop("name"),
        settings=front,
        builder=builder,
        files=(path,),
    )
    bundle = load_bundle()
    classifier = open_classifier(chosen, bundle.spec)
    heard = "-"
    if given.audio and set(words) & set(bundle.words):
        heard = f"{100 * hear(classifier, _testing(given.audio, words)).accuracy:.1f} %"
    began = time.perf_counter()
    rates = _listen(bundle.with_classifier(classifier), given.prior, given.samples)
    seconds = time.perf_counter() - began
    shown = ["-" if np.isnan(rate) else f"{100 * rate:.1f} %" for rate in rates]
    return f"| {name} | {heard} | {' | '.join(shown)} | {seconds:.0f} |"


def _testing(corpus: Path, words: list[str]) -> dict[str, list[Path]]:
    """Return the testing recordings of the words."""
    listed = (corpus / "testing_list.txt").read_text(encoding="utf-8").split()
    stems = {line.rsplit(".", 1)[0] for line in listed}
    found: dict[str, list[Path]] = {}
    for word in words:
        paths = sorted((corpus / word).glob("*")) if (corpus / word).is_dir() else []
        if mine := [path for path in paths if f"{word}/{path.stem}" in stems]:
            found[word] = mine
    return found


def _listen(bundle, prior: str, samples: int) -> tuple[float, float, float]:
    """Return own success, cycle, and agreement of the separable referee on words it knows."""
    import numpy as np

    from keras_listen.experiment.experiment import resolve
    from keras_listen.experiment.referees import open_referees
    from keras_listen.maximization.settings import AscentSettings

    ascent = AscentSettings(steps=60)
    names = {"prior": prior, "objective": "log-probability", "vocoder": "griffin-lim"}
    experiment = resolve(bundle, **names, ascent=ascent)
    words = bundle.classifier.words
    plan = experiment.noise_samples(words, samples)
    referee = open_referees(bundle, []).get("separable")
    own, cycle, agreed = [], [], []
    for start in range(0, len(plan), experiment.block_size):
        some = plan[start : start + experiment.block_size]
        block = experiment.compute(some)
        targets = np.array([words.index(sample.word) for sample in some])
        decide = bundle.classifier.decide
        own += list(decide(block.maximization.probabilities[-1]) == targets)
        cycle += list(decide(block.cycle) == targets)
        if referee is not None:
            known = [i for i, sample in enumerate(some) if _knows(referee, sample.word)]
            theirs = referee.decide(referee.predict(block.clipped[..., None]))
            agreed += list((theirs == targets)[known])
    return tuple(float(np.mean(found)) if found else np.nan for found in (own, cycle, agreed))


def _knows(referee, word: str) -> bool:
    from keras_listen.experiment.referees import knows

    return knows(referee, word)


if __name__ == "__main__":
    main()
