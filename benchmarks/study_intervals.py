"""Do the intervals and tests of `keras-listen study analyse` keep what they promise?

    python benchmarks/study_intervals.py [--studies 200]

Simulates studies in which the prior makes no difference: 17 words, one recording of each in two
conditions, judged by all raters. Raters may like the prior or dislike it, everywhere, each by an
amount of their own. For each kind of study it says how many 95 % intervals hold the truth, and how
often each test finds a difference at 5 %. Nobody has heard anything.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "listening_test"))
from simulated_study import Spread, judged

from keras_listen.listening_test.analyse.contrasts import compare_conditions
from keras_listen.listening_test.analyse.mean_opinion import Draws, conditions

QUALITY = {(1, "generated"): 3.0, (3, "generated"): 3.0}


def measure(raters: int, liking: float, studies: int) -> list[float]:
    """Return shares of studies: mean held, difference held, found over words, over raters, both."""
    rows = []
    for seed in range(studies):
        judgements = judged(
            1000 + seed,
            quality=QUALITY,
            words=[f"word{i}" for i in range(17)],
            takes=1,
            raters=raters,
            spread=Spread(0.3, 0.3, 0.3, liking, 0.6),
        )
        draws = Draws(seed, 300)
        mean = conditions(judgements, draws)[0]
        difference = compare_conditions(judgements, draws)[0]
        held = difference["low"] <= 0 <= difference["high"]
        found = [difference[by]["p"] < 0.05 for by in ("by_word", "by_rater")]
        rows.append([mean["low"] <= 3 <= mean["high"], held, *found, all(found) and not held])
    return np.mean(rows, axis=0).tolist()


def main() -> None:
    """Print a line for each number of raters and each liking."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=200)
    studies = parser.parse_args().studies
    print("raters  liking  mean held  difference held  found: words  raters  all three")
    for raters in (5, 8, 20):
        for liking in (0.0, 0.5):
            shares = "  ".join(f"{share:.3f}" for share in measure(raters, liking, studies))
            print(f"{raters:6d}  {liking:6.1f}  {shares}", flush=True)


if __name__ == "__main__":
    main()
