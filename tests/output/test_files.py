"""Files are written whole or not at all."""

from __future__ import annotations

import hashlib
import json

import pytest

from keras_listen.errors import RunError
from keras_listen.output.files import (
    Clock,
    csv_text,
    replace_folder,
    replacing,
    require_empty,
    sha256,
)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(*, fail: bool) -> None:
        with replacing(path) as beside:
            beside.write_text("new")
            if fail:
                raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write(fail=True)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]
    write(fail=False)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_what_cannot_be_written_is_a_run_error_that_names_the_file(tmp_path):
    path = tmp_path / "missing" / "a.txt"
    with pytest.raises(RunError) as caught, replacing(path) as beside:
        beside.write_text("new")
    assert str(caught.value) == f"cannot write {path}: No such file or directory"


def test_a_folder_takes_the_place_of_another(tmp_path):
    for name in ("fresh", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "fresh", tmp_path / "target")
    assert names(tmp_path) == ["target"]
    assert names(tmp_path / "target") == ["fresh"]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        replace_folder(tmp_path / "target", tmp_path / "file")


def test_an_output_folder_must_be_new_or_empty(tmp_path):
    assert require_empty(tmp_path / "new") == tmp_path / "new"
    assert require_empty(tmp_path) == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"is not empty; add --resume, or name another folder with"):
        require_empty(tmp_path, "add --resume, or ")
    with pytest.raises(RunError, match=r"file is a file; name another folder with --out$"):
        require_empty(tmp_path / "file")


def test_csv_has_the_columns_that_are_asked_for_in_their_order():
    rows = [{"b": 1, "a": "x,y"}, {"b": 2, "a": ""}]
    assert csv_text(rows) == 'b,a\n1,"x,y"\n2,\n'
    assert csv_text([], ["a", "b"]) == "a,b\n"


def test_times_of_a_stage_add_up_over_calls(tmp_path):
    (tmp_path / "timing.json").write_text('{"ascent": 10.0, "vocoder": 1.0}')
    with Clock(tmp_path).timed("ascent"):
        pass
    written = json.loads((tmp_path / "timing.json").read_text())
    assert written["ascent"] >= 10.0
    assert written["vocoder"] == 1.0
    (tmp_path / "timing.json").write_text("{")
    with pytest.raises(RunError, match=r"timing\.json is damaged .*; delete it$"):
        Clock(tmp_path)


def test_the_checksum_of_a_folder_tells_names_places_and_contents(tmp_path):
    def folder(name: str, **files: str):
        for path, text in files.items():
            place = tmp_path / name / path.replace("__", "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path / name

    # As `sha256sum` lists the files, sorted by their paths.
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    listed = f"{empty}  a\n{empty}  b/c\n"
    found = sha256(folder("one", b__c="", a=""))
    assert found == hashlib.sha256(listed.encode()).hexdigest()
    assert found == sha256(folder("same", a="", b__c=""))
    others = {"text": {"a": "x", "b__c": ""}, "place": {"a": "", "c": ""}, "less": {"a": ""}}
    assert len({found, *(sha256(folder(name, **files)) for name, files in others.items())}) == 4
