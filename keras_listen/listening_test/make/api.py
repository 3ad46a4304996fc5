"""Make a listening test: `keras_listen.make_study`, which is `keras-listen study make`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from ...data.store import Store
from ...experiment.component_options import parse_options
from ...experiment.folder import open_folder
from ...experiment.manifest import components_of, denoiser_of, manifest_of, models_of
from ...experiment.options import open_models
from ...experiment.presets import recorded, require_preset
from ...experiment.referees import checksums, open_referees, require_fitting
from ...experiment.settings import (
    CommandSettings,
    SharedKeywords,
    require_least,
    shares_settings,
    unique,
)
from ...features import PART_FIELDS
from ...models.backend import require_tensorflow
from ...output.progress import Track, in_notebooks
from ...plugins.presets import PAPER
from .assemble import make_recordings
from .conditions import make_conditions, parse_combination, published_combinations
from .plan import Plan
from .referee_panel import RefereePanel

log = logging.getLogger("keras_listen")


@dataclass(frozen=True, eq=False, repr=False)
class MadeStudy:
    """A listening test with its recordings, ready to collect ratings.

    Attributes:
        root: its folder.
        id: identifies it in everything that is collected for it.
        items: rows of manifest.csv, as text.
        conditions: rows of conditions.csv.
        unreached: rows of unreached.csv.
        notes: deviations from what was asked for.
    """

    root: Path
    id: str
    items: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    unreached: list[dict[str, Any]]
    notes: list[str]

    def __repr__(self) -> str:
        counts = f"{len(self.items)} recordings, {len(self.conditions)} rows of conditions"
        return f"<MadeStudy {self.id} in {self.root}: {counts}>"


@dataclass(frozen=True)
class StudySettings(CommandSettings):
    """Settings of `study make`; see `make_study` for the fields."""

    store: str
    split: str
    per_word: int
    words: tuple[str, ...]
    prior: str
    objective: str
    vocoder: str
    real: bool
    combinations: tuple[str | dict[str, Any], ...]
    anchors: int
    tries: int
    referees: tuple[str, ...]

    def __post_init__(self) -> None:
        least = {"block_size": 1, "anchors": 0}
        require_least({"block_size": self.shared.block_size, "anchors": self.anchors}, least)

    def command(self) -> dict[str, Any]:
        """Return the settings as the manifest keeps them."""
        return {
            **recorded(self.shared.preset),
            "store": self.store,
            "split": self.split,
            "per_word": self.per_word,
            "words": list(self.words),
            "prior": self.prior,
            "objective": self.objective,
            "vocoder": self.vocoder,
            "real": self.real,
            "combinations": list(self.combinations),
            "anchors": self.anchors,
            "tries": self.tries,
            "referees": list(self.referees),
            **self.shared.ascent.recorded(always=("steps",)),
            "seed": self.shared.seed,
            **self.shared.models.settings(),
            "options": list(self.shared.options),
            "block_size": self.shared.block_size,
        }


@shares_settings
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
    resume: bool = False,
    track: Track = in_notebooks,
    **shared: Unpack[SharedKeywords],
) -> MadeStudy:
    """Make the recordings of a listening test: the paper's four experiments and further conditions.

    Does what `keras-listen study make` does.

    Args:
        store: folder of a store with the utterances of the class-to-class experiments.
        out: folder, new or empty.
        split: "training", "validation", "testing" or "all".
        per_word: recordings of each word in each condition, from maximizations that reached it.
        words: words to record; all of the classifier's by default.
        prior: name of the prior of experiments 3 and 4; 1 and 2 have none.
        objective, vocoder: names, see `keras-listen plugins`.
        real: real utterances through the vocoder as a further condition.
        combinations: further conditions, such as "prior=vae,prior.pull=0.02,steps=150" or the same
            as a mapping, see `listening_test.make.conditions.parse_combination`.
        anchors: number of clear anchors (real utterances that classifier and referees all
            recognize) and of unclear ones (noise), by which careful raters are told from others.
        tries: starts after which a word is given up in a condition.
        referees: further referees that score the sounds, as for `keras_listen.evaluate`.
        **shared
        resume: continue the interrupted listening test in `out`.
        track: progress, see `keras_listen.output.progress`.

    Returns:
        MadeStudy, with `root`, `id`, and the rows `items`, `conditions` and `unreached`.

    Raises:
        ListenError: an argument cannot be used, and nothing has been written; or no word was
            reached in any condition.
    """
    settings = StudySettings.of(locals())
    require_tensorflow()
    plan = _plan(settings)
    manifest = _manifest(plan, settings)
    root = Path(out)
    open_folder(root, manifest, resume, "listening test", how="name another folder as OUT")
    for note in manifest["notes"]:
        log.warning("%s", note)
    tables = make_recordings(plan, root, anchors, track=track)
    return MadeStudy(root, manifest["study"], **vars(tables))


def _plan(settings: StudySettings) -> Plan:
    """Open models and store, and make the conditions.

    Raises:
        ListenError: anything asked for cannot be used.
    """
    shared = settings.shared
    names = {"prior": settings.prior, "objective": settings.objective, "vocoder": settings.vocoder}
    asked = published_combinations(names, real=settings.real)
    asked += [parse_combination(given, names) for given in settings.combinations]
    require_preset(shared.preset or PAPER)
    bundle = open_models(shared.models, parse_options(shared.options))
    for word in settings.words:
        bundle.classifier.label(word)
    store = Store.open(settings.store)
    bundle.classifier.spec.require(store.spec, f"the store {store.root}", ignore=PART_FIELDS)
    conditions = make_conditions(
        bundle,
        asked,
        shared=shared,
        models=models_of(bundle),
    )
    referees = open_referees(bundle, settings.referees, trust=shared.models.trust_model)
    require_fitting(bundle.classifier, referees)
    return Plan(
        conditions=tuple(conditions),
        words=unique(settings.words) or bundle.classifier.words,
        per_word=settings.per_word,
        tries=settings.tries,
        store=store,
        split=settings.split,
        panel=RefereePanel(bundle.classifier, referees, shared.block_size),
        seed=shared.seed,
    )


def _manifest(plan: Plan, settings: StudySettings) -> dict[str, Any]:
    """Return everything needed to repeat the listening test, with an id made from all of it."""
    experiments = [condition.experiment for condition in plan.conditions]
    manifest = manifest_of(experiments[0], settings.command())
    manifest["components"] = components_of(experiments)
    for experiment in experiments:
        manifest["models"] |= denoiser_of(experiment)
    manifest["notes"] = list(dict.fromkeys(note for e in experiments for note in e.notes))
    manifest["vocoder"] = {c.vocoder: c.files for c in plan.conditions}
    manifest["conditions"] = {str(c.number): c.label for c in plan.conditions}
    manifest["settings"] = {str(c.number): dict(c.settings) for c in plan.conditions}
    manifest["referees"] = {name: checksums(name) for name in settings.referees}
    manifest["stores"] = {"store": plan.store.identity()}
    # Plugins that are installed but not in use do not change the id, and of a check only the file
    # that keeps it, which is among the models.
    telling = {k: about for k, about in manifest.items() if k not in ("plugins", "checked")}
    digest = hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()
    return {"study": digest[:12], **manifest}
