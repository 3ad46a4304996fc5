"""The check of readers: ours pass it, and each broken one fails for what it is."""

from __future__ import annotations

import numpy as np
import pytest
from kit import broken, own, raised, raw

from keras_listen import testing
from keras_listen.data.readers import soundfile_reader
from keras_listen.errors import ReadError


@pytest.mark.parametrize("reader", own("reader"))
def test_our_readers_keep_the_contract(reader):
    assert callable(testing.check_reader(reader))


def reading(change):
    """Return a factory of a reader that changes what ours yields."""

    def factory(bundle):
        read = soundfile_reader(None)
        return lambda paths, rate: (
            (path, y if isinstance(y, ReadError) else change(y)) for path, y in read(paths, rate)
        )

    return factory


def failing(change):
    """Return a factory of a reader that changes the errors of ours."""

    def factory(bundle):
        read = soundfile_reader(None)
        return lambda paths, rate: (
            (path, change(y) if isinstance(y, ReadError) else y) for path, y in read(paths, rate)
        )

    return factory


def reader_of(read):
    """Return a factory of `read(paths, rate)`, given ours as `ours`."""
    return lambda bundle: lambda paths, rate: read(paths, rate, soundfile_reader(None))


def by_count(paths, rate, ours):
    for number, (path, y) in enumerate(ours(paths, rate)):
        yield path, y if isinstance(y, ReadError) else y * np.float32(1 + number / 1000)


def first_channel(paths, rate, ours):
    import soundfile

    for path, y in ours(paths, rate):
        good = not isinstance(y, ReadError)
        if good and soundfile.info(path).channels == 2:
            y = soundfile.read(path, dtype="float32")[0][:, 0]
        yield path, y


BROKEN_READERS = {
    "raising": (failing(raised), "reader(paths, sample_rate)", "no such file", "instead of"),
    "leaving bad files out": (
        reader_of(lambda p, r, ours: (x for x in ours(p, r) if not isinstance(x[1], ReadError))),
        "reader(paths, sample_rate): every path, in order",
        "0.wav",
        "once for each",
    ),
    "backwards": (
        reader_of(lambda p, r, ours: list(ours(p, r))[::-1]),
        "reader(paths, sample_rate): every path, in order",
        "['2.wav', '1.wav', '0.wav']",
        "in the order of paths",
    ),
    "no pairs": (
        reader_of(lambda p, r, ours: (y for _, y in ours(p, r))),
        "reader(paths, sample_rate)",
        "ndarray",
        "yield (path, samples)",
    ),
    "something of nothing": (
        reader_of(lambda p, r, ours: list(ours(p, r)) or [("a", 0)]),
        "reader(paths, sample_rate): no paths",
        "something",
        "one pair for each path",
    ),
    "doubles": (
        reading(lambda y: y.astype(float)),
        "samples at 16000 Hz",
        "dtype float64",
        "np.float32",
    ),
    "two axes": (
        reading(lambda y: y[:, None]),
        "samples at 16000 Hz",
        "1)",
        "y.mean(axis=1)",
    ),
    "not finite": (reading(lambda y: y / 0), "samples at 16000 Hz", "not finite", "zero"),
    "as integers": (
        reading(lambda y: 32768 * y),
        "samples at 16000 Hz: the sound that was written",
        "of its level",
        "full scale is 1",
    ),
    "a file's own rate": (
        reader_of(lambda p, r, ours: ours(p, 16000)),
        "samples at 22050 Hz: as many as the sound lasts",
        "4000 samples",
        "soxr.resample",
    ),
    "shifted": (
        reading(lambda y: np.roll(y, 20)),
        "samples at 16000 Hz: the sound that was written",
        "of its level",
        "place",
    ),
    "by count": (
        reader_of(by_count),
        "reader(paths, sample_rate): a file does not depend on the others",
        "values differ",
        "no state",
    ),
    "the first channel": (
        reader_of(first_channel),
        "channels: averaged",
        "2000 samples, off by",
        "y.mean(axis=1)",
    ),
    "None for bad files": (
        failing(lambda error: None),
        "bad files: a missing file",
        "NoneType",
        "yield (path, ReadError",
    ),
    "an error of two lines": (
        failing(lambda error: ReadError(f"{error}\nand more")),
        "bad files: a missing file",
        "and more",
        "cannot be read as sound",
    ),
    "an error without a name": (
        failing(lambda error: ReadError("no luck")),
        "bad files: a missing file",
        "no luck",
        "{path}",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("case", BROKEN_READERS)
def test_a_broken_reader_is_blamed_for_what_it_is(case):
    factory, contract, seen, mend = BROKEN_READERS[case]
    error = broken(lambda reader, bundle: testing.check_reader(reader), factory, None)
    assert error.contract.startswith(contract)
    assert seen in error.seen
    assert mend in error.mend


def test_readers_of_other_formats_bring_their_own_files():
    def write(path, samples, sample_rate):
        samples.astype("<f4").tofile(path)

    testing.check_reader(raw, suffix=".raw", write=write, garbage=None)
    error = broken(lambda reader, bundle: testing.check_reader(reader), raw, None)
    assert error.contract.startswith("samples at 16000 Hz")
