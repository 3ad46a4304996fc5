"""Check the contract of vocoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ParameterError
from ..features import LENGTH_FIELDS, FeatureSpec, count_samples, extract
from ..plugins import Component
from .factory import refuses_politely, subject_of
from .sounds import features_like_speech
from .subject import Subject, seeds_of

_SAMPLES = 3
#: Frames of the sounds that are made; few, because a vocoder may be slow.
_FRAMES, _MORE_FRAMES = 44, 51
#: Delays in frames by which features of a sound are compared with those it was made from.
_LAGS = range(-4, 5)


def check_vocoder(vocoder: str | Component | Callable, bundle: Any = None, **options: Any) -> Any:
    """Check that a vocoder keeps its contract, see `hookspecs.register_vocoders`.

    Args:
        vocoder: name of an installed vocoder, a component of a registry, or a factory.
        bundle: passed to the factory; the embedded bundle by default.
        options: of the factory.

    Returns:
        What the factory made.

    Raises:
        ContractBroken: the contract is broken; the message says how, and how to mend it.
        ListenError: there is no such vocoder, or an option is unknown or refused.
    """
    subject = subject_of("vocoder", vocoder, bundle, options)
    spec = _check_attributes(subject)
    features, seeds = features_like_speech(_SAMPLES, spec, _FRAMES), seeds_of(_SAMPLES)
    sounds = _check_sounds(subject, features, seeds)
    _check_sameness(subject, features, seeds, sounds)
    _check_places(subject, features, sounds)
    _check_lengths(subject)
    if getattr(subject.made, "causal", False):
        _check_causal(subject, features, seeds, sounds)
    if hasattr(subject.made, "report") or hasattr(subject.made, "seconds_for"):
        _check_report(subject, features[:1], seeds[:1])
    short = features_like_speech(1, spec, fewest_frames(spec) + 2)
    refuses_politely(subject, lambda made: made.synthesize(short, seeds[:1]))
    return subject.made


def fewest_frames(spec: FeatureSpec) -> int:
    """Return the smallest number of frames from which a sound can be made.

    Raises:
        ParameterError: it is not below 44.
    """
    for frames in range(1, _FRAMES):
        try:
            count_samples(frames, spec)
        except ParameterError:
            continue
        return frames
    raise ParameterError(f"no sound of this feature spec has fewer than {_FRAMES} frames")


def _check_attributes(subject: Subject) -> FeatureSpec:
    found = subject.attribute("spec", "a FeatureSpec", "set spec = bundle.spec")
    spec = subject.bundle.classifier.spec
    known = isinstance(found, FeatureSpec)
    names = spec.differing(found, ignore=LENGTH_FIELDS) if known else ["type"]
    subject.require(
        not names,
        "spec: the features of the classifier",
        seen=f"another one, in {', '.join(names)}",
        expected="the FeatureSpec of bundle.classifier, lengths aside",
        mend="use bundle.spec; a vocoder trained for other features raises "
        "keras_listen.errors.Unavailable",
    )
    causal = getattr(subject.made, "causal", False)
    subject.require(
        isinstance(causal, bool),
        "causal: a bool",
        seen=repr(causal),
        expected="True or False (the default)",
        mend="set causal = True where silence after a sound changes no bit before it",
    )
    files = getattr(subject.made, "files", {})
    texts = isinstance(files, Mapping) and all(
        isinstance(part, str) for pair in files.items() for part in pair
    )
    subject.require(
        texts,
        "files: names to checksums",
        seen=repr(files),
        expected="a dict of texts",
        mend="map the name of each file of weights to its SHA-256",
    )
    return spec


def _speak(subject: Subject, features: np.ndarray, seeds: np.ndarray, vocoder: Any = None) -> Any:
    vocoder = vocoder or subject.made
    return subject.call(
        "synthesize(features, seeds)",
        vocoder.synthesize,
        features,
        seeds,
        mend="take features (batch, frames, mels) with any number of frames, and uint32 seeds "
        "(batch, 2); leave the features as they are",
    )


def _check_sounds(subject: Subject, features: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    contract = "synthesize(features, seeds)"
    mend = "return one sound for each feature: [shape=(batch, samples)], np.stack(sounds)"
    sounds = _speak(subject, features, seeds)
    sounds = subject.array(sounds, contract, (len(features), None), mend)
    loud = np.abs(sounds).max(axis=1)
    subject.require(
        (loud > 0).all(),
        f"{contract}: a sound",
        seen=f"{int((loud == 0).sum())} of {len(sounds)} sounds are silent",
        expected="sound for features that are not",
        mend="features are dB above the floor: keras_listen.features.denormalize_magnitude",
    )
    flat = np.stack([np.full_like(features[0], value) for value in (0.0, 1.0)])
    loudest = f"{contract}, silence and all bands at their loudest"
    subject.array(_speak(subject, flat, seeds[:2]), loudest, (2, None), mend)
    return sounds


def _check_sameness(
    subject: Subject, features: np.ndarray, seeds: np.ndarray, sounds: np.ndarray
) -> None:
    contract = "synthesize(features, seeds)"
    mates = f"{contract}: a sound does not depend on its batch-mates"
    draw = "draw from each row of seeds alone: keras_listen.seeds.generator(row)"
    turned = np.asarray(_speak(subject, features[::-1], seeds[::-1], subject.make_again()))[::-1]
    if not np.array_equal(sounds, turned):
        subject.same(
            sounds,
            _speak(subject, features, seeds),
            f"{contract}: the seed decides",
            expected="the same sounds from the same seeds",
            mend=draw,
        )
        subject.same(sounds, turned, mates, expected="the same sounds in any order", mend=draw)
    subject.same(
        sounds[1:2],
        _speak(subject, features[1:2], seeds[1:2]),
        mates,
        expected="the same sound alone and among others",
        mend="no level, mean or random numbers over the whole batch; make sounds one by one, or "
        "in batches of one size",
    )


def _check_places(subject: Subject, features: np.ndarray, sounds: np.ndarray) -> None:
    """Check that a sound's features match those it was made from best, without a delay."""
    spec = subject.made.spec
    again = [extract(sound, spec) for sound in sounds]
    lengths = {len(each) for each in again}
    subject.require(
        lengths == {_FRAMES},
        "sounds: as many frames as features",
        seen=f"{', '.join(map(str, sorted(lengths)))} frames from {_FRAMES}",
        expected=f"{_FRAMES}",
        mend="return keras_listen.features.count_samples(frames, spec) samples; what a framed "
        "sound has before them, left_padding(spec) samples, is cut off",
    )
    likeness = {
        lag: np.mean([_likeness(*pair, lag) for pair in zip(features, again, strict=True)])
        for lag in _LAGS
    }
    best = max(likeness, key=likeness.get)
    subject.require(
        best == 0,
        "sounds: frame by frame in place",
        seen=f"sounds are most like their features {abs(best)} frames too "
        f"{'late' if best > 0 else 'early'}",
        expected="most like them in place",
        mend="cut left_padding(spec) samples off the front of what begins with the first frame's "
        "window, no more and no less",
    )
    table = np.array([[_likeness(a, b, 0) for b in again] for a in features])
    subject.require(
        (table.argmax(axis=1) == np.arange(len(table))).all(),
        "sounds: like their features",
        seen="the features of a sound are more like another's",
        expected="most like those it was made from",
        mend="check the axes (time first) and the scale (denormalize_magnitude)",
    )


def _likeness(features: np.ndarray, of_sound: np.ndarray, lag: int) -> float:
    """Correlate features with those of the sound, `lag` frames later."""
    edge = _LAGS[-1]
    rows = slice(edge, len(features) - edge)
    moved = of_sound[edge + lag : len(features) - edge + lag]
    if not (moved.std() and features[rows].std()):
        return 0.0
    return float(np.corrcoef(features[rows].ravel(), moved.ravel())[0, 1])


def _check_lengths(subject: Subject) -> None:
    spec = subject.made.spec
    for frames in (fewest_frames(spec), _MORE_FRAMES):
        features = features_like_speech(1, spec, frames)
        sounds = _speak(subject, features, seeds_of(1))
        contract = f"sounds of {frames} frames"
        mend = "take the number of frames from the features, not from the spec"
        sound = subject.array(sounds, contract, (1, None), mend)[0]
        found = len(extract(sound, spec)) if sound.size else 0
        subject.require(
            found == frames, contract, seen=f"{found} frames", expected=str(frames), mend=mend
        )


def _check_causal(
    subject: Subject, features: np.ndarray, seeds: np.ndarray, sounds: np.ndarray
) -> None:
    longer = np.pad(features, [(0, 0), (0, _MORE_FRAMES - _FRAMES), (0, 0)])
    length = count_samples(_FRAMES, subject.made.spec)
    subject.same(
        sounds[:, :length],
        np.asarray(_speak(subject, longer, seeds))[:, :length],
        "causal: as declared",
        expected="the same bits before silence that follows",
        mend="set causal = False, or leave it away",
    )


class _Stop(Exception):
    """Stops a vocoder, as an interruption does."""


def _check_report(subject: Subject, features: np.ndarray, seeds: np.ndarray) -> None:
    mend = "offer both or neither; see keras_listen.hookspecs.register_vocoders"
    vocoder = subject.made
    for name in ("report", "seconds_for"):
        subject.attribute(name, "a function", mend)
    seconds = subject.call(
        "seconds_for(sounds, frames)", vocoder.seconds_for, 1, features.shape[1], mend=mend
    )
    subject.require(
        isinstance(seconds, (int, float)) and 0 <= seconds < float("inf"),
        "seconds_for(sounds, frames)",
        seen=repr(seconds),
        expected="a number of seconds",
        mend="estimate the time for so many sounds of so many frames",
    )
    before, done = vocoder.report, []
    try:
        vocoder.report = done.append
        _speak(subject, features, seeds)
        vocoder.report = _stop
        stopped = _is_stopped(vocoder, features, seeds)
    finally:
        vocoder.report = before
    subject.require(
        sum(done) > 0 and min(done) >= 0,
        "report(done): samples since the last call",
        seen=f"{len(done)} calls, {sum(done)} samples",
        expected="at least one call with a number above 0",
        mend="call self.report with the number of audio samples done since the last call",
    )
    subject.require(
        stopped,
        "report(done): it may raise to stop",
        seen="synthesize went on",
        expected="the exception of report",
        mend="let exceptions of self.report through",
    )


def _stop(done: int) -> None:
    raise _Stop


def _is_stopped(vocoder: Any, features: np.ndarray, seeds: np.ndarray) -> bool:
    try:
        vocoder.synthesize(features, seeds)
    except _Stop:
        return True
    return False
