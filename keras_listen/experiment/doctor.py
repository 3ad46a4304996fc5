"""Examine a classifier that a user brings: its file, and what it hears of recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.readers import SUFFIXES
from ..errors import ModelError, ParameterError
from ..features import FeatureSpec
from ..maximization.doctor import examine
from ..maximization.findings import Finding
from .check import checked_table, fingerprint
from .chosen_model import ChosenModel, chosen_model, read_listen_file
from .component_options import options_in_use, parse_options
from .hearing import Hearing, hear, sorted_recordings
from .listen_file import keep_check, require_new, write_listen_file
from .options import averages_first, open_classifier
from .rates import Rate
from .settings import ModelChoice, option_texts

#: Recordings of each word that are heard, at most.
PER_WORD = 40
#: Share of clipped recordings above which they are told.
_CLIPPED = 0.05


@dataclass(frozen=True)
class Examination:
    """What was found out about a model.

    Attributes:
        findings: one for each check.
        heard: how well it hears recordings; None where none were given, or it could not be opened.
        written: the `listen.toml` that keeps it, if any.
    """

    findings: list[Finding] = field(default_factory=list)
    heard: Hearing | None = None
    written: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not any(finding.ok is False for finding in self.findings)


def described_model(
    choice: ModelChoice, *, options: Iterable[str] | Mapping[str, Any] = ()
) -> ChosenModel:
    """Return the description of a model with its front end's options among its settings.

    Args:
        choice: of the user, with a classifier.
        options: of its front end, as `frontend.NAME.KEY=VALUE`.

    Raises:
        ListenError: a file cannot be read, or something is not understood.
    """
    model = chosen_model(choice)
    component = model.frontend_component()
    found = {} if component is None else {"frontend": component}
    given = options_in_use(parse_options(option_texts(options)), found)
    if component is None:
        return model
    settings = component.convert_options({**model.settings, **given.get("frontend", {})})
    return dataclasses.replace(model, settings=settings)


def examine_model(
    choice: ModelChoice,
    *,
    options: Iterable[str] | Mapping[str, Any] = (),
    audio: Sequence[str | Path] = (),
    per_word: int = PER_WORD,
    reader: str = "soundfile",
    write: str | Path | None = None,
) -> Examination:
    """Examine a model, let it hear recordings, and keep the result.

    The result is kept in the `listen.toml` that was given, if nothing was given beside it that
    changes the model, or in a new one.

    Args:
        choice: of the user, with a classifier.
        options: see `described_model`.
        audio: recordings, see `hearing.recordings_by_word`.
        per_word: so many of each word at most.
        reader: name of the reader of recordings.
        write: the new `listen.toml`.

    Raises:
        ListenError: an argument cannot be used, or there are no recordings of two words.
    """
    model = described_model(choice, options=options)
    component = model.frontend_component()
    if per_word < 1:
        raise ParameterError(f"per word is {per_word}; expected at least 1")
    if write:
        require_new(write)
    recordings, strangers = {}, []
    if audio:
        with averages_first(model, trust=choice.trust_model):
            recordings, strangers = sorted_recordings(audio, model.require_words(), most=per_word)
    findings = examine(
        model.path,
        model.words,
        model.spec,
        choice.trust_model,
        model.head,
        frontend=component and component.create(None, model.settings),
        builder=model.builder,
        imports=model.imports,
    )
    heard = None
    if not (audio or model.checked) and all(found.ok is not False for found in findings):
        text = "none were given, so whether it was trained at all, and on such input, is not known"
        findings.append(Finding("recordings", None, text, "give some of each word with --audio"))
    if audio:
        try:
            classifier = open_classifier(model, FeatureSpec(), trust=choice.trust_model)
        except ModelError:
            remedy = "mend what is above first"
            findings.append(Finding("recordings", False, "not heard", remedy))
        else:
            heard = hear(classifier, recordings, reader=reader)
            findings += _of_recordings(heard, model, strangers)
    written = _keep(choice, model, heard, write)
    if audio and heard and not written:
        text = "not kept: something was given beside the listen.toml"
        if Path(choice.classifier).suffix != ".toml":
            text = "not kept, so that run will say that the model was never checked"
        findings.append(Finding("check", None, text, "keep it with --write listen.toml"))
    return Examination(findings, heard, written)


def _keep(
    choice: ModelChoice, model: ChosenModel, heard: Hearing | None, write: str | Path | None
) -> Path | None:
    """Keep a check; return the file."""
    table = heard and checked_table(model, heard)
    if write:
        write_listen_file(write, model, table)
        return Path(write)
    given = Path(choice.classifier)
    if table and given.suffix == ".toml" and table["of"] == fingerprint(read_listen_file(given)):
        keep_check(given, table)
        return given
    return None


def _of_recordings(heard: Hearing, model: ChosenModel, strangers: Sequence[str]) -> list[Finding]:
    """Return findings on what was heard of recordings."""
    findings = [_accuracy(heard)]
    if missing := [word for word in model.require_words() if word not in heard.words]:
        text = f"no recordings of {_listed(missing)}"
        findings.append(Finding("words", None, text, "nothing is known of how these are heard"))
    if strangers:
        is_word = "is no word" if len(strangers) == 1 else "are no words"
        text = f"{_listed(strangers)} {is_word} of the model"
        findings.append(Finding("folders", None, text, "their recordings are left out"))
    count = sum(heard.recordings) + len(heard.failed)
    if heard.failed:
        text = f"{len(heard.failed)} of {count} could not be used; for instance {heard.failed[0]}"
        findings.append(Finding("files", None, text, "they are left out"))
    if heard.clipped > _CLIPPED * sum(heard.recordings):
        text = f"{heard.clipped} of {sum(heard.recordings)} recordings clip at full scale"
        findings.append(Finding("level", None, text, "record them again at a lower level"))
    return findings


def _accuracy(heard: Hearing) -> Finding:
    """Return the finding on the accuracy, beside chance."""
    if not heard.is_heard:
        return Finding(
            "recordings",
            False,
            f"{heard}, below {100 * heard.bound:.1f} %",
            "its front end, its words or their order are wrong: compare them with the code that "
            "trained it, or let --suggest try other front ends",
        )
    low, _ = Rate(sum(heard.hits), sum(heard.recordings)).interval
    if low < heard.bound:
        text = f"{heard}, which with so few may be luck"
        return Finding("recordings", None, text, "give more recordings of each word")
    return Finding("recordings", True, str(heard))


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Return names with commas, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def gathered(
    model: str, audio: Sequence[str], more: Sequence[str], suffixes: Sequence[str] = SUFFIXES
) -> tuple[str, ...]:
    """Return recordings from a command line, on which a shell put many behind `--audio`.

    Args:
        model: the first word of the command line that belongs to no option.
        audio: what follows `--audio` directly.
        more: all other words that belong to no option.
        suffixes: of recordings.

    Raises:
        ParameterError: `more` was given without `--audio`, or the model looks like a recording.
    """
    if more and not audio:
        raise ParameterError(
            f"{more[0]} was given behind the model {model}; recordings follow --audio"
        )
    if Path(model).suffix.lower() in suffixes:
        raise ParameterError(
            f"{model} is a recording and no model; name the model first, and --audio behind it"
        )
    return (*audio, *more)
