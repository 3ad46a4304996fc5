"""Words, speakers and splits of a Speech Commands style tree."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from keras_listen.data.corpus import read_corpus, speaker_of, split_by_hash
from keras_listen.errors import CorpusError

#: Speakers and their splits from the official lists, which were made by the hash rule.
OFFICIAL = {
    "099d52ad": "validation",
    "471a0925": "validation",
    "1657c9fa": "validation",
    "0c40e715": "testing",
    "022cd682": "testing",
    "105a0eea": "testing",
    "eb67fcbc": "training",
    "a996cf66": "training",
    "74551073": "training",
}


def official_split(file_name: str, validation: float, testing: float) -> str:
    """Choose a split as the speech_commands example of TensorFlow describes it."""
    largest = 2**27 - 1
    name = re.sub(r"_nohash_.*$", "", os.path.basename(file_name))
    hashed = hashlib.sha1(name.encode("utf-8")).hexdigest()
    percentage = (int(hashed, 16) % (largest + 1)) * (100.0 / largest)
    if percentage < validation:
        return "validation"
    if percentage < testing + validation:
        return "testing"
    return "training"


def make_tree(root: Path, names: list[str]) -> Path:
    """Make empty files; nothing in a corpus is opened before its features are extracted."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_lists_decide_the_splits(tiny_corpus):
    utterances = read_corpus(tiny_corpus).utterances
    assert Counter(u.split for u in utterances) == {"training": 45, "validation": 9, "testing": 18}
    for split in ("validation", "testing"):
        listed = (tiny_corpus / f"{split}_list.txt").read_text().split()
        assert {u.file for u in utterances if u.split == split} == set(listed)


def test_background_recordings_are_no_word(tiny_corpus):
    corpus = read_corpus(tiny_corpus)
    assert corpus.words == ("down", "stop", "up")
    assert [path.name for path in corpus.noise] == ["hiss.wav", "rumble.wav"]


def test_words_and_utterances_are_sorted(tmp_path):
    names = ["yes/b_nohash_0.wav", "no/a_nohash_1.wav", "no/a_nohash_0.wav", "bed/c_nohash_0.wav"]
    corpus = read_corpus(make_tree(tmp_path, names))
    assert corpus.words == ("bed", "no", "yes")
    assert [utterance.file for utterance in corpus.utterances] == sorted(names)


def test_a_listed_wav_is_found_in_another_format(tmp_path):
    make_tree(tmp_path, ["no/a_nohash_0.flac", "yes/a_nohash_0.flac", "yes/b_nohash_0.FLAC"])
    (tmp_path / "testing_list.txt").write_text("no/a_nohash_0.wav\r\n\r\nyes/a_nohash_0.wav\r\n")
    splits = {u.file: u.split for u in read_corpus(tmp_path).utterances}
    assert splits == {
        "no/a_nohash_0.flac": "testing",
        "yes/a_nohash_0.flac": "testing",
        "yes/b_nohash_0.FLAC": "training",
    }


@pytest.mark.parametrize(("speaker", "split"), OFFICIAL.items())
def test_the_hash_rule_gives_the_official_splits(speaker, split):
    assert split_by_hash(speaker) == split


@pytest.mark.parametrize(("validation", "testing"), [(10, 10), (25, 5), (0, 50)])
def test_the_hash_rule_is_the_official_algorithm(validation, testing):
    for number in range(500):
        name = f"{number * 2654435761 % 2**32:08x}"
        expected = official_split(f"yes/{name}_nohash_3.wav", validation, testing)
        assert split_by_hash(name, validation=validation, testing=testing) == expected


def test_without_lists_the_speakers_hash_decides(tmp_path):
    takes = [f"{speaker}_nohash_{take}.wav" for speaker in OFFICIAL for take in range(3)]
    make_tree(tmp_path, [f"{word}/{take}" for word in ("no", "yes") for take in takes])
    utterances = read_corpus(tmp_path).utterances
    assert len(utterances) == 6 * len(OFFICIAL)
    assert {(u.speaker, u.split) for u in utterances} == set(OFFICIAL.items())


def test_speaker_is_what_stands_before_nohash():
    assert speaker_of("0a7c2a8d_nohash_12.wav") == "0a7c2a8d"
    assert speaker_of("someone.flac") == "someone"


def test_folders_that_are_no_words_are_left_out(tmp_path):
    names = ["no/a.wav", "yes/b.mp3", "_other_/c.wav", ".git/d.wav", "notes/readme.txt"]
    corpus = read_corpus(make_tree(tmp_path, names))
    assert corpus.words == ("no", "yes")
    assert corpus.noise == ()


def test_only_wanted_words_are_read(tiny_corpus):
    corpus = read_corpus(tiny_corpus, words=["up", "down"])
    assert corpus.words == ("down", "up")
    assert {u.file.partition("/")[0] for u in corpus.utterances} == {"down", "up"}


def test_rare_words_are_left_out(tmp_path):
    names = [
        f"{word}/{i}.wav"
        for word, count in zip("abc", (3, 2, 4), strict=True)
        for i in range(count)
    ]
    make_tree(tmp_path, names)
    assert read_corpus(tmp_path, min_utterances=2).words == ("a", "b", "c")
    assert read_corpus(tmp_path, min_utterances=3).words == ("a", "c")
    with pytest.raises(CorpusError) as caught:
        read_corpus(tmp_path, min_utterances=4)
    message = str(caught.value)
    assert "leaves 1 word(s) after the selection, a classifier needs at least 2" in message
    assert message.endswith("the largest are c (4), a (3), b (2)")


def test_a_wrong_path_is_named(tmp_path):
    with pytest.raises(CorpusError, match="nowhere does not exist; expected a folder"):
        read_corpus(tmp_path / "nowhere")


def test_a_file_is_no_corpus(tmp_path):
    (tmp_path / "corpus.tar").touch()
    with pytest.raises(CorpusError, match=r"corpus\.tar is a file; expected a folder"):
        read_corpus(tmp_path / "corpus.tar")


def test_an_empty_corpus_says_what_was_expected(tmp_path):
    make_tree(tmp_path, ["yes/readme.txt", "stray.wav"])
    with pytest.raises(CorpusError, match=r"no sound in any word's folder.*_nohash_<n>.*\.wav"):
        read_corpus(tmp_path)


def test_one_word_is_too_few(tmp_path):
    make_tree(tmp_path, ["yes/a.wav", "yes/b.wav"])
    with pytest.raises(CorpusError, match=r"leaves 1 word\(s\).*the largest are yes \(2\)"):
        read_corpus(tmp_path)


def test_an_unknown_word_gets_its_nearest_match(tiny_corpus):
    with pytest.raises(CorpusError, match=r"'dwn'; did you mean 'down'\? known: down, stop, up"):
        read_corpus(tiny_corpus, words=["up", "dwn"])


def test_a_list_that_is_no_text_is_named(tmp_path):
    make_tree(tmp_path, ["no/a.wav", "yes/b.wav"])
    (tmp_path / "testing_list.txt").write_bytes(b"yes/\xff\xfe.wav\n")
    with pytest.raises(CorpusError, match=r"testing_list\.txt"):
        read_corpus(tmp_path)


def test_real_speech_has_all_words_and_the_lists_splits(real_speech):
    corpus = read_corpus(real_speech)
    counts = defaultdict(int)
    splits_of = defaultdict(set)
    for utterance in corpus.utterances:
        counts[utterance.split] += 1
        splits_of[utterance.speaker].add(utterance.split)
    assert len(corpus.words) == 35
    assert len(corpus.noise) == 6
    assert (counts["validation"], counts["testing"]) == (846, 1124)
    assert sum(counts.values()) == len(list(real_speech.glob("*/*_nohash_*"))) > 9000
    assert all(len(splits) == 1 for splits in splits_of.values())
