"""`doctor --suggest` finds the front end that a model was trained with, by recordings alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from helpers import assert_one_line
from keras import layers
from spoken import split, train

from keras_listen.experiment.candidates import Candidate, dimensions_of, forms_of, seeds_of
from keras_listen.experiment.chosen_model import read_listen_file
from keras_listen.experiment.hearing import counted, recordings_by_word, spaced
from keras_listen.experiment.suggest import Trial
from keras_listen.models.frontends.front_end import FrontEnd
from keras_listen.plugins import default_registry

#: Words of the models that are trained here on real speech.
SPOKEN = ("left", "no", "stop", "yes")
#: Words of MLPerf Tiny's model, in the order of its outputs.
TINY = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown"]
#: Words of Silicon Labs' model.
KEYWORDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
KEYWORDS += ["unknown", "_background_noise_"]
#: Logarithms of mel bands as TensorFlow's guides compute them.
LN_MEL = {
    "frame": 640,
    "step": 320,
    "fft": 1024,
    "power": 1.0,
    "mel_scale": "kaldi",
    "fmax": 4000.0,
}


@pytest.fixture(scope="module")
def speech(real_speech, tmp_path_factory):
    """Real recordings to train on, and a folder with others to test on."""
    root = tmp_path_factory.mktemp("speech")
    return split(real_speech, SPOKEN, 120, root / "testing"), root / "testing"


def write_words(folder: Path, words) -> None:
    (folder / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def test_the_front_end_of_a_tutorial(call, speech, tmp_path):
    recordings, testing = speech
    train(tmp_path / "model.keras", recordings, "tf-simple-audio")
    write_words(tmp_path, SPOKEN)
    given = ["model.keras", "--words-file", "words.txt", "--audio", testing, "--per-word", 12]

    # The project's own features of this shape open without a word, and are heard by chance.
    (tmp_path / "features.toml").write_text("frames = 124\nn_mels = 129\n")
    done = call("doctor", *given, "--spec", "features.toml")
    assert done.status == 1
    assert "ok      input shape  (None, 124, 129, 1)" in done.out
    assert "PROBLEM recordings" in done.out

    done = call("doctor", *given, "--suggest")
    assert done.status == 0, done.out + done.err
    found = read_listen_file("listen.toml")
    assert (found.frontend, dict(found.settings)) == ("tf-simple-audio", {})
    assert found.checked["accuracy"] > 0.6
    assert "chosen: tf-simple-audio" in done.out
    assert "never heard" not in done.out
    [row] = [line for line in done.out.splitlines() if line.endswith("chosen")]
    assert row.split()[:4] == ["tf-simple-audio", "as", "they", "are"]
    assert "written: listen.toml" in done.out
    assert call("doctor", "listen.toml", "--audio", testing, "--per-word", 12).status == 0


@pytest.mark.slow
def test_the_front_end_of_logarithms_of_mel_bands(call, speech, tmp_path):
    recordings, testing = speech
    train(tmp_path / "model.keras", recordings, "mel", LN_MEL)
    write_words(tmp_path, SPOKEN)
    given = ["model.keras", "--words-file", "words.txt", "--audio", testing, "--per-word", 16]
    (tmp_path / "features.toml").write_text("frames = 49\nn_mels = 40\n")
    assert call("doctor", *given, "--spec", "features.toml").status == 1
    options = [("-o", f"frontend.mel.{key}={value}") for key, value in LN_MEL.items()]
    done = call("doctor", *given, "--frontend", "mel", *sum(options, ()), "--write", "true.toml")
    assert done.status == 0

    assert call("doctor", *given, "--suggest").status == 0
    true, found = read_listen_file("true.toml"), read_listen_file("listen.toml")
    assert found.frontend == "mel"
    assert found.settings["step"] == 320
    assert found.checked["accuracy"] > true.checked["accuracy"] - 0.05


def published(name: str) -> Path:
    """Return a model that other people made, or skip the test without them."""
    if not (models := os.environ.get("KERAS_LISTEN_MODELS")):
        pytest.skip("KERAS_LISTEN_MODELS is unset: no models that other people made")
    return Path(models) / name


@pytest.mark.slow
def test_a_model_of_the_micro_front_end(call, real_speech, tmp_path):
    model = published("mltk_keyword_spotting") / "keyword_spotting.h5"
    write_words(tmp_path, KEYWORDS)
    given = [model, "--words-file", "words.txt", "--audio", real_speech, "--per-word", 10]
    assert call("doctor", *given, "--suggest").status == 0
    found = read_listen_file("listen.toml")
    assert (found.frontend, found.settings["pcan"]) == ("tflite-micro", False)
    assert found.checked["accuracy"] > 0.7


@pytest.mark.slow
def test_the_front_end_of_a_published_model(call, real_speech, tmp_path):
    write_words(tmp_path, TINY)
    model = published("tinykws_saved") / "kws_ref_model"
    given = [model, "--words-file", "words.txt", "--audio", real_speech, "--per-word", 20]
    assert call("doctor", *given, "--suggest").status == 0
    found = read_listen_file("listen.toml")
    assert (found.frontend, dict(found.settings)) == ("mlperf-tiny-kws", {})
    assert found.checked["accuracy"] > 0.88


@pytest.mark.slow
def test_own_features_need_no_front_end_and_a_word_that_is_never_heard_is_told(
    call, tiny_corpus, tmp_path
):
    words = ("down", "stop", "up")
    train(tmp_path / "model.keras", recordings_by_word([tiny_corpus], words), "features")
    model = keras.saving.load_model(tmp_path / "model.keras")
    weights, bias = model.layers[-1].get_weights()
    # Whatever comes in, it never answers stop.
    kept = np.array([1, 0, 1])
    model.layers[-1].set_weights([weights * kept, bias - 1e9 * (1 - kept)])
    model.save(tmp_path / "model.keras")
    write_words(tmp_path, words)
    given = ["model.keras", "--words-file", "words.txt", "--audio", tiny_corpus]
    done = call("doctor", *given, "--suggest", "--per-word", 10)
    assert done.status == 0, done.out + done.err
    found = read_listen_file("listen.toml")
    assert found.frontend is None
    # Ten recordings of each word: five to choose by, and five to check with.
    assert "never heard: stop (0 of 10); their recordings" in done.out
    [row] = [line for line in done.out.splitlines() if line.endswith("chosen")]
    assert re.fullmatch(r"features +as they are +66\.7 % +chosen", row)
    done = call("doctor", *given, "--suggest")
    assert_one_line(done, "listen.toml exists already; name another file with --write")


def random_model(path: Path, shape: tuple[int, ...], outputs: int = 3) -> None:
    keras.utils.set_random_seed(0)
    start = keras.Input(shape)
    x = layers.Dense(outputs, activation="softmax")(layers.Flatten()(start))
    keras.Model(start, x).save(path)


def test_a_model_that_hears_nothing(call, tiny_corpus, tmp_path):
    random_model(tmp_path / "model.keras", (16000, 1))
    write_words(tmp_path, ("down", "stop", "up"))
    given = ["--words-file", "words.txt", "--audio", tiny_corpus, "--suggest"]
    done = call("doctor", "model.keras", *given)
    assert done.status == 1
    assert "no front end hears the words: the best reaches" in done.out
    assert "(chance 33.3 %, needed 50.0 %)" in done.out
    assert not Path("listen.toml").exists()


def test_what_suggest_needs(call, tiny_corpus, tmp_path):
    random_model(tmp_path / "model.keras", (98, 40, 1))
    given = ["doctor", "model.keras", "--suggest"]
    assert_one_line(
        call(*given), "--suggest tries front ends on recordings; give some with --audio"
    )
    done = call(*given, "--audio", tiny_corpus)
    assert_one_line(done, "has 3 outputs, but no words were given; give a words file of 3 lines")
    write_words(tmp_path, ("down", "up"))
    done = call(*given, "--audio", tiny_corpus, "--words-file", "words.txt")
    assert_one_line(done, "has 3 outputs, but there are 2 words")
    random_model(tmp_path / "model.keras", (4, 5, 6, 7))
    write_words(tmp_path, ("down", "stop", "up"))
    done = call(*given, "--audio", tiny_corpus, "--words-file", "words.txt")
    assert_one_line(done, r"input of shape \(None, 4, 5, 6, 7\), which no front end gives")


SHAPES = [
    (124, 129, 1),
    (49, 40, 1),
    (49, 10, 1),
    (98, 40),
    (40, 98),
    (1, 64, 101),
    (30, 1, 40),
    (128, 44, 1),
    (99, 13),
    (99, 39, 1),
    (31, 13, 1),
    (None, 40),
    (490,),
    (16000,),
    (16000, 1),
    (None,),
]


def micro_of(candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates of the micro front end."""
    return [each for each in candidates if each.name == "tflite-micro"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_candidates_give_what_the_model_takes(shape):
    forms = forms_of(shape)
    candidates = []
    for form in forms:
        seeds = seeds_of(form)
        candidates += seeds
        candidates += [each for those in dimensions_of(seeds[0], form) for each in those]
    assert len(candidates) > len(forms)
    # A few of them, as filter banks take a moment.
    for candidate in [*spaced(candidates, 6), *spaced(micro_of(candidates), 2)]:
        front = default_registry().create("frontend", candidate.name, None, candidate.settings)
        silence = np.zeros((1, front.samples or front.sample_rate), np.float32)
        given = front(silence).shape[1:]
        assert len(given) == len(shape)
        assert all(want in (None, have) for want, have in zip(shape, given, strict=True))


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((124, 129, 1), "tf-simple-audio"),
        ((49, 10, 1), "mlperf-tiny-kws"),
        ((99, 13), "python-speech-features"),
        ((98, 23), "kaldi-fbank"),
        ((20, 44), "librosa-mfcc"),
        ((128, 44), "librosa-logmel"),
        ((128, 32), "keras-melspectrogram"),
        ((124, 129), "keras-stftspectrogram"),
        ((96, 64), "yamnet"),
    ],
)
def test_every_preset_is_tried_as_it_is(shape, name):
    assert any(Candidate(name) in seeds_of(form) for form in forms_of(shape))


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((49, 40, 1), {"frame_ms": 30, "step_ms": 20, "samples": 16000, "bands": 40}),
        ((98, 40, 1), {"frame_ms": 25, "step_ms": 10, "samples": 16000, "bands": 40}),
        ((59, 49, 1), {"frame_ms": 30, "step_ms": 20, "samples": 19040, "bands": 49}),
        ((49, 32, 1), {"sample_rate": 8000, "samples": 8000, "fmax": 3999.0}),
        ((1, 40, 98), {"layout": "channel,bands,time", "pcan": False, "deviation": 25.6}),
    ],
)
def test_the_micro_front_end_is_tried_as_models_have_it(shape, settings):
    tried = micro_of([seed for form in forms_of(shape) for seed in seeds_of(form)])
    assert any(settings.items() <= each.settings.items() for each in tried)


def test_candidates_keep_only_what_differs():
    plain = Candidate("mel")
    assert plain.but(step=160, level="as_is", coefficients=13) == plain
    assert plain.but(step=320).but(step=160) == plain
    changed = plain.but(step=320, level="peak")
    front = default_registry().create("frontend", "mel", None, changed.settings)
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
    np.testing.assert_array_equal(front(sound), FrontEnd(changed.whole())(sound))


def trial(*right: int) -> Trial:
    """A trial of recordings of two words that were heard right or wrong."""
    right = np.array(right, bool)
    spoken = ["no" if i % 2 else "yes" for i in range(len(right))]
    heard = [word if ok else "" for word, ok in zip(spoken, right, strict=True)]
    return Trial(Candidate("mel"), right, counted(spoken, heard), np.log(np.where(right, 0.9, 0.1)))


def test_trials_tie_within_what_chance_gives():
    better = trial(*[1] * 40)
    assert trial(*[1] * 39, 0).ties(better)
    assert trial(*[1] * 38, 0, 0).ties(better)
    # The exact binomial test of 10 to 0 gives p = 0.002.
    assert not trial(*[1] * 30, *[0] * 10).ties(better)
    assert better.ties(trial(*[1] * 30, *[0] * 10))


def test_a_model_that_knows_nothing_is_not_certified(call, sound, tmp_path):
    """The best of many front ends is right on the few recordings that it was chosen by."""
    rng = np.random.default_rng(0)
    for word in ("down", "up"):
        (tmp_path / "rec" / word).mkdir(parents=True)
        for take in range(12):
            noise = rng.normal(0, 0.1, 16000)
            soundfile.write(tmp_path / "rec" / word / f"{take}.wav", noise, 16000)
    inputs = keras.Input((49, 40))
    x = layers.Flatten()(layers.AveragePooling1D(4)(inputs))
    keras.Model(inputs, layers.Dense(2, activation="softmax")(x)).save(tmp_path / "model.keras")
    write_words(tmp_path, ("down", "up"))
    given = ["model.keras", "--words-file", "words.txt", "--audio", "rec", "--suggest"]
    done = call("doctor", *given)
    assert done.status == 1
    assert "no front end hears the words" in done.out
    assert not (tmp_path / "listen.toml").exists()


@pytest.mark.parametrize("silent", [True, False])
def test_recordings_of_which_none_can_be_used(call, tmp_path, silent):
    for word in ("down", "up"):
        (tmp_path / "rec" / word).mkdir(parents=True)
        for take in range(3):
            path = tmp_path / "rec" / word / f"{take}.wav"
            if silent:
                soundfile.write(path, np.zeros(16000), 16000)
            else:
                path.write_bytes(b"no sound")
    inputs = keras.Input((49, 40, 1))
    x = layers.Flatten()(inputs)
    keras.Model(inputs, layers.Dense(2, activation="softmax")(x)).save(tmp_path / "model.keras")
    write_words(tmp_path, ("down", "up"))
    given = ["model.keras", "--words-file", "words.txt", "--audio", "rec", "--suggest"]
    assert_one_line(call("doctor", *given), "recordings of 0 words could be read; expected two")
