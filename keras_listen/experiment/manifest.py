"""Manifests: everything needed to repeat a command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from ..models.bundle import Bundle
from ..models.denoisers import DENOISER
from ..models.provenance import made_with
from ..models.rewrites import enabled as rewrites_enabled
from ..models.sound_classifier import SoundClassifier
from ..models.speech import SPEECH
from ..plugins import Component, default_registry
from ..vocoders.pitch import control_of
from .experiment import Experiment

SCHEMA = 1

#: Entries of manifests on what sounds are compared with, see `measures_of`.
MEASURES = ("speech", "judges")


def manifest_of(experiment: Experiment, command: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything needed to repeat a run.

    Args:
        experiment: with its components.
        command: the settings, as the user gave them.

    Returns:
        versions, components, words, features, checksums of models and more; of a classifier that
        the user brings also "checked": the table that doctor keeps in `listen.toml`, with
        "current", whether it is of this model with these settings; None if it was never checked.
    """
    origin = experiment.classifier.origin
    return {
        "schema": SCHEMA,
        "command": dict(command),
        **made_with(),
        "components": {kind: c.identity for kind, c in sorted(_components(experiment, command))},
        "notes": list(experiment.notes),
        "words": list(experiment.classifier.words),
        "spec": experiment.classifier.spec.to_dict(),
        "models": models_of(experiment.bundle) | denoiser_of(experiment),
        **({"checked": origin.checked} if origin else {}),
        **frontend_settings(experiment.classifier),
        "vocoder": dict(getattr(experiment.vocoder, "files", {})),
        **pitch_settings(experiment.vocoder),
        "block_size": experiment.block_size,
        "threads": os.cpu_count(),
        "rewrites": rewrites_enabled(),
    }


def vocoding_manifest(
    vocoder: Any, notes: Iterable[str], command: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything needed to repeat a call of vocode.

    Args:
        vocoder: as it was made by its component.
        notes: of its component, for instance on a fallback.
        command: the settings, as the user gave them; the `reader` among them is recorded even if
            there are no recordings.
    """
    reader = default_registry().find("reader", command["reader"])
    used = {"reader": reader, "vocoder": vocoder.watched_component}
    return {
        "schema": SCHEMA,
        "command": dict(command),
        **made_with(),
        "components": {kind: component.identity for kind, component in used.items()},
        "notes": list(notes),
        "spec": vocoder.spec.to_dict(),
        "vocoder": dict(getattr(vocoder, "files", {})),
        **pitch_settings(vocoder),
        "threads": os.cpu_count(),
    }


def pitch_settings(vocoder: Any) -> dict[str, Any]:
    """Return what a vocoder does about the pitch, as "pitch"; nothing where it does nothing."""
    control = control_of(vocoder)
    return {"pitch": control.settings()} if control else {}


def components_of(experiments: Iterable[Experiment]) -> dict[str, list[dict[str, str]]]:
    """Return the components of several experiments, by kind, for a manifest.

    Two of the same name come from different distributions.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for experiment in experiments:
        for kind, component in experiment.components.items():
            known = found.setdefault(kind, [])
            if component.identity not in known:
                known.append(component.identity)
    return found


def _components(
    experiment: Experiment, command: Mapping[str, Any]
) -> Iterator[tuple[str, Component]]:
    """Yield kind and component of all in use, the reader of recordings included."""
    yield from experiment.components.items()
    if "reader" in command and command.get("start") != "noise":
        yield "reader", default_registry().find("reader", command["reader"])


def models_of(bundle: Bundle) -> dict[str, Any]:
    """Return checksums of a bundle's files, and of a classifier's that the user brings.

    Denoisers are left out: manifests have only those in use, see `denoiser_of`. So is real speech,
    which changes no sound, see `measures_of`.
    """
    parts = {name: bundle.component(name) for name in bundle.names()}
    apart = [name for name, part in parts.items() if part.about.get("kind") in (DENOISER, SPEECH)]
    files = {name: part.files for name, part in parts.items() if name not in apart}
    return files | dict(origin.files if (origin := bundle.classifier.origin) else {})


def denoiser_of(experiment: Experiment) -> dict[str, Any]:
    """Return the checksums of the files of the prior's denoiser by its name, if it has one."""
    return dict(getattr(experiment.prior, "files", {}))


def measures_of(experiment: Experiment) -> dict[str, Any]:
    """Return what sounds are compared with, for the manifests of commands that tell distances.

    Returns:
        "speech": checksums and figures of real speech, or "missing", the reason; and "judges", the
        names of further classifiers that say which words they hear, where there are some.
    """
    speech = experiment.speech
    if speech is None:
        about = {"missing": experiment.speech_note}
    else:
        about = {"files": speech.files, **speech.figures}
    return {"speech": about} | ({"judges": [*experiment.judges]} if experiment.judges else {})


def frontend_settings(classifier: Any) -> dict[str, Any]:
    """Return all settings of a classifier's front end, as "frontend"; nothing where it has none."""
    if not isinstance(classifier, SoundClassifier):
        return {}
    settings = getattr(classifier.frontend, "settings", None)
    about = asdict(settings) if is_dataclass(settings) else {}
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in about.items()}
    sounds = {"sample_rate": classifier.frontend.sample_rate, "samples": classifier.path.samples}
    return {"frontend": plain | sounds}
