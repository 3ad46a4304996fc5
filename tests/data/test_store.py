"""From a corpus to a store and back, with damaged files and killed processes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import watched

from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.data.readers import soundfile_reader
from keras_listen.data.store import Store
from keras_listen.errors import CorpusError, ParameterError, RunError
from keras_listen.features import FeatureSpec, extract, extract_fitted

RATE = 16000


@pytest.fixture
def corpus_copy(tiny_corpus, tmp_path) -> Path:
    """A copy of the tiny corpus that a test may change."""
    return Path(shutil.copytree(tiny_corpus, tmp_path / "corpus"))


@pytest.fixture
def store_copy(tiny_store, tmp_path) -> Path:
    """A copy of the tiny store that a test may damage."""
    return Path(shutil.copytree(tiny_store.root, tmp_path / "damaged"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def samples_at(path: Path, rate: int) -> np.ndarray:
    [(_, samples)] = soundfile_reader(None)([path], rate)
    return samples


def test_features_are_those_of_direct_extraction(tiny_store, tiny_corpus):
    spec = tiny_store.spec
    assert len(tiny_store.utterances) == 72
    for i in range(0, 72, 7):
        utterance = tiny_store.utterances[i]
        y = samples_at(tiny_corpus / utterance.file, spec.sample_rate)
        stored = tiny_store.batch(np.array([i]))[0, :, :, 0]
        np.testing.assert_array_equal(stored, extract_fitted(y, spec))
        assert tiny_store.words[tiny_store.labels[i]] == utterance.file.partition("/")[0]


def test_noise_is_kept_at_full_length(tiny_store, tiny_corpus):
    paths = sorted((tiny_corpus / "_background_noise_").iterdir())
    parts = [extract(samples_at(path, 22050), tiny_store.spec) for path in paths]
    assert min(map(len, parts)) > tiny_store.spec.frames
    np.testing.assert_array_equal(tiny_store.noise, np.concatenate(parts))


def test_splits_and_counts_are_those_of_the_corpus(tiny_store, tiny_corpus):
    assert tiny_store.counts() == {"training": 45, "validation": 9, "testing": 18}
    listed = (tiny_corpus / "testing_list.txt").read_text().split()
    found = [tiny_store.utterances[i].file for i in tiny_store.split("testing")]
    assert sorted(found) == sorted(listed)


def test_several_processes_write_the_same_bytes(tiny_store, tiny_corpus, tmp_path):
    prepare(read_corpus(tiny_corpus), tmp_path / "store", workers=2)
    assert contents(tmp_path / "store") == contents(tiny_store.root)


def test_real_speech_is_stored_as_extracted(real_speech, tmp_path):
    for word in ("follow", "visual"):
        shutil.copytree(real_speech / word, tmp_path / "corpus" / word)
    made = prepare(read_corpus(tmp_path / "corpus"), tmp_path / "store", workers=1)
    assert made.skipped == ()
    for i, utterance in enumerate(made.store.utterances):
        y = samples_at(tmp_path / "corpus" / utterance.file, 22050)
        stored = made.store.batch(np.array([i]))[0, :, :, 0]
        np.testing.assert_array_equal(stored, extract_fitted(y, made.store.spec))


def test_unusable_files_are_skipped_with_reasons(corpus_copy, tmp_path):
    whole = (corpus_copy / "up" / "1a000001_nohash_0.wav").read_bytes()
    (corpus_copy / "up" / "bad_nohash_empty.wav").touch()
    (corpus_copy / "up" / "bad_nohash_text.wav").write_text("this is no sound")
    (corpus_copy / "up" / "bad_nohash_header.wav").write_bytes(whole[:44])
    soundfile.write(corpus_copy / "up" / "bad_nohash_silent.wav", np.zeros(RATE), RATE)
    (corpus_copy / "down" / "bad_nohash_folder.wav").mkdir()
    (corpus_copy / "_background_noise_" / "broken.wav").write_text("no noise")

    made = prepare(read_corpus(corpus_copy), tmp_path / "store", workers=1)

    reasons = dict(made.skipped)
    expected = {
        "up/bad_nohash_empty.wav": "the file is empty",
        "up/bad_nohash_text.wav": "cannot be read as sound",
        "up/bad_nohash_header.wav": "no samples",
        "up/bad_nohash_silent.wav": "silent",
        "down/bad_nohash_folder.wav": "it is a folder",
        "_background_noise_/broken.wav": "cannot be read as sound",
    }
    assert {file: expected.get(file, "") in why for file, why in reasons.items()} == dict.fromkeys(
        expected, True
    )
    with open(made.store.root / "skipped.csv", newline="", encoding="utf-8") as file:
        assert {line["file"]: line["reason"] for line in csv.DictReader(file)} == reasons
    assert len(made.store.utterances) == 72
    # Rows of skipped files stay in the array; the index leads past them.
    assert made.store.batch(np.arange(72)).max(axis=(1, 2, 3)).min() > 0


def test_a_wav_that_was_cut_short_is_skipped(corpus_copy, tmp_path):
    """libsndfile reads what is left of it without a word: half a word would be trained on."""
    path = corpus_copy / "up" / "1a000001_nohash_0.wav"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    made = prepare(read_corpus(corpus_copy), tmp_path / "store", workers=1)
    [(file, reason)] = made.skipped
    assert file == "up/1a000001_nohash_0.wav"
    assert "cut short" in reason


def test_a_link_to_nowhere_is_skipped(corpus_copy, tmp_path):
    (corpus_copy / "down" / "bad_nohash_gone.wav").symlink_to("nowhere.wav")
    made = prepare(read_corpus(corpus_copy), tmp_path / "store", workers=1)
    [(file, reason)] = made.skipped
    assert file == "down/bad_nohash_gone.wav"
    assert "there is no such file" in reason


def test_stereo_is_mixed_down(sound, tmp_path):
    left, right = sound("up", 1), sound("down", 2)
    for word in ("a", "b"):
        (tmp_path / "corpus" / word).mkdir(parents=True)
        soundfile.write(
            tmp_path / "corpus" / word / "x.wav",
            np.stack([left, right], axis=1),
            RATE,
            subtype="FLOAT",
        )
    spec = FeatureSpec(sample_rate=RATE)
    store = prepare(
        read_corpus(tmp_path / "corpus"), tmp_path / "store", spec=spec, workers=1
    ).store
    expected = extract_fitted((left + right) / 2, spec)
    np.testing.assert_allclose(store.batch(np.array([0]))[0, :, :, 0], expected, atol=1e-4)


def test_too_few_usable_words_are_explained(sound, tmp_path):
    for word in ("a", "b"):
        (tmp_path / "corpus" / word).mkdir(parents=True)
        (tmp_path / "corpus" / word / "x.wav").touch()
    soundfile.write(tmp_path / "corpus" / "a" / "x.wav", sound("up", 1), RATE)
    with pytest.raises(CorpusError) as caught:
        prepare(read_corpus(tmp_path / "corpus"), tmp_path / "store", workers=1)
    message = str(caught.value)
    assert "1 of 2 files" in message
    assert "a classifier needs at least 2; the first: " in message
    assert "the file is empty" in message
    assert not (tmp_path / "store").exists()


KILLED = """
import sys, time
from contextlib import contextmanager
from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare

@contextmanager
def stop_after_the_first_chunk(**about):
    done = 0

    def advance(count):
        nonlocal done
        done += count
        if done >= 40:
            print("working", flush=True)
            time.sleep(600)

    yield advance

prepare(read_corpus(sys.argv[1]), sys.argv[2], workers=1, track=stop_after_the_first_chunk)
"""


def test_a_killed_preparation_goes_on_where_it_was(tiny_store, corpus_copy, tmp_path):
    # The copy keeps sizes and times, so that it is the same corpus to the program.
    target, work = tmp_path / "store", tmp_path / "store.partial"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(corpus_copy), str(target)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "working\n"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert not target.exists()
    # What a kill in the middle of the next chunk leaves behind.
    with open(work / "features.npy", "ab") as file:
        file.write(b"half a row")
    with open(work / "done.jsonl", "a") as file:
        file.write('{"done": 7')
    corpus = read_corpus(corpus_copy)
    done = json.loads((work / "done.jsonl").read_text().splitlines()[0])["done"]
    assert 40 <= done < 72
    for utterance in corpus.utterances[:done]:
        destroy_unnoticed(corpus_copy / utterance.file)

    made = prepare(corpus, target, workers=1)

    assert made.resumed == done
    assert not work.exists()
    assert contents(target) == contents(tiny_store.root) | same_name(target, tiny_store.root)


def destroy_unnoticed(path: Path) -> None:
    """Replace a file by zeros of its size and time; reading it again would show."""
    about = path.stat()
    path.write_bytes(bytes(about.st_size))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def same_name(target: Path, other: Path) -> dict[str, bytes]:
    """Return `store.json` of `other` with the name of the corpus that `target` was made from."""
    about = json.loads((other / "store.json").read_text())
    about["corpus"] = json.loads((target / "store.json").read_text())["corpus"]
    return {"store.json": (json.dumps(about, indent=2) + "\n").encode()}


def test_an_interrupted_preparation_of_another_plan_is_dropped(tiny_corpus, tmp_path):
    class StopError(Exception):
        pass

    def stop(done, **about):
        raise StopError

    corpus = read_corpus(tiny_corpus)
    with pytest.raises(StopError):
        prepare(corpus, tmp_path / "store", workers=1, track=watched(stop))
    spec = FeatureSpec(n_mels=40)
    made = prepare(corpus, tmp_path / "store", spec=spec, workers=1)
    assert made.resumed == 0
    assert made.store.features.shape == (72, 90, 40)
    y = samples_at(tiny_corpus / made.store.utterances[0].file, 22050)
    np.testing.assert_array_equal(made.store.features[0], extract_fitted(y, spec))


def test_progress_counts_every_utterance(tiny_corpus, tmp_path):
    seen = []

    def count(done, *, total, label, unit):
        seen.append((total, unit, done))

    prepare(read_corpus(tiny_corpus), tmp_path / "store", workers=1, track=watched(count))
    assert {about[:2] for about in seen} == {(72, "utterance")}
    counts = [done for _, _, done in seen]
    assert counts == sorted(set(counts))
    assert counts[-1] == 72


def test_a_complete_store_is_recognised(tiny_store, tiny_corpus):
    before = {path: path.stat().st_mtime_ns for path in tiny_store.root.iterdir()}
    made = prepare(read_corpus(tiny_corpus), tiny_store.root, workers=1)
    assert made.resumed == 72
    assert made.store.utterances == tiny_store.utterances
    assert {path: path.stat().st_mtime_ns for path in tiny_store.root.iterdir()} == before


@pytest.mark.parametrize("change", ["spec", "words", "touched file"])
def test_a_store_of_another_plan_is_refused(store_copy, corpus_copy, change):
    corpus, spec = read_corpus(corpus_copy), FeatureSpec()
    if change == "spec":
        spec = FeatureSpec(n_mels=40)
    elif change == "words":
        corpus = read_corpus(corpus_copy, words=["up", "down"])
    else:
        os.utime(corpus_copy / corpus.utterances[0].file)
    before = contents(store_copy)
    with pytest.raises(RunError, match="damaged already holds something else; remove it"):
        prepare(corpus, store_copy, spec=spec, workers=1)
    assert contents(store_copy) == before


@pytest.mark.parametrize("content", ["not json", "[]", "{}"])
def test_a_folder_of_something_else_is_refused(tiny_corpus, tmp_path, content):
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(RunError, match="already holds something else"):
        prepare(read_corpus(tiny_corpus), tmp_path, workers=1)
    assert (tmp_path / "store.json").read_text() == content


def test_a_finished_store_without_its_skipped_files_is_explained(store_copy, tiny_corpus):
    (store_copy / "skipped.csv").unlink()
    with pytest.raises((CorpusError, RunError), match="damaged"):
        prepare(read_corpus(tiny_corpus), store_copy, workers=1)


def test_an_empty_folder_is_filled(tiny_corpus, tmp_path, monkeypatch):
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path)
    corpus = read_corpus(tiny_corpus, words=["up", "down"])
    assert len(prepare(corpus, "store", workers=1).store.utterances) == 48


def test_a_target_that_cannot_be_written_is_named(tiny_corpus, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot make the folder .*file/store\.partial"):
        prepare(read_corpus(tiny_corpus), tmp_path / "file" / "store", workers=1)


def test_an_unknown_reader_gets_its_nearest_match(tiny_corpus, tmp_path):
    with pytest.raises(ParameterError, match="no reader is called 'sndfile'; did you mean 'soundf"):
        prepare(read_corpus(tiny_corpus), tmp_path / "store", reader="sndfile", workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_store_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="is no store; make one with: keras-listen prepare"):
        Store.open(tmp_path)


def test_a_store_of_another_version_is_refused(store_copy):
    about = json.loads((store_copy / "store.json").read_text())
    (store_copy / "store.json").write_text(json.dumps(about | {"schema": 99}))
    with pytest.raises(CorpusError, match="has version 99, this program reads 1; prepare it again"):
        Store.open(store_copy)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def drop_field(path: Path, name: str) -> None:
    about = json.loads(path.read_text())
    del about[name]
    path.write_text(json.dumps(about))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda root: cut(root / "store.json", 100), id="half a description"),
        pytest.param(lambda root: drop_field(root / "store.json", "spec"), id="no spec"),
        pytest.param(lambda root: drop_field(root / "store.json", "words"), id="no words"),
        pytest.param(lambda root: drop_field(root / "store.json", "schema"), id="no schema"),
        pytest.param(lambda root: (root / "store.json").write_text("[]"), id="a list"),
        pytest.param(lambda root: (root / "index.csv").unlink(), id="no index"),
        pytest.param(lambda root: cut(root / "index.csv", 1000), id="half an index"),
        pytest.param(lambda root: (root / "index.csv").write_text("a,b\n1,2\n"), id="other index"),
    ],
)
def test_a_damaged_store_is_refused(store_copy, damage):
    damage(store_copy)
    with pytest.raises(CorpusError, match=r"the store .*damaged is damaged .*; prepare it again"):
        Store.open(store_copy)


@pytest.mark.parametrize("name", ["features.npy", "noise.npy"])
@pytest.mark.parametrize("size", [None, 0, 60, 20000])
def test_damaged_arrays_are_refused(store_copy, name, size):
    if size is None:
        (store_copy / name).unlink()
    else:
        cut(store_copy / name, size)
    store = Store.open(store_copy)
    with pytest.raises(CorpusError, match=rf"{name} is damaged .*; prepare the store again"):
        getattr(store, name.partition(".")[0])


def test_an_index_of_rows_that_are_not_there_is_refused(store_copy):
    path = store_copy / "index.csv"
    text = path.read_text(encoding="utf-8")
    heading, first, rest = text.split("\n", 2)
    place = heading.split(",").index("row")
    cells = first.split(",")
    cells[place] = "999"
    path.write_text("\n".join([heading, ",".join(cells), rest]), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"names row 999, and features.npy has \d+ rows; prepare"):
        _ = Store.open(store_copy).features


def test_pickled_arrays_are_never_opened(store_copy):
    np.save(store_copy / "features.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(CorpusError, match=r"features\.npy is damaged"):
        _ = Store.open(store_copy).features


def test_all_stands_for_the_utterances_of_every_split(tiny_store):
    every = tiny_store.split("all")
    assert every.dtype == np.int64
    assert every.tolist() == list(range(len(tiny_store.utterances)))
    parts = [tiny_store.split(name) for name in ("training", "validation", "testing")]
    assert sorted(np.concatenate(parts)) == every.tolist()


def test_an_unknown_split_is_refused_with_the_nearest(tiny_store):
    with pytest.raises(ParameterError, match="no split is called 'test'; did you mean 'testing'"):
        tiny_store.split("test")


def test_an_empty_split_is_named(tmp_path, tiny_corpus):
    shutil.copytree(tiny_corpus, tmp_path / "corpus")
    (tmp_path / "corpus" / "testing_list.txt").write_text("")
    store = prepare(read_corpus(tmp_path / "corpus"), tmp_path / "store", workers=1).store
    assert len(store.split("training")) == 63
    with pytest.raises(CorpusError) as caught:
        store.split("testing")
    assert str(caught.value) == (
        f"the store {store.root} has no testing utterance, because all 8 speakers are in training "
        "and validation; prepare it with --split-by-utterance, or name files in "
        "validation_list.txt and testing_list.txt beside the words' folders"
    )
    # The first remedy; the second is what lists are for.
    for name in ("testing", "validation"):
        (tmp_path / "corpus" / f"{name}_list.txt").unlink()
    corpus = read_corpus(tmp_path / "corpus", split_by_utterance=True)
    store = prepare(corpus, tmp_path / "again", workers=1).store
    # Of 24 utterances of each of three words.
    assert store.counts() == {"training": 60, "validation": 6, "testing": 6}


def test_recordings_longer_than_a_feature_are_counted(tmp_path, sound):
    for word in ("down", "up"):
        (tmp_path / "corpus" / word).mkdir(parents=True)
        for number, before in enumerate((0, 16000)):
            y = np.concatenate([np.zeros(before), sound(word, number)])
            soundfile.write(tmp_path / "corpus" / word / f"a_nohash_{number}.aiff", y, 16000)
    corpus = read_corpus(tmp_path / "corpus")
    made = prepare(corpus, tmp_path / "store", workers=1)
    assert made.notes == (
        "2 of 4 recordings are longer than the 90 frames (1.01 s) of a feature: only their end is "
        'kept; longer = "loudest" in a file for prepare --spec keeps their loudest part',
    )
    assert Store.open(tmp_path / "store").longer == 2
    assert prepare(corpus, tmp_path / "store").notes == made.notes
    # The remedy.
    spec = FeatureSpec(longer="loudest")
    made = prepare(corpus, tmp_path / "loudest", spec=spec, workers=1)
    assert made.notes[0].endswith("of a feature: only their loudest part is kept")


def test_reasons_of_skipped_files_are_counted(corpus_copy, tmp_path):
    for name in ("1a000001_nohash_0", "1a000002_nohash_0"):
        (corpus_copy / "up" / f"{name}.wav").write_bytes(b"")
    (corpus_copy / "down" / "1a000001_nohash_0.wav").write_text("no sound at all")
    made = prepare(read_corpus(corpus_copy), tmp_path / "store", workers=1)
    (note,) = made.notes
    assert note.startswith("3 files skipped (2 cannot be read as sound: the file is empty; 1 ")
    assert note.endswith(f"all listed in {made.store.root}/skipped.csv")


def test_a_store_of_short_recordings_says_nothing_of_lengths(tiny_store):
    assert "longer" not in json.loads((tiny_store.root / "store.json").read_text())
