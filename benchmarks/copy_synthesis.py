"""Say how much of real speech survives a vocoder, and how much a prior and back.

    python benchmarks/copy_synthesis.py STORE [--vocoder griffin-lim] [--vocoder wavenet]
        [--prior ae] [--bundle DIR] [--count 200] [--corpus DIR] [-o griffin-lim.pitch=estimated]

Takes every n-th utterance of the store's testing split, turns its features into sound, and prints a
row of figures for each vocoder, then for each prior, whose reconstructions the first vocoder
speaks. Compared with the features: the classifier's accuracy on those of the sound, the share of
right answers that is kept, the distance and the spectral convergence of mel bands. Compared with
the recordings, where the corpus is given that the store was made from: log-spectral distance, and
with the packages pystoi, pesq and praat-parselmouth also ESTOI and wide-band PESQ, the ratio
of harmonics to noise, the share of voiced frames that lose their voicing, and the share of gross
pitch errors, of more than 20 %, among those that keep it. The first row is the recordings' own.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import time
from pathlib import Path

from keras_listen.models.backend import start_quietly

#: Rate, in Hz, that STOI and wide-band PESQ are computed at.
RATE = 16000
#: Range of pitches in Hz, and step of analyses in seconds.
LOWEST, HIGHEST, STEP = 60, 400, 0.005
#: Log-spectral distance: range of frequencies in Hz, and how far below the loudest, in dB, frames
#: are left out and magnitudes end.
BAND, ACTIVE, FLOOR = (125, 7600), 40, 80
#: Shortest sound in seconds for ESTOI, whose segments are 0.4 s; shorter ones are repeated.
LONG = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--vocoder", action="append", help="may be repeated; all by default")
    parser.add_argument("--prior", action="append", default=[], help="may be repeated")
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--count", type=int, default=200, help="utterances, spread over the split")
    parser.add_argument("--corpus", type=Path, help="what the store was made from")
    parser.add_argument("-o", "--option", action="append", default=[], help="NAME.KEY=VALUE")
    arguments = parser.parse_args()
    start_quietly()
    logging.getLogger("keras_listen").setLevel(logging.ERROR)
    import numpy as np

    from keras_listen import Store, load_bundle
    from keras_listen.plugins import default_registry

    bundle, store = load_bundle(arguments.bundle), Store.open(arguments.store)
    testing = store.split("testing")
    positions = testing[np.linspace(0, len(testing) - 1, arguments.count).astype(int)]
    create = default_registry().create
    names = arguments.vocoder or ["griffin-lim", "wavenet"]
    options = {name: options_of(name, arguments.option) for name in [*names, *arguments.prior]}
    features = store.batch(positions)[..., 0]
    measure = Measures(bundle, store, positions, arguments.corpus)
    rows = [measure.recordings()]
    vocoders = {name: create("vocoder", name, bundle, options[name]) for name in names}
    for name, vocoder in vocoders.items():
        rows.append({"": named(name, options[name]), **measure(features, vocoder)})
    for name in arguments.prior:
        prior = create("prior", name, bundle, options[name])
        decoded = np.asarray(prior.decode(prior.encode(features[..., None])))[..., 0]
        about = f"{named(name, options[name])} and back, {names[0]}"
        rows.append({"": about, **measure(decoded, vocoders[names[0]])})
    print(f"{len(positions)} testing utterances\n")
    columns = list(rows[-1])
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(text_of(row.get(column, "")) for column in columns) + " |")


def options_of(name: str, given: list[str]) -> dict[str, str]:
    """Return the options of a component among texts like NAME.KEY=VALUE."""
    mine = [text.removeprefix(f"{name}.") for text in given if text.startswith(f"{name}.")]
    return dict(text.split("=", 1) for text in mine)


def named(name: str, options: dict[str, str]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


def text_of(value) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"


class Measures:
    """Figures of sounds that are made from features of a store's utterances."""

    def __init__(self, bundle, store, positions, corpus: Path | None):
        import numpy as np

        self.classifier, self.spec = bundle.classifier, store.spec
        chosen = [store.utterances[position] for position in positions]
        self.keys = [utterance.file for utterance in chosen]
        self.labels = np.array([self.classifier.label(utterance.word) for utterance in chosen])
        self.features = store.batch(positions)
        self.right = self._is_right(self.features)
        self.files = [corpus / key for key in self.keys] if corpus else []

    def _is_right(self, features):
        return self.classifier.predict(features).argmax(axis=1) == self.labels

    def recordings(self) -> dict:
        """Return the figures that the recordings themselves have."""
        row = {"": "recordings", "accuracy": float(self.right.mean())}
        if self.files:
            rate = self.spec.sample_rate
            row |= compared(self.files, [y for _, y in read(self.files, rate)], self.spec)
        return row

    def __call__(self, features, vocoder) -> dict[str, float]:
        """Return the figures of the sounds of features [shape=(utterances, frames, mels)]."""
        import numpy as np

        from keras_listen.features import denormalize_magnitude, extract_fitted
        from keras_listen.seeds import derive
        from keras_listen.vocoders.synthesis import synthesize

        seeds = np.stack([derive(0, key, 0) for key in self.keys])
        start = time.perf_counter()
        sounds, _ = synthesize(vocoder, features, seeds)
        seconds = (time.perf_counter() - start) / len(sounds)
        again = np.stack([extract_fitted(sound, self.spec) for sound in sounds])[..., None]
        kept = self._is_right(again)
        wanted, got = (denormalize_magnitude(f, self.spec) for f in (self.features, again))
        row = {
            "accuracy": float(kept.mean()),
            "right answers kept": float((kept & self.right).sum() / self.right.sum()),
            "mel bands, dB": float(-self.spec.floor_db * np.abs(again - self.features).mean()),
            "convergence": float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted)),
        }
        if self.files:
            row |= compared(self.files, sounds, self.spec)
        return row | {"seconds a sound": seconds}


def read(files: list[Path], rate: int):
    """Return pairs of file and samples."""
    from keras_listen.data.readers import soundfile_reader

    return soundfile_reader(None)(files, rate)


def compared(files: list[Path], sounds, spec) -> dict[str, float]:
    """Return all figures of sounds beside the recordings that they are of."""
    rate = spec.sample_rate
    found = perceived(files, sounds, rate) | voiced(files, sounds, rate)
    return found | {"log-spectral distance, dB": spectral_distance(files, sounds, spec)}


def spectral_distance(files: list[Path], sounds, spec) -> float:
    """Return the root mean square difference of spectra in dB, averaged over frames and sounds."""
    import numpy as np

    from keras_listen.features import frame_padded, window

    def spectrum(sound):
        padded = frame_padded(sound / np.sqrt(np.square(sound).mean()), spec)
        frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
        return np.abs(np.fft.rfft(frames * window(spec)))[:, low : high + 1]

    low, high = (round(hertz / spec.sample_rate * spec.n_fft) for hertz in BAND)
    found = []
    for (_, original), sound in zip(read(files, spec.sample_rate), sounds, strict=True):
        wanted, got = spectrum(original), spectrum(sound)
        length, loudest = min(len(wanted), len(got)), wanted.max()
        loud = wanted[:length].max(axis=1) > loudest * 10 ** (-ACTIVE / 20)
        least = loudest * 10 ** (-FLOOR / 20)
        pair = (20 * np.log10(np.maximum(s[:length][loud], least)) for s in (wanted, got))
        found.append(np.sqrt(np.square(np.subtract(*pair)).mean(axis=1)).mean())
    return float(np.mean(found))


def perceived(files: list[Path], sounds, rate: int) -> dict[str, float]:
    """Return mean ESTOI and PESQ against the recordings, where their packages are installed."""
    import numpy as np
    import soxr

    found: dict[str, list[float]] = {}
    for (_, original), sound in zip(read(files, RATE), sounds, strict=True):
        made = soxr.resample(sound, rate, RATE)
        length = min(len(original), len(made))
        pair = original[:length], made[:length]
        if importlib.util.find_spec("pystoi"):
            from pystoi import stoi

            repeated = [np.tile(y, -(-LONG * RATE // length)) for y in pair]
            found.setdefault("ESTOI", []).append(stoi(*repeated, RATE, extended=True))
        if importlib.util.find_spec("pesq"):
            from pesq import NoUtterancesError, pesq

            try:
                found.setdefault("PESQ, wide band", []).append(pesq(RATE, *pair, "wb"))
            except NoUtterancesError:  # too soft for its detector of speech
                continue
    return {name: float(np.mean(values)) for name, values in found.items()}


def voiced(files: list[Path], sounds, rate: int) -> dict[str, float]:
    """Return figures of voicing and pitch, by Praat, where its package is installed."""
    import numpy as np

    if not importlib.util.find_spec("parselmouth"):
        return {}
    import parselmouth

    harmonics, lost, wrong = [], [], []
    for (_, original), sound in zip(read(files, rate), sounds, strict=True):
        pair = [parselmouth.Sound(y.astype(np.float64), rate) for y in (original, sound)]
        tracks = [y.to_pitch(STEP, LOWEST, HIGHEST) for y in pair]
        seconds = tracks[0].xs()
        wanted, got = (np.array([track.get_value_at_time(t) for t in seconds]) for track in tracks)
        kept = np.isfinite(wanted) & np.isfinite(got)
        lost.append(~kept[np.isfinite(wanted)])
        wrong.append(np.abs(got[kept] / wanted[kept] - 1) > 0.2)
        values = pair[1].to_harmonicity_cc(0.01, LOWEST).values
        if (values > -200).any():
            harmonics.append(values[values > -200].mean())
    return {
        "harmonics to noise, dB": float(np.mean(harmonics)),
        "voicing lost": float(np.concatenate(lost).mean()),
        "gross pitch errors": float(np.concatenate(wrong).mean()),
    }


if __name__ == "__main__":
    main()
