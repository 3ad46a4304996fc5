"""Words, speakers and splits of a Speech Commands style tree."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from keras_listen.data.corpus import read_corpus, speaker_of, split_by_hash
from keras_listen.errors import CorpusError, ParameterError

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


LISTED = {
    "plain": lambda line: line,
    "CR": lambda line: line + "\r",
    "backslashes": lambda line: line.replace("/", "\\"),
    "dot": lambda line: f"./{line}",
    "folder in front": lambda line: f"speech_commands_v0.02/{line}",
    "Windows path": lambda line: "C:\\data\\" + line.replace("/", "\\"),
    "no suffix": lambda line: line.removesuffix(".wav"),
    "quotes": lambda line: f'"{line}"',
}


def listed_tree(root: Path, change=lambda line: line, encoding: str = "utf-8") -> Path:
    """Make 2 words of 4 speakers; b is for validation, c for testing."""
    names = [f"{word}/{s}_nohash_0.wav" for word in ("für", "yes") for s in "abcd"]
    make_tree(root, [unicodedata.normalize("NFD", name) for name in names])
    for split, speaker in (("validation", "b"), ("testing", "c")):
        lines = [change(name) for name in names if f"/{speaker}_" in name]
        (root / f"{split}_list.txt").write_bytes("\n".join(lines).encode(encoding))
    return root


def splits_of(root: Path, **settings) -> dict[str, str]:
    return {u.speaker: u.split for u in read_corpus(root, **settings).utterances}


EXPECTED_SPLITS = {"a": "training", "b": "validation", "c": "testing", "d": "training"}


@pytest.mark.parametrize("change", LISTED.values(), ids=LISTED)
def test_lists_of_other_systems_give_the_same_splits(tmp_path, change):
    root = listed_tree(tmp_path, change)
    assert splits_of(root) == EXPECTED_SPLITS
    assert splits_of(root, words=["für", "yes"]) == EXPECTED_SPLITS
    assert read_corpus(root).words == ("für", "yes")
    assert read_corpus(root).notes == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_may_have_a_byte_order_mark(tmp_path, encoding):
    assert splits_of(listed_tree(tmp_path, encoding=encoding)) == EXPECTED_SPLITS


def test_a_list_of_which_no_line_names_a_file_is_an_error(tmp_path):
    root = listed_tree(tmp_path)
    (root / "testing_list.txt").write_text("other/c_nohash_0.wav\nother/d_nohash_0.wav\n")
    with pytest.raises(CorpusError) as caught:
        read_corpus(root)
    message = str(caught.value)
    assert f"no line of {root / 'testing_list.txt'} names a file" in message
    assert "the first is 'other/c_nohash_0.wav'" in message
    assert "there is, for instance, für/a_nohash_0.wav; mend the list, or remove it" in message
    # The remedies: a line as the message shows it, or no list.
    (root / "testing_list.txt").write_text("für/a_nohash_0.wav\n", encoding="utf-8")
    assert {u.file for u in read_corpus(root).utterances if u.split == "testing"} == {
        unicodedata.normalize("NFD", "für/a_nohash_0.wav")
    }
    for name in ("testing", "validation"):
        (root / f"{name}_list.txt").unlink()
    assert splits_of(root) == {speaker: split_by_hash(speaker) for speaker in "abcd"}


def test_lines_that_name_no_file_are_counted(tmp_path):
    root = listed_tree(tmp_path)
    with open(root / "testing_list.txt", "a") as file:
        file.write("\nyes/gone_nohash_0.wav\n")
    assert splits_of(root) == EXPECTED_SPLITS
    (note,) = read_corpus(root).notes
    assert note.startswith("1 of 3 lines of ")
    assert note.endswith("testing_list.txt name no file; the first: yes/gone_nohash_0.wav")


def test_names_that_begin_with_a_dot_are_left_alone(tmp_path):
    names = [f"{word}/{mac}{take}.wav" for word in "ab" for mac in ("", "._") for take in "12"]
    make_tree(tmp_path, [*names, "_background_noise_/x.wav", "_background_noise_/._x.wav"])
    corpus = read_corpus(tmp_path)
    assert [u.file for u in corpus.utterances] == ["a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav"]
    assert [path.name for path in corpus.noise] == ["x.wav"]


def test_what_is_left_out_is_counted(tmp_path):
    names = [f"{word}/{folder}x.aiff" for word in ("no", "yes") for folder in ("", "anna/", "ben/")]
    more = ["yes/y.m4a", "no/y.m4a", "no/read.txt", "loose.wav", "_other_/z.wav"]
    corpus = read_corpus(make_tree(tmp_path, [*names, *more]))
    assert [(u.file, u.speaker) for u in corpus.utterances[:3]] == [
        ("no/anna/x.aiff", "anna"),
        ("no/ben/x.aiff", "ben"),
        ("no/x.aiff", "x"),
    ]
    assert len(corpus.utterances) == 6
    assert corpus.notes[:3] == (
        "4 recordings are in folders within words (no/anna, no/ben, ...); such a folder is a "
        "speaker where file names tell none",
        "2 recordings outside of words' folders were left alone (_other_/z.wav, loose.wav)",
        "3 files that are no .wav, .flac, .ogg, .mp3, .aiff, .aif were left alone (2 .m4a, 1 .txt);"
        " convert sound to .wav first, for instance ffmpeg -i x.m4a x.wav",
    )


def test_kaggles_words_are_pointed_at_and_its_lists_are_read(tmp_path):
    root = listed_tree(tmp_path / "train" / "audio")
    for name in ("testing_list.txt", "validation_list.txt"):
        (root / name).rename(root.parent / name)
    for given in (root.parent, root.parent.parent):
        with pytest.raises(CorpusError, match=f"give that folder: keras-listen prepare {root} ST"):
            read_corpus(given)
    assert splits_of(root) == EXPECTED_SPLITS


def test_digits_without_folders_are_read(tmp_path):
    flat = tmp_path / "fsdd" / "recordings"
    make_tree(flat, ["7_jackson_32.wav", "7_theo_1.wav", "3_theo_1.wav", "notes.wav"])
    with pytest.raises(CorpusError, match=f"give that folder: keras-listen prepare {flat} STORE"):
        read_corpus(tmp_path / "fsdd")
    corpus = read_corpus(flat)
    assert [(u.file, u.word, u.speaker) for u in corpus.utterances] == [
        ("3_theo_1.wav", "3", "theo"),
        ("7_jackson_32.wav", "7", "jackson"),
        ("7_theo_1.wav", "7", "theo"),
    ]
    assert "1 recordings outside of words' folders were left alone (notes.wav)" in corpus.notes


def test_folders_of_splits_are_no_words(tmp_path):
    make_tree(tmp_path, ["train/yes/a.wav", "train/no/a.wav", "test/yes/b.wav", "test/no/b.wav"])
    with pytest.raises(CorpusError, match=r"the folders test, train of the corpus .* like splits"):
        read_corpus(tmp_path)
    # The remedy.
    for take in "ab":
        for word in ("yes", "no"):
            make_tree(tmp_path / "mended", [f"{word}/{take}.wav"])
    (tmp_path / "mended" / "testing_list.txt").write_text("yes/b.wav\nno/b.wav\n")
    assert splits_of(tmp_path / "mended") == {"a": "training", "b": "testing"}


def test_speakers_are_found_in_digits_names_and_by_a_pattern(tmp_path):
    voices = ("jackson", "theo")
    make_tree(tmp_path, [f"{d}/{d}_{voices[n % 2]}_{n}.wav" for d in "012" for n in range(9)])
    assert {u.speaker for u in read_corpus(tmp_path).utterances} == set(voices)
    for pattern in ("_([a-z]+)_", "(?P<speaker>theo|jackson)", "theo|jackson"):
        found = read_corpus(tmp_path, speaker_pattern=pattern).utterances
        assert {u.speaker for u in found} == set(voices), pattern
        assert all(u.speaker in u.file for u in found)
    with pytest.raises(ParameterError, match=r"'\[' is no regular expression"):
        read_corpus(tmp_path, speaker_pattern="[")
    with pytest.raises(ParameterError, match="finds a speaker in no file, for instance not in"):
        read_corpus(tmp_path, speaker_pattern="_nohash_")


def test_names_that_tell_no_speaker_are_said(tmp_path):
    make_tree(tmp_path, [f"{word}/anna-{n}.wav" for word in ("no", "yes") for n in range(50)])
    note, *_ = read_corpus(tmp_path).notes
    assert note.startswith("no file name has _nohash_ in it: each recording counts as a speaker of")
    assert note.endswith("--speaker-pattern finds speakers in other names")
    # The remedy.
    corpus = read_corpus(tmp_path, speaker_pattern="([a-z]+)-")
    assert {u.speaker for u in corpus.utterances} == {"anna"}


def test_few_speakers_are_said_and_utterances_can_be_split(tmp_path):
    people = ("alice", "bob", "carol")
    names = [f"{w}/{who}_nohash_{n}.wav" for w in ("no", "yes") for who in people for n in range(7)]
    make_tree(tmp_path, names)
    (note,) = read_corpus(tmp_path).notes
    assert note == (
        f"the corpus {tmp_path} has no validation and no testing utterance, because all 3 speakers "
        "are in training, by the hash of their names; prepare it with --split-by-utterance, or "
        "name files in validation_list.txt and testing_list.txt beside the words' folders"
    )
    # One remedy.
    corpus = read_corpus(tmp_path, split_by_utterance=True)
    assert corpus.notes == ()
    for word in corpus.words:
        counts = Counter(u.split for u in corpus.utterances if u.word == word)
        assert counts == {"training": 17, "validation": 2, "testing": 2}
    # The other.
    for split, who in (("validation", "bob"), ("testing", "carol")):
        lines = [name for name in names if who in name]
        (tmp_path / f"{split}_list.txt").write_text("\n".join(lines))
    assert read_corpus(tmp_path).notes == ()
    assert splits_of(tmp_path) == {"alice": "training", "bob": "validation", "carol": "testing"}
    with pytest.raises(CorpusError, match=r"validation_list\.txt says which files are for which"):
        read_corpus(tmp_path, split_by_utterance=True)
