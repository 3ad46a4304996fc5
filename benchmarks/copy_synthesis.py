"""Say how much of real speech survives a vocoder: features -> sound -> features -> classifier.

    python benchmarks/copy_synthesis.py STORE [--vocoder griffin-lim] [--vocoder wavenet]
        [--bundle DIR] [--count 200] [--corpus DIR]

Takes every n-th utterance of the store's testing split and prints, for each vocoder, the
classifier's accuracy on the utterances' own features and on those of the synthesized sounds, the
share of right answers that is kept, the mean distance of the mel bands, the spectral convergence
and the seconds a sound. With the corpus that the store was made from, and where the packages pystoi
and pesq are installed, also STOI and wide-band PESQ against the recordings.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--vocoder", action="append", help="may be repeated; all by default")
    parser.add_argument("--bundle", help="folder of a bundle; the embedded one by default")
    parser.add_argument("--count", type=int, default=200, help="utterances, spread over the split")
    parser.add_argument("--corpus", type=Path, help="what the store was made from")
    arguments = parser.parse_args()
    start_quietly()
    logging.getLogger("keras_listen").setLevel(logging.ERROR)
    import numpy as np

    from keras_listen import Store, load_bundle

    bundle, store = load_bundle(arguments.bundle), Store.open(arguments.store)
    testing = store.split("testing")
    positions = testing[np.linspace(0, len(testing) - 1, arguments.count).astype(int)]
    for vocoder in arguments.vocoder or ["griffin-lim", "wavenet"]:
        measure(vocoder, bundle, store, positions, arguments.corpus)


def measure(name: str, bundle, store, positions, corpus: Path | None) -> None:
    """Print the figures of one vocoder."""
    import numpy as np

    from keras_listen.features import denormalize_magnitude, extract_fitted
    from keras_listen.plugins import default_registry
    from keras_listen.seeds import derive
    from keras_listen.vocoders.synthesis import synthesize

    vocoder = default_registry().create("vocoder", name, bundle)
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
    print(f"{name}, {len(positions)} testing utterances")
    print(f"  accuracy on features          {right.mean():.3f}")
    print(f"  accuracy on synthesized       {kept.mean():.3f}")
    print(f"  share of it                   {kept.mean() / right.mean():.3f}")
    print(f"  right answers that are kept   {(kept & right).sum() / right.sum():.3f}")
    print(f"  distance of mel bands, dB     {distance:.2f}")
    print(f"  spectral convergence (mel)    {convergence:.3f}")
    if corpus is not None:
        files = [corpus / store.utterances[position].file for position in positions]
        for what, value in perceived(files, sounds, store.spec.sample_rate).items():
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
        if importlib.util.find_spec("pesq"):
            from pesq import NoUtterancesError, pesq

            try:
                found.setdefault("PESQ, wide band", []).append(pesq(RATE, *pair, "wb"))
            except NoUtterancesError:  # too soft for its detector of speech
                continue
    return {name: float(np.mean(values)) for name, values in found.items()}


if __name__ == "__main__":
    main()
