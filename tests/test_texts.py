"""Text files of other systems."""

from __future__ import annotations

import tomllib

import pytest

from keras_listen.features import FeatureSpec
from keras_listen.texts import composed, read_names, read_text, read_toml

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
