"""`keras_listen.make_study`: a listening test's recordings, from settings to files."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...experiment.api import as_text, option_texts, require_least
from ...models.backend import require_tensorflow
from ...models.blocks import BLOCK_SIZE
from ...output.progress import Track, quiet

log = logging.getLogger("keras_listen")


class Study:
    """A study whose recordings are made.

    Attributes:
        root: its folder.
        id: of the study, in all that is collected for it.
        items: rows of manifest.csv, as text.
        conditions: rows of conditions.csv.
        unreached: rows of unreached.csv.
        notes: what else should be known.
    """

    def __init__(self, root: Path, id: str, made: Any):
        self.root, self.id = root, id
        self.items, self.conditions = made.items, made.conditions
        self.unreached, self.notes = made.unreached, made.notes


def make_study(
    store: str | Path,
    out: str | Path,
    *,
    split: str = "testing",
    per_word: int = 3,
    words: Sequence[str] = (),
    prior: str = "ae",
    objective: str = "softmax",
    vocoder: str = "wavenet",
    real: bool = False,
    combinations: Sequence[str | Mapping[str, Any]] = (),
    anchors: int = 4,
    tries: int = 100,
    referees: Sequence[str | Path] = (),
    steps: int = 20,
    seed: int = 0,
    bundle: str | Path | None = None,
    classifier: str | Path | None = None,
    words_file: str | Path | None = None,
    spec: str | Path | None = None,
    trust_model: bool = False,
    options: Iterable[str] | Mapping[str, Any] = (),
    block_size: int = BLOCK_SIZE,
    resume: bool = False,
    track: Track = quiet,
) -> Study:
    """Make the recordings of a listening test: the paper's four experiments, and what is added.

    Does what `keras-listen study make` does.

    Args:
        store: folder of a store, with the utterances of the class-to-class experiments.
        out: folder, new or empty.
        split: "training", "validation", "testing" or "all".
        per_word: recordings of each word in each condition, only of maximizations that reached it.
        words: of the classifier; all by default.
        prior: the one of experiments 3 and 4; 1 and 2 have none.
        objective, vocoder: names.
        real: real utterances through the vocoder as a further condition.
        combinations: further conditions, such as "prior=vae,prior.pull=0.02,steps=150" or the same
            as a mapping, see `keras_listen.listening_test.make.conditions.parse_combination`.
        anchors: real utterances that all networks hear rightly, and as much noise, to tell careful
            raters by.
        tries: starts after which a word is given up in a condition.
        referees: further judges of the sounds, as for `keras_listen.evaluate`.
        steps: of the ascent.
        seed: of everything that is drawn.
        bundle, classifier, words_file, spec, trust_model, options: as for `keras_listen.listen`.
        block_size: samples computed together; results depend on it in their last bits.
        resume: continue the interrupted study in `out`.
        track: progress, see `keras_listen.progress`.

    Raises:
        ListenError: anything given cannot be used, and nothing has been written then; or no word
            was reached at all.
    """
    require_tensorflow()
    from ...experiment.folder import open_folder
    from ...experiment.options import ModelChoice
    from .assemble import make

    models = ModelChoice(*map(as_text, (bundle, classifier, words_file, spec)), trust_model)
    command = {
        "store": str(store),
        "split": split,
        "per_word": per_word,
        "words": list(words),
        "prior": prior,
        "objective": objective,
        "vocoder": vocoder,
        "real": real,
        "combinations": [c if isinstance(c, str) else dict(c) for c in combinations],
        "anchors": anchors,
        "tries": tries,
        "referees": [str(referee) for referee in referees],
        "steps": steps,
        "seed": seed,
        **models.settings(),
        "options": option_texts(options),
        "block_size": block_size,
    }
    plan = _plan(models, command)
    manifest = _manifest(plan, command)
    root = Path(out)
    open_folder(root, manifest, resume, "study", how="name another folder as OUT")
    for note in manifest["notes"]:
        log.warning("%s", note)
    return Study(root, manifest["study"], make(plan, root, anchors, track=track))


def _plan(models, command: Mapping[str, Any]):
    """Open models and store, and say what is wanted of each condition."""
    from ...data.store import Store
    from ...experiment.manifest import models_of
    from ...experiment.referees import open_judges, require_fitting
    from .conditions import make_conditions, parse_combination, published
    from .listeners import Listeners
    from .plan import Plan

    require_least(command, {"block_size": 1, "anchors": 0})
    names = {kind: command[kind] for kind in ("prior", "objective", "vocoder")}
    asked = published(names, real=command["real"])
    asked += [parse_combination(given, names) for given in command["combinations"]]
    bundle = models.open()
    for word in command["words"]:
        bundle.classifier.label(word)
    store = Store.open(command["store"])
    bundle.classifier.spec.require(store.spec, f"the store {store.root}")
    common = {name: command[name] for name in ("options", "steps", "seed", "block_size")}
    conditions = make_conditions(bundle, asked, **common, models=models_of(bundle, command))
    judges = open_judges(bundle, command["referees"], trust=command["trust_model"])
    require_fitting(bundle.classifier, judges)
    return Plan(
        tuple(conditions),
        tuple(dict.fromkeys(command["words"])) or bundle.classifier.words,
        command["per_word"],
        command["tries"],
        store,
        command["split"],
        Listeners(bundle.classifier, judges, command["block_size"]),
        command["seed"],
    )


def _manifest(plan, command: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything from which the study can be made again; its id is that of all the rest."""
    from ...experiment.manifest import components_of, manifest_of
    from ...experiment.referees import checksums

    experiments = [condition.experiment for condition in plan.conditions]
    manifest = manifest_of(experiments[0], command)
    manifest["components"] = components_of(experiments)
    manifest["notes"] = list(dict.fromkeys(note for e in experiments for note in e.notes))
    manifest["vocoder"] = {c.vocoder: c.files for c in plan.conditions}
    manifest["conditions"] = {str(c.number): c.label for c in plan.conditions}
    manifest["settings"] = {str(c.number): dict(c.settings) for c in plan.conditions}
    manifest["referees"] = {name: checksums(name) for name in command["referees"]}
    manifest["stores"] = {"store": plan.store.identity()}
    # Plugins that are there and not in use make no other study.
    telling = {name: about for name, about in manifest.items() if name != "plugins"}
    digest = hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()
    return {"study": digest[:12], **manifest}
