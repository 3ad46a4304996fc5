"""What `doctor` finds out on recordings, keeps in listen.toml, and what a run then says."""

from __future__ import annotations

import itertools
import shutil
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from helpers import assert_one_line
from spoken import train

from keras_listen.errors import CorpusError, ModelError
from keras_listen.experiment.check import checked_table, origin_of
from keras_listen.experiment.chosen_model import read_listen_file
from keras_listen.experiment.experiment import resolve
from keras_listen.experiment.hearing import (
    Hearing,
    counted,
    is_clipped,
    recordings_by_word,
    sorted_recordings,
)
from keras_listen.experiment.listen_file import keep_check
from keras_listen.experiment.settings import ModelChoice

WORDS = ("down", "stop", "up")
#: Settings of the small classifier's front end, beside the name `mel`.
MEL = {"bands": 20, "frame": 512, "step": 400}
OPTIONS = [("-o", f"frontend.mel.{key}={value}") for key, value in MEL.items()]
GIVEN = ["--frontend", "mel", *itertools.chain(*OPTIONS)]


@pytest.fixture(scope="module")
def made(tiny_corpus, tmp_path_factory) -> Path:
    """A folder with a classifier of the tiny corpus behind a front end, and its words."""
    root = tmp_path_factory.mktemp("made")
    train(root / "model.keras", recordings_by_word([tiny_corpus], WORDS), "mel", MEL)
    (root / "words.txt").write_text("\n".join(WORDS) + "\n")
    return root


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy of it, in the folder in which commands run."""
    for path in made.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def listen_file(folder) -> Path:
    """A listen.toml, with comments, that describes the classifier."""
    settings = "\n".join(f"{key} = {value}  # as it was trained" for key, value in MEL.items())
    text = f"""# mine
model = "model.keras"   # beside it
words_file = "words.txt"

[frontend]
name = "mel"
{settings}
"""
    (folder / "listen.toml").write_text(text)
    return folder / "listen.toml"


def tell(folder: Path, name: str = "listen.toml", **settings) -> list[str]:
    """Return the notes of a run on a listen.toml that speak of recordings."""
    choice = ModelChoice(classifier=str(folder / name))
    notes = resolve(choice, prior="none", vocoder="none", **settings).notes
    return [note for note in notes if "recordings" in note]


def test_accuracy_beside_chance(call, folder, tiny_corpus):
    done = call(
        "doctor", "model.keras", "--words-file", "words.txt", *GIVEN, "--audio", tiny_corpus
    )
    assert done.status == 0, done.out + done.err
    lines = done.out.splitlines()
    assert (
        "ok      recordings   100.0 % of 72 recordings of 3 words heard correctly (chance 33.3 %)"
        in lines
    )
    assert any("_background_noise_ is no word of the model" in line for line in lines)
    table = lines[lines.index(next(line for line in lines if line.startswith("word"))) :]
    assert [line.split() for line in table[1:5]] == [
        *([word, "24", "24", "100.0", "%"] for word in WORDS),
        ["all", "72", "72", "100.0", "%"],
    ]
    assert any("--write listen.toml" in line for line in lines)


def test_many_files_as_a_shell_gives_them(call, folder, tiny_corpus):
    files = sorted(tiny_corpus.glob("*/*.wav"))
    options = ["--words-file", "words.txt", *GIVEN]
    done = call("doctor", "model.keras", *options, "--audio", *files, "--per-word", 5)
    assert "100.0 % of 15 recordings of 3 words" in done.out
    done = call("doctor", "model.keras", "--audio", *files, *options)
    assert "100.0 % of 72 recordings of 3 words" in done.out
    done = call("doctor", "model.keras", *options, "--audio", f"{tiny_corpus}/<word>/*.wav")
    assert "100.0 % of 72 recordings of 3 words" in done.out


def test_recordings_before_the_model(call, folder, tiny_corpus):
    files = sorted(tiny_corpus.glob("*/*.wav"))
    done = call("doctor", "--audio", *files, "model.keras")
    assert_one_line(done, r"\.wav is a recording and no model; name the model first")


def test_recordings_without_audio(call, folder, tiny_corpus):
    done = call("doctor", "model.keras", tiny_corpus)
    assert_one_line(done, "was given behind the model model.keras; recordings follow --audio")


def test_a_wrong_front_end_is_a_problem(call, folder, tiny_corpus):
    wrong = [*GIVEN, "-o", "frontend.mel.normalize=minmax", "-o", "frontend.mel.log=none"]
    options = ["--words-file", "words.txt", "--audio", tiny_corpus]
    done = call("doctor", "model.keras", *wrong, *options, "--write", "listen.toml")
    assert done.status == 1
    assert "PROBLEM recordings" in done.out
    assert "let --suggest try other front ends" in done.out
    assert "most frequent confusions: " in done.out
    # It is kept all the same, so that a run says it.
    [note] = tell(folder)
    assert "its front end, its words or their order are wrong" in note


def test_words_in_the_wrong_order_are_a_problem(call, folder, tiny_corpus):
    (folder / "words.txt").write_text("up\nstop\ndown\n")
    done = call(
        "doctor", "model.keras", "--words-file", "words.txt", *GIVEN, "--audio", tiny_corpus
    )
    assert done.status == 1
    assert "33.3 % of 72 recordings" in done.out
    assert "most frequent confusions: up as down 24, down as up 24" in done.out


def test_a_front_end_that_does_not_fit(call, folder, tiny_corpus):
    options = ["--words-file", "words.txt", "--frontend", "mel", "--audio", tiny_corpus]
    done = call("doctor", "model.keras", *options)
    assert done.status == 1
    assert "PROBLEM input shape" in done.out
    assert "expected (None, 98, 40, 1)" in done.out
    assert "PROBLEM recordings   not heard; mend what is above first" in done.out


def test_what_is_given_is_written(call, folder, tiny_corpus):
    options = ["--words-file", "words.txt", *GIVEN, "--head", "softmax", "--audio", tiny_corpus]
    done = call("doctor", "model.keras", *options, "--write", "kept.toml")
    assert done.status == 0
    assert "kept in kept.toml" in done.out
    model = read_listen_file(folder / "kept.toml")
    assert (model.words, model.frontend, model.head) == (WORDS, "mel", "softmax")
    assert dict(model.settings) == MEL
    assert model.checked["accuracy"] == 1.0
    assert tell(folder, "kept.toml") == []
    done = call("doctor", "model.keras", *options, "--write", "kept.toml")
    assert_one_line(done, "kept.toml exists already; name another file with --write, or remove it")
    done = call("doctor", "model.keras", *options, "--write", "none/kept.toml")
    assert_one_line(done, "cannot write none/kept.toml: there is no folder none; make it")


def test_the_rest_of_a_listen_file_stays(call, listen_file, tiny_corpus):
    before = listen_file.read_text()
    assert call("doctor", "listen.toml", "--audio", tiny_corpus).status == 0
    once = listen_file.read_text()
    assert once.startswith(before)
    assert tomllib.loads(once)["checked"]["recordings"] == 72
    # Another check takes the place of the first, and what stands behind it stays.
    listen_file.write_text(once + "\n# the end\n")
    assert call("doctor", "listen.toml", "--audio", tiny_corpus, "--per-word", 4).status == 0
    twice = listen_file.read_text()
    assert twice.startswith(before)
    assert twice.endswith("\n# the end\n")
    assert twice.count("[checked]") == 1
    assert tomllib.loads(twice)["checked"]["recordings"] == 12


def test_a_run_says_whether_its_model_was_checked(call, listen_file, tiny_corpus):
    [note] = tell(listen_file.parent)
    assert "was never checked on recordings" in note
    assert "keras-listen doctor" in note
    call("doctor", "listen.toml", "--audio", tiny_corpus)
    assert tell(listen_file.parent) == []

    # Other options of the front end are another model.
    options = {("frontend", "mel"): {"level": "peak"}}
    [note] = tell(listen_file.parent, options=options)
    assert "has changed since it was checked" in note
    # What was set already is not.
    assert tell(listen_file.parent, options={("frontend", "mel"): {"step": "400"}}) == []

    text = listen_file.read_text()
    listen_file.write_text(text.replace("accuracy = 1.0", "accuracy = 0.34"))
    [note] = tell(listen_file.parent)
    assert "hears 34.0 % of recordings (chance 33.3 %)" in note

    listen_file.write_text(text.replace("frame = 512", "frame = 480"))
    [note] = tell(listen_file.parent)
    assert "has changed since it was checked" in note
    listen_file.write_text(text)
    file = listen_file.parent / "words.txt"
    file.write_text("up\nstop\ndown\n")
    [note] = tell(listen_file.parent)
    assert "has changed since it was checked" in note


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (
            "accuracy = 0.9",
            "accuracy = 'high'",
            "accuracy is 'high', expected a number from 0 to 1",
        ),
        ("accuracy = 0.9", "accuracy = nan", "accuracy is nan, expected a number from 0 to 1"),
        ("accuracy = 0.9", "accuracy = 100", "accuracy is 100, expected a number from 0 to 1"),
        ("accuracy = 0.9", "accuracy = true", "accuracy is True, expected a number from 0 to 1"),
        ("bound = ", "# bound = ", "it has no bound"),
        ("chance = ", "chances = ", "it has no chance"),
        ("of = ", "of = 3 # ", "of is 3, expected a text"),
    ],
)
def test_a_check_that_cannot_be_read_counts_as_none(listen_file, before, after, fault):
    heard = Hearing(("up", "stop"), (9, 9), (10, 10))
    keep_check(listen_file, checked_table(read_listen_file(listen_file), heard))
    text = listen_file.read_text()
    assert before in text
    assert origin_of(read_listen_file(listen_file)).note is None
    listen_file.write_text(text.replace(before, after))
    note = origin_of(read_listen_file(listen_file)).note
    assert "counts as never checked on recordings, because the table [checked] of " in note
    assert f"listen.toml cannot be read: {fault}; check it again: keras-listen doctor " in note


def test_a_new_check_mends_one_that_cannot_be_read(call, listen_file, tiny_corpus):
    with open(listen_file, "a") as file:
        file.write("\n[checked]\naccuracy = 'high'\n")
    [note] = tell(listen_file.parent)
    assert "it has no chance" in note or "accuracy is 'high'" in note
    call("doctor", "listen.toml", "--audio", tiny_corpus)
    assert tell(listen_file.parent) == []


def test_a_check_with_other_settings_is_not_kept_in_the_file(call, listen_file, tiny_corpus):
    before = listen_file.read_text()
    done = call("doctor", "listen.toml", "-o", "frontend.mel.level=peak", "--audio", tiny_corpus)
    assert listen_file.read_text() == before
    assert "not kept: something was given beside the listen.toml" in done.out


def test_a_table_in_another_form(tmp_path):
    file = tmp_path / "listen.toml"
    file.write_text('checked = {accuracy = 1.0}\nmodel = "a.keras"\n')
    with pytest.raises(ModelError, match=r"not written as \[checked\]; remove it"):
        keep_check(file, {"accuracy": 0.5})
    assert file.read_text().startswith("checked = {")


def test_line_ends_of_windows_stay(tmp_path):
    file = tmp_path / "listen.toml"
    file.write_bytes(b'model = "a.keras"\r\n')
    keep_check(file, {"accuracy": 0.5})
    assert file.read_bytes().count(b"\r\n") == file.read_bytes().count(b"\n")
    assert tomllib.loads(file.read_text())["checked"] == {"accuracy": 0.5}


def test_silent_recordings(call, folder, tmp_path):
    for word in WORDS:
        (tmp_path / "silent" / word).mkdir(parents=True)
        soundfile.write(tmp_path / "silent" / word / "a.wav", np.zeros(16000), 16000)
    done = call("doctor", "model.keras", "--words-file", "words.txt", *GIVEN, "--audio", "silent")
    assert_one_line(done, "recordings of 0 words could be read; .* the sound is silent")


def test_some_recordings_that_cannot_be_used(call, folder, tiny_corpus, tmp_path):
    shutil.copytree(tiny_corpus, tmp_path / "corpus")
    soundfile.write(tmp_path / "corpus" / "up" / "a.wav", np.zeros(16000), 16000)
    (tmp_path / "corpus" / "up" / "b.wav").write_bytes(b"no sound")
    options = ["--words-file", "words.txt", *GIVEN]
    done = call("doctor", "model.keras", *options, "--audio", "corpus")
    assert done.status == 0
    assert "2 of 74 could not be used; for instance " in done.out


def test_clipped_recordings_are_told(call, folder, tiny_corpus, tmp_path):
    for file in tiny_corpus.glob("*/*_nohash_0.wav"):
        target = tmp_path / "clipped" / file.parent.name
        target.mkdir(parents=True, exist_ok=True)
        sound, rate = soundfile.read(file)
        soundfile.write(target / file.name, np.clip(20 * sound, -1, 1), rate)
    options = ["--words-file", "words.txt", *GIVEN]
    done = call("doctor", "model.keras", *options, "--audio", "clipped")
    assert "24 of 24 recordings clip at full scale; record them again at a lower level" in done.out


def test_folders_without_any_word(call, folder, tiny_corpus):
    (folder / "words.txt").write_text("yes\nno\nmaybe\n")
    done = call(
        "doctor", "model.keras", "--words-file", "words.txt", *GIVEN, "--audio", tiny_corpus
    )
    assert_one_line(done, "recordings of 0 of the words yes, no, maybe; .*found folders _backg")
    done = call("doctor", "model.keras", "--words-file", "words.txt", "--audio", "nowhere")
    assert_one_line(done, "the recordings nowhere do not exist")


def test_recordings_of_one_word(call, folder, tiny_corpus):
    given = ["doctor", "model.keras", "--words-file", "words.txt", *GIVEN, "--audio"]
    done = call(*given, tiny_corpus / "up")
    assert_one_line(
        done,
        "recordings of 1 of the words down, stop, up; expected some of two words at least, each in "
        r"a folder of the word's name \(found 24 recordings of up\)",
    )
    shutil.copytree(tiny_corpus / "up", folder / "corpus" / "up")
    shutil.copytree(tiny_corpus / "stop", folder / "corpus" / "halt")
    assert_one_line(call(*given, "corpus"), r"\(found 24 recordings of up and folders halt\)")
    (folder / "corpus" / "halt").rename(folder / "corpus" / "stop")
    assert call(*given, "corpus").status == 0


def test_averages_over_time_are_refused_before_anything_is_asked_for(call, folder, tiny_corpus):
    inputs = keras.Input((40, 1))
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(folder / "averages.keras")
    words = ["--words-file", "words.txt"]
    for more in (
        ["--audio", "nowhere"],
        [*words, "--audio", "nowhere"],
        [*GIVEN, "--audio", tiny_corpus],
        ["--suggest"],
        ["--suggest", "--audio", "nowhere"],
        [*words, "--suggest", "--audio", tiny_corpus],
    ):
        done = call("doctor", "averages.keras", *more)
        assert_one_line(done, r"shape \(None, 40, 1\): averages over time, there is no time left")
    done = call("run", "--classifier", "averages.keras")
    assert_one_line(done, r"shape \(None, 40, 1\): averages over time, there is no time left")
    # A front end that gives so few values is taken at its word.
    options = ["--frontend", "waveform", "-o", "frontend.waveform.samples=40"]
    options += [
        "-o",
        "frontend.waveform.seconds=none",
        "-o",
        "frontend.waveform.layout=time,channel",
    ]
    done = call("doctor", "averages.keras", *words, *options, "--audio", "nowhere")
    assert_one_line(done, "the recordings nowhere do not exist")


def test_words_are_needed(call, folder, tiny_corpus):
    done = call("doctor", "model.keras", *GIVEN, "--audio", tiny_corpus)
    assert_one_line(done, "model.keras has no words; give them with --words-file FILE")


def test_a_words_file_of_the_wrong_length(call, folder, tiny_corpus):
    (folder / "words.txt").write_text("down\nup\n")
    options = ["--words-file", "words.txt", *GIVEN]
    done = call("doctor", "model.keras", *options, "--audio", tiny_corpus)
    assert done.status == 1
    assert "PROBLEM words        2 words for 3 outputs; give a words file of 3 lines" in done.out
    assert "PROBLEM recordings   not heard" in done.out
    run = ["run", "--classifier", "model.keras", *options, "--prior", "none", "--vocoder", "none"]
    assert_one_line(call(*run), "has 3 outputs, but there are 2 words")


def test_sounds_that_are_shorter_than_a_frame(call, folder, tiny_corpus):
    short = [*GIVEN, "-o", "frontend.mel.samples=300"]
    done = call("doctor", "model.keras", "--words-file", "words.txt", *short)
    assert_one_line(done, "a sound of 300 samples is shorter than a frame of 512")


def test_options_without_a_front_end(call, folder):
    done = call("doctor", "model.keras", "-o", "frontend.mel.level=peak")
    assert_one_line(done, "option frontend.mel.level was given, but no frontend; drop it")


def test_an_unknown_option_of_many(call, folder):
    done = call("doctor", "model.keras", "--frontend", "mel", "-o", "frontend.mel.framed=512")
    assert_one_line(
        done,
        "no option of frontend mel is called 'framed'; did you mean 'frame'\\? keras-listen "
        r"plugins show mel shows all \d+$",
    )
    command = done.err.split("? keras-listen ")[1].split(" shows")[0]
    assert "\n  frame  " in call(*command.split()).out


def test_a_spec_in_a_listen_file_is_named(call, folder):
    for text, message in (("n_mel = 20", "unknown feature"), ('window = "hat"', "window 'hat' is")):
        (folder / "listen.toml").write_text(f'model = "model.keras"\n[spec]\n{text}\n')
        assert_one_line(call("doctor", "listen.toml"), f"in listen.toml, {message}")


def test_a_spec_and_a_front_end(call, folder):
    (folder / "features.toml").write_text("n_mels = 20\n")
    done = call("doctor", "model.keras", "--spec", "features.toml", *GIVEN)
    assert_one_line(done, "was given both a spec and a front end")


def test_accuracy_counts_words_alike():
    heard = counted(["a"] * 8 + ["b"] * 2, ["a"] * 8 + ["a"] * 2)
    assert heard.accuracy == heard.chance == 0.5
    assert heard.confusions == (("b", "a", 2),)
    assert not heard.is_heard
    assert Hearing(("a", "b"), (5, 5), (8, 8)).is_heard
    with pytest.raises(
        CorpusError, match=r"recordings of 1 words could be read \(of a\); expected two"
    ):
        counted(["a"], ["a"])


def test_recordings_are_found(tmp_path):
    for name in ("Yes/1.wav", "yes/notes.txt", "no/1.flac", "no/.2.wav", "bed/1.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, others = sorted_recordings([tmp_path], ["yes", "no", "up"])
    assert found == {"yes": [tmp_path / "Yes/1.wav"], "no": [tmp_path / "no/1.flac"]}
    assert others == ["bed"]
    assert recordings_by_word(sorted(tmp_path.iterdir()), ["yes", "no"]) == found
    assert recordings_by_word([tmp_path / "*/*"], ["yes", "no"]) == found


def test_clipping_is_seen():
    speech = 0.9 * np.sin(np.linspace(0, 3000, 16000)) * np.hanning(16000)
    assert not is_clipped(speech)
    assert is_clipped(np.clip(3 * speech, -1, 1))


def test_without_recordings_doctor_says_what_it_cannot_know(call, folder, tiny_corpus):
    done = call("doctor", "model.keras", "--words-file", "words.txt", *GIVEN)
    assert done.status == 0
    (line,) = [line for line in done.out.splitlines() if " recordings " in line]
    assert "whether it was trained at all, and on such input, is not known; give some" in line
    # With them it is known.
    given = ["--words-file", "words.txt", *GIVEN, "--audio", tiny_corpus]
    assert "is not known" not in call("doctor", "model.keras", *given).out
