"""Text files of other systems."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
import soundfile

from keras_listen.errors import CorpusError
from keras_listen.experiment.chosen_model import read_listen_file
from keras_listen.experiment.listen_file import keep_check
from keras_listen.features import FeatureSpec
from keras_listen.texts import composed, read_names, read_text, read_toml
from keras_listen.training.recordings import gather
from keras_listen.training.vocoder_training import read_settings

COMPOSED = "f\N{LATIN SMALL LETTER U WITH DIAERESIS}r"
TEXT = 'n_mels = 40\nwindow = "hann"\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_are_no_part_of_a_text(tmp_path, encoding, end):
    path = tmp_path / "file"
    path.write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(path) == TEXT
    assert read_toml(path) == {"n_mels": 40, "window": "hann"}
    assert FeatureSpec.from_toml(path) == FeatureSpec(n_mels=40, window="hann")


def test_names_are_without_quotes_spaces_and_blank_lines(tmp_path):
    decomposed = "fu\N{COMBINING DIAERESIS}r"
    text = f'\n yes \r\n"no"\r\r\'stop\'\n{decomposed}\n"\n'
    (tmp_path / "words").write_bytes(text.encode("utf-8-sig"))
    assert read_names(tmp_path / "words") == [
        "yes",
        "no",
        "stop",
        COMPOSED,
        '"',
    ]
    assert composed(decomposed) == COMPOSED


def test_what_is_no_text_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"yes\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"yes\n")
    with pytest.raises(tomllib.TOMLDecodeError):
        read_toml(tmp_path / "file")


def test_a_listen_file_with_a_mark_is_read_and_keeps_a_check(tmp_path):
    path = tmp_path / "listen.toml"
    text = "model = 'm.keras'\r\nwords_file = 'words.txt'\r\n"
    path.write_bytes(text.encode("utf-8-sig"))
    (tmp_path / "words.txt").write_bytes("yes\r\nno\r\n".encode("utf-8-sig"))
    assert read_listen_file(path).words == ("yes", "no")
    keep_check(path, {"heard": 9})
    assert read_toml(path) == {
        "model": "m.keras",
        "words_file": "words.txt",
        "checked": {"heard": 9},
    }


def test_settings_of_a_wavenet_may_have_a_mark(tmp_path):
    (tmp_path / "hparams.json").write_bytes('{"layers": 4}'.encode("utf-8-sig"))
    assert read_settings(tmp_path / "hparams.json") == {"layers": 4}


def test_lists_beside_recordings_for_a_vocoder_are_matched(tmp_path):
    for name in ("one", "two", "._one"):
        soundfile.write(tmp_path / f"{name}.wav", np.full(4000, 0.1), 22050)
    (tmp_path / "validation_list.txt").write_bytes("x\\one.wav\r\n".encode("utf-8-sig"))
    made = gather([tmp_path], tmp_path / "work", FeatureSpec())
    assert dict(zip(made.names, made.validation, strict=True)) == {"one": True, "two": False}
    (tmp_path / "validation_list.txt").write_text("x/three.wav\n")
    with pytest.raises(CorpusError, match=r"no line of .*validation_list\.txt names a file"):
        gather([tmp_path], tmp_path / "work", FeatureSpec())
