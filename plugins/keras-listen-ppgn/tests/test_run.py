"""The prior in use: the contract, a run, and whether others agree."""

from __future__ import annotations

import csv

import numpy as np
from keras_listen_ppgn import ppgn

from keras_listen import Ascent, listen, maximize
from keras_listen.maximization import priors
from keras_listen.maximization.objectives import softmax
from keras_listen.seeds import derive
from keras_listen.testing import check_prior


def test_it_keeps_the_contract_of_priors():
    check_prior("ppgn")
    check_prior("ppgn", noise=0.05)
    check_prior("ppgn", denoiser="roundtrip")


def test_a_run_is_the_same_for_one_sample_and_for_many(tmp_path):
    settings = {
        "prior": "ppgn",
        "vocoder": "none",
        "preset": "paper",
        "options": ["prior.ppgn.noise=0.02"],
    }
    listen(words=["yes"], samples=1, out=tmp_path / "one", **settings)
    run = listen(words=["no", "yes"], samples=2, out=tmp_path / "many", **settings)
    alone, among = (np.load(tmp_path / name / "yes-000.npy") for name in ("one", "many"))
    np.testing.assert_array_equal(alone, among)
    with open(tmp_path / "many" / "samples.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert run.manifest["components"]["prior"]["distribution"] == "keras-listen-ppgn"
    assert "denoiser.keras" in run.manifest["models"]["ae-denoiser"]


def test_networks_of_other_kinds_agree_more_often_than_without_the_pull(embedded):
    targets = np.repeat(np.arange(17), 4)
    seeds = np.stack([derive(7, embedded.words[t], k) for k, t in enumerate(targets)])
    agreed = {}
    for name, prior in (("ae", priors.ae(embedded)), ("ppgn", ppgn(embedded))):
        z = prior.start(targets, seeds)
        objective = softmax(embedded)
        done = maximize(embedded.classifier, objective, prior, z, targets, Ascent(), seeds=seeds)
        assert (done.probabilities[-1].argmax(axis=1) == targets).mean() > 0.9
        referee = embedded.referees["residual"]
        agreed[name] = (referee.predict(done.features).argmax(axis=1) == targets).mean()
    # 54 and 90 of 100 where there are many.
    assert agreed["ppgn"] > agreed["ae"] + 0.15
