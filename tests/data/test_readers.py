"""Readers: what the samples are, whatever the file; and what is said of files that have none.

Bounds on closeness are the measured values with half as much again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from keras_listen.data import readers
from keras_listen.data.corpus import read_corpus
from keras_listen.data.prepare import prepare
from keras_listen.errors import ReadError, Unavailable
from keras_listen.features import FeatureSpec, extract_fitted
from keras_listen.plugins import default_registry
from keras_listen.testing import check_reader

RATE = 16000
SPEC = FeatureSpec()


def require_tfio() -> None:
    """Skip where tensorflow-io cannot work, unless the environment says that it must."""
    if reason := readers.tfio_unavailable():
        if os.environ.get("KERAS_LISTEN_REQUIRE_TFIO"):
            pytest.fail(f"KERAS_LISTEN_REQUIRE_TFIO is set, but {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="module", params=["soundfile", "tfio"])
def read(request):
    """Each of the readers."""
    if request.param == "tfio":
        require_tfio()
    return default_registry().create("reader", request.param)


@pytest.fixture(scope="module")
def tfio():
    """The reader by tensorflow-io."""
    require_tfio()
    return default_registry().create("reader", "tfio")


def one(read, path: Path, rate: int = RATE) -> np.ndarray | ReadError:
    [(same, samples)] = read([path], rate)
    assert same is path
    return samples


def tone(frequency: float, rate: int, length: int) -> np.ndarray:
    """Return a sine of half amplitude [shape=(length,)]."""
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(length) / rate)


def written(path: Path, y: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, y, rate, subtype=subtype)
    return path


def test_sixteen_bits_at_their_own_rate_are_exact(read, tmp_path):
    values = np.array([0, 1, -1, 2, 16384, 32767, -32768, -12345], np.int16)
    y = one(read, written(tmp_path / "a.wav", values))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, values / 32768)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        *(("wav", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")),
        *(("flac", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24")),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_width_has_one_scale_and_channels_are_averaged(
    read, suffix, subtype, channels, tmp_path
):
    mono = np.tile([0.5, -0.5, 0.25, 0.0, -1.0, 0.125], 50)
    y = np.stack([mono / (1 + channel) for channel in range(channels)], axis=1)
    path = written(tmp_path / f"a.{suffix}", y, subtype=subtype)
    stored, _ = soundfile.read(path, always_2d=True)
    np.testing.assert_allclose(one(read, path), stored.mean(axis=1), rtol=0, atol=1e-7)
    step = {"PCM_U8": 2**-7, "PCM_S8": 2**-7}.get(subtype, 2**-15)
    np.testing.assert_allclose(one(read, path), y.mean(axis=1), rtol=0, atol=step)


@pytest.mark.parametrize(
    ("suffix", "bound"), [("wav", 2**-15), ("flac", 2**-15), ("ogg", 0.02), ("mp3", 0.02)]
)
def test_every_format_holds_what_was_written(read, suffix, bound, tmp_path):
    expected = np.stack([tone(440, RATE, 12345), tone(1250, RATE, 12345)], axis=1)
    y = one(read, written(tmp_path / f"a.{suffix}", expected))
    assert y.shape == (12345,)
    assert np.sqrt(np.mean((y - expected.mean(axis=1)) ** 2)) <= bound


def test_the_format_is_that_of_the_content(read, tmp_path):
    path = written(tmp_path / "a.flac", tone(440, RATE, 2000)).rename(tmp_path / "b.wav")
    assert np.abs(one(read, path) - tone(440, RATE, 2000)).max() <= 2**-15


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *((source, 22050) for source in (8000, 11025, 16000, 44056, 44100, 48000)),
        *((22050, 16000), (16000, 8000), (96000, 8000)),
    ],
)
def test_resampling_keeps_place_pitch_and_level(read, source, target, tmp_path):
    path = written(tmp_path / "a.wav", tone(1000, source, source // 2 + 1), source, "FLOAT")
    y = one(read, path, target)
    assert y.shape == (-(-(source // 2 + 1) * target // source),)
    assert y.dtype == np.float32
    # Where the tone is cut off, it is anything but a tone.
    inner = slice(target // 20, -target // 20)
    np.testing.assert_allclose(y[inner], tone(1000, target, y.size)[inner], rtol=0, atol=1e-3)


@pytest.mark.parametrize("source", [8000, 16000, 44100, 48000, 44056])
@pytest.mark.parametrize("length", [1, 2, 7, 1000, 15999])
def test_resampled_length_is_rounded_up(read, source, length, tmp_path):
    path = written(tmp_path / "a.wav", np.full(length, 0.5), source)
    assert one(read, path, 22050).shape == (-(-length * 22050 // source),)


def cut(path: Path, share: float) -> Path:
    """Keep the first `share` of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


def frames_of(flac: bytes) -> list[int]:
    """Return where the frames of a flac of less than 128 blocks begin."""
    starts = []
    for number in range(128):
        # Sync code, fixed block size; then four fields and the number of the frame.
        found = flac.find(b"\xff\xf8", starts[-1] + 1 if starts else 0)
        while found >= 0 and flac[found + 4] != number:
            found = flac.find(b"\xff\xf8", found + 1)
        if found < 0:
            break
        starts.append(found)
    return starts


def noise(length: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, length)


BAD = {
    "missing.wav": lambda path: path,
    "empty.wav": lambda path: path.touch(),
    "empty.mp3": lambda path: path.touch(),
    "folder.wav": lambda path: path.mkdir(),
    "text.wav": lambda path: path.write_text("this is no sound\n" * 100),
    "text.flac": lambda path: path.write_text("this is no sound\n" * 100),
    "text.ogg": lambda path: path.write_text("this is no sound\n" * 100),
    "text.mp3": lambda path: path.write_text("this is no sound\n" * 100),
    "name.wav": lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt "),
    "name.flac": lambda path: path.write_bytes(b"fLaC\0\0"),
    "name.ogg": lambda path: path.write_bytes(b"OggS\0\2"),
    "name.mp3": lambda path: path.write_bytes(b"\xff\xfb\x90"),
    "silent.wav": lambda path: written(path, np.zeros(0)),
    "header.wav": lambda path: cut(written(path, noise(RATE)), 44 / 32044),
    "half.wav": lambda path: cut(written(path, noise(RATE)), 0.5),
    "half.flac": lambda path: cut(written(path, noise(RATE)), 0.5),
    "half.ogg": lambda path: cut(written(path, noise(RATE)), 0.5),
    "half.mp3": lambda path: cut(written(path, noise(RATE)), 0.5),
}
WHY = {
    "missing.wav": "there is no such file",
    "empty.wav": "the file is empty",
    "empty.mp3": "the file is empty",
    "folder.wav": "it is a folder",
    "text.wav": "Format not recognised",
    "text.mp3": "Format not recognised",
    "silent.wav": "the file holds no samples",
    "header.wav": "the file holds no samples",
    "half.wav": "the file is cut short, after 15978 of 32000 bytes of sound",
    "half.flac": "cut short",
    "half.mp3": "cut short",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_an_error_of_one_line(read, name, tmp_path):
    BAD[name](tmp_path / name)
    error = one(read, tmp_path / name, 22050)
    assert isinstance(error, ReadError)
    why = str(error).removeprefix(f"{tmp_path / name}: cannot be read as sound: ")
    assert why != str(error)
    assert WHY.get(name, "") in why
    assert 0 < len(why) < 150
    assert "\n" not in why
    assert "{{" not in why


def test_a_flac_cut_between_two_frames_is_an_error(read, tmp_path):
    whole = written(tmp_path / "whole.flac", noise(RATE)).read_bytes()
    starts = frames_of(whole)
    assert len(starts) == 4
    for place in (*starts, len(whole) - 1):
        for beyond in (0, 1, 5):
            path = tmp_path / f"{place + beyond}.flac"
            path.write_bytes(whole[: place + beyond])
            if beyond + place < len(whole):
                assert isinstance(one(read, path), ReadError), path


def test_damage_inside_a_flac_is_an_error(read, tmp_path):
    whole = written(tmp_path / "whole.flac", noise(RATE)).read_bytes()
    for place in np.linspace(frames_of(whole)[0], len(whole) - 1, 40).astype(int):
        path = tmp_path / f"{place}.flac"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xA5]) + whole[place + 1 :])
        assert isinstance(one(read, path), ReadError), path


@pytest.mark.parametrize("rate", [0, 1, 2**32 - 1])
def test_an_impossible_rate_is_an_error(read, rate, tmp_path):
    plain = written(tmp_path / "plain.wav", noise(100)).read_bytes()
    (tmp_path / "a.wav").write_bytes(plain[:24] + rate.to_bytes(4, "little") + plain[28:])
    assert isinstance(one(read, tmp_path / "a.wav", 22050), ReadError)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def test_other_chunks_of_a_wav_are_passed_over(read, tmp_path):
    values = np.arange(-500, 500, dtype=np.int16)
    plain = written(tmp_path / "plain.wav", values).read_bytes()
    odd = plain[:12] + chunk(b"LIST", b"odd") + plain[12:36] + chunk(b"note", b"x" * 77)
    (tmp_path / "odd.wav").write_bytes(odd + plain[36:] + chunk(b"LIST", b"after"))
    np.testing.assert_array_equal(one(read, tmp_path / "odd.wav"), values / 32768)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", (2044).to_bytes(4, "little")])
def test_a_wav_may_have_been_written_without_knowing_its_length(read, length, tmp_path):
    values = np.arange(-500, 500, dtype=np.int16)
    plain = written(tmp_path / "plain.wav", values).read_bytes()
    (tmp_path / "piped.wav").write_bytes(plain[:40] + length + plain[44:])
    np.testing.assert_array_equal(one(read, tmp_path / "piped.wav"), values / 32768)


def test_an_mp3_need_not_say_how_long_it_is(read, tmp_path):
    """libsndfile guesses from the size of the file, tag included, and finds fewer samples."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(50000), RATE, bitrate_mode="CONSTANT", compression_level=0.5)
    whole = path.read_bytes()
    second = whole.index(whole[:2], max(whole.find(b"Xing"), whole.find(b"Info")))
    path.write_bytes(b"ID3\x04\0\0\0\0\x01\x05" + bytes(133) + whole[second:])
    assert one(read, path).size > 50000


def test_order_is_kept_and_a_bad_file_harms_no_other(read, tmp_path):
    paths = []
    for number in range(40):
        suffix = ("wav", "flac", "ogg", "txt")[number % 4]
        path = tmp_path / f"{number}.{suffix}"
        if suffix == "txt":
            path.write_text("no sound")
        else:
            # Long and short ones by turns: what is quick must not overtake.
            written(path, np.full(20000 if number % 3 else 50, number / 100))
        paths.append(path)
    sounds = list(read(paths, 22050))
    assert [path for path, _ in sounds] == paths
    for number, (path, y) in enumerate(sounds):
        if path.suffix == ".txt":
            assert isinstance(y, ReadError)
            assert str(path) in str(y)
        else:
            assert abs(np.median(y) - number / 100) <= 0.01


def test_no_paths_are_no_sounds(read):
    assert list(read([], RATE)) == []


def test_files_are_read_when_their_turn_comes(read, tmp_path):
    paths = [written(tmp_path / f"{number}.wav", noise(100)) for number in range(300)]
    sounds = read(paths, RATE)
    next(sounds)
    paths[-1].unlink()
    assert isinstance(list(sounds)[-1][1], ReadError)


def test_reading_may_be_left_off_and_begun_anew(read, tmp_path):
    paths = [written(tmp_path / f"{number}.wav", np.full(9, number / 64)) for number in range(30)]
    next(read(paths, RATE))
    assert [y[0] * 64 for _, y in read(paths, RATE)] == list(range(30))


def test_what_tensorflow_io_cannot_decode_names_the_reader_that_may(tfio, tmp_path):
    path = written(tmp_path / "a.wav", noise(100), subtype="DOUBLE")
    assert "64 bits; the soundfile reader may" in str(one(tfio, path))
    [(_, y)] = default_registry().create("reader", "soundfile")([path], RATE)
    assert y.shape == (100,)


def test_any_number_of_files_at_once_gives_the_same(tfio, sound, tmp_path):
    paths = [written(tmp_path / f"{n}.wav", sound("up", n)) for n in range(6)]
    one_at_a_time = default_registry().create("reader", "tfio", options={"parallel": 1})
    pairs = zip(tfio(paths, 22050), one_at_a_time(paths, 22050), strict=True)
    assert all(np.array_equal(a, b) for (_, a), (_, b) in pairs)


def test_the_reader_by_tensorflow_io_keeps_the_contract(tfio):
    check_reader("tfio", parallel=2)


def feature_differences(tfio, paths: list[Path]) -> np.ndarray:
    """Return the mean difference between the features that the two readers lead to, by file."""
    plain = default_registry().create("reader", "soundfile")
    pairs = zip(plain(paths, SPEC.sample_rate), tfio(paths, SPEC.sample_rate), strict=True)
    return np.array(
        [
            np.abs(extract_fitted(a, SPEC) - extract_fitted(b, SPEC)).mean()
            for (_, a), (_, b) in pairs
        ]
    )


def test_features_agree_with_those_of_the_soundfile_reader(tfio, sound, tmp_path):
    paths = [
        written(tmp_path / f"{word}{number}.wav", sound(word, number))
        for word in ("up", "down", "stop")
        for number in range(5)
    ]
    assert feature_differences(tfio, paths).max() <= 0.005


def test_features_of_real_speech_agree_with_those_of_the_soundfile_reader(tfio, real_speech):
    paths = sorted(path for path in real_speech.glob("[a-z]*/*") if path.suffix in readers.SUFFIXES)
    differences = feature_differences(tfio, paths[:: max(1, len(paths) // 60)])
    assert differences.mean() <= 0.005
    assert differences.max() <= 0.01


def test_a_corpus_is_prepared_with_tensorflow_io(tfio, tiny_corpus, tiny_store, tmp_path):
    made = prepare(read_corpus(tiny_corpus), tmp_path / "store", reader="tfio", workers=1)
    assert made.skipped == ()
    rows = np.arange(len(tiny_store.utterances))
    difference = np.abs(made.store.batch(rows) - tiny_store.batch(rows)).mean(axis=(1, 2, 3))
    # The bursts of "stop" are white: the two resamplers' filters differ most at their upper end.
    assert np.median(difference) <= 0.001
    assert difference.max() <= 0.01


@pytest.mark.parametrize(
    ("python", "tensorflow_io", "tensorflow", "said"),
    [
        ((3, 12), "0.37.1", "2.17.1", None),
        ((3, 11), "0.37.1", "2.16.2", None),
        ((3, 13), "0.37.1", "2.17.1", "no release for Python 3.13"),
        ((3, 12), None, "2.17.1", "tensorflow-io is not installed"),
        ((3, 12), "0.37.1", "2.21.0", "here is 2.21.0"),
        ((3, 12), "0.37.1", None, "here is not installed"),
    ],
)
def test_why_tensorflow_io_is_unavailable(monkeypatch, python, tensorflow_io, tensorflow, said):
    versions = {"tensorflow-io": tensorflow_io, "tensorflow": tensorflow}

    def version(name):
        if not (found := versions.get(name)):
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(readers, "sys", SimpleNamespace(version_info=python))
    monkeypatch.setattr(readers.metadata, "version", version)
    reason = readers.tfio_unavailable()
    assert (reason is None) == (said is None)
    assert (said or "") in (reason or "")


LISTING = """
import sys
from importlib import metadata
from keras_listen.errors import Unavailable
from keras_listen.plugins import default_registry

real = metadata.version

def version(name):
    if name == "tensorflow-io":
        raise metadata.PackageNotFoundError(name)
    return real(name)

metadata.version = version
readers = {c.name: c for c in default_registry().components if c.kind == "reader"}
for component in readers.values():
    component.doc, component.options, component.why_unavailable()
try:
    readers["tfio"].create()
except Unavailable as error:
    print(error)
print(sorted({"tensorflow", "tensorflow_io", "keras"} & set(sys.modules)))
"""


def test_without_tensorflow_io_its_reader_is_listed_and_refused_and_nothing_imported():
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=True
    )
    refusal, imported = done.stdout.splitlines()
    expected = "tensorflow-io has no release" if sys.version_info >= (3, 13) else "not installed"
    assert refusal.startswith("reader tfio is unavailable: ")
    assert expected in refusal
    assert imported == "[]"


def test_asking_for_an_unavailable_reader_says_why(monkeypatch):
    monkeypatch.setattr(readers, "sys", SimpleNamespace(version_info=(3, 13)))
    with pytest.raises(Unavailable, match="no release for Python"):
        default_registry().create("reader", "tfio")
