"""Say how much of real speech survives a vocoder: features -> sound -> features -> classifier.

    python benchmarks/copy_synthesis.py STORE [--vocoder griffin-lim] [--vocoder wavenet]
        [--bundle DIR] [--count 200] [--corpus DIR] [-o griffin-lim.pitch=estimated]

Takes every n-th utterance of the store's testing split and prints, for each vocoder, the
classifier's accuracy on the utterances' own features and on those of the synthesized sounds, the
share of right answers that is kept, the mean distance of the mel bands, the spectral convergence
and the seconds a sound. With the corpus that the store was made from, and where the packages
pystoi, pesq and praat-parselmouth are installed, also STOI, ESTOI and wide-band PESQ against the
recordings, the ratio of harmonics to noise, the share of voiced frames that lose their voicing, and
the share of gross pitch errors, of more than 20 %, among those that keep it.
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
#: Shortest sound in seconds for ESTOI, whose segments are 0.4 s; shorter ones are repeated.
LONG = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--vocoder", action="append", help="may be repeated; all by default")
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--count", type=int, default=200, help="utterances, spread over the split")
    parser.add_argument("--corpus", type=Path, help="what the store was made from")
    parser.add_argument("-o", "--option", action="append", default=[], help="NAME.KEY=VALUE")
    arguments = parser.parse_args()
    start_quietly()
    logging.getLogger("keras_listen").setLevel(logging.ERROR)
    import numpy as np

    from keras_listen import Store, load_bundle

    bundle, store = load_bundle(arguments.bundle), Store.open(arguments.store)
    testing = store.split("testing")
    positions = testing[np.linspace(0, len(testing) - 1, arguments.count).astype(int)]
    for vocoder in arguments.vocoder or ["griffin-lim", "wavenet"]:
        given = [text.removeprefix(f"{vocoder}.") for text in arguments.option]
        mine = [text for text, whole in zip(given, arguments.option, strict=True) if text != whole]
        options = dict(text.split("=", 1) for text in mine)
        measure(vocoder, options, bundle, store, positions, arguments.corpus)


def measure(name: str, options: dict, bundle, store, positions, corpus: Path | None) -> None:
    """Print the figures of one vocoder."""
    import numpy as np

    from keras_listen.features import denormalize_magnitude, extract_fitted
    from keras_listen.plugins import default_registry
    from keras_listen.seeds import derive
    from keras_listen.vocoders.synthesis import synthesize

    vocoder = default_registry().create("vocoder", name, bundle, options)
    words = [store.utterances[position].word for position in positions]
    labels = np.array([bundle.classifier.label(word) for word in words])
    features = store.batch(positions)
    seeds = np.stack([derive(0, store.utterances[p].file, 0) for p in positions])

    start = time.perf_counter()
    sounds, _ = synthesize(vocoder, features[..., 0], seeds)
    seconds = (time.perf_counter() - start) / len(positions)
    again = np.stack([extract_fitted(sound, store.spec) for sound in sounds])[..., None]

    right = bundle.classifier.predict(features).argmax(axis=1) == labels
    kept = bundle.classifier.predict(again).argmax(axis=1) == labels
    wanted, got = (denormalize_magnitude(f, store.spec) for f in (features, again))
    convergence = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
    distance = -store.spec.floor_db * np.abs(again - features).mean()
    about = ", ".join([name, *(f"{key} {value}" for key, value in options.items())])
    print(f"{about}, {len(positions)} testing utterances")
    print(f"  accuracy on features          {right.mean():.3f}")
    print(f"  accuracy on synthesized       {kept.mean():.3f}")
    print(f"  share of it                   {kept.mean() / right.mean():.3f}")
    print(f"  right answers that are kept   {(kept & right).sum() / right.sum():.3f}")
    print(f"  distance of mel bands, dB     {distance:.2f}")
    print(f"  spectral convergence (mel)    {convergence:.3f}")
    if corpus is not None:
        files = [corpus / store.utterances[position].file for position in positions]
        found = perceived(files, sounds, store.spec.sample_rate)
        for what, value in (found | voiced(files, sounds, store.spec.sample_rate)).items():
            print(f"  {what:<29} {value:.3f}")
    print(f"  seconds a sound               {seconds:.3f}")


def perceived(files: list[Path], sounds, rate: int) -> dict[str, float]:
    """Return mean STOI and PESQ against the recordings, where their packages are installed."""
    import numpy as np
    import soxr

    from keras_listen.data.readers import soundfile_reader

    found: dict[str, list[float]] = {}
    originals = soundfile_reader(None)(files, RATE)
    for (_, original), sound in zip(originals, sounds, strict=True):
        made = soxr.resample(sound, rate, RATE)
        length = min(len(original), len(made))
        pair = original[:length], made[:length]
        if importlib.util.find_spec("pystoi"):
            from pystoi import stoi

            found.setdefault("STOI", []).append(stoi(*pair, RATE))
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

    from keras_listen.data.readers import soundfile_reader

    if not importlib.util.find_spec("parselmouth"):
        return {}
    import parselmouth

    harmonics, lost, wrong = [], [], []
    for (_, original), sound in zip(soundfile_reader(None)(files, rate), sounds, strict=True):
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
