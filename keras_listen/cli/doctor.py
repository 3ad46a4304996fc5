"""keras-listen doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..models.backend import start_quietly
from .bars import bar
from .groups import Command
from .options import classifier_options, component_options
from .text import table

if TYPE_CHECKING:
    from ..experiment.doctor import Examination
    from ..experiment.hearing import Hearing
    from ..experiment.suggest import Suggestion

_MARKS = {True: "ok", False: "PROBLEM", None: "note"}


@click.command(
    cls=Command,
    examples=(
        "doctor model.keras --words-file words.txt --audio recordings --suggest",
        "doctor listen.toml --audio recordings",
    ),
)
@click.argument("file", metavar="MODEL", type=click.Path())
@click.argument("more", metavar="", nargs=-1, type=click.Path())
@classifier_options
@component_options
@click.option(
    "--audio",
    multiple=True,
    metavar="RECORDINGS...",
    type=click.Path(),
    help="Recordings that it should hear, in a folder a word: that folder's parent, a pattern in "
    "quotes, or many files.",
)
@click.option(
    "--per-word",
    type=click.IntRange(min=1),
    help="Recordings of each word, at most.  [40]",
)
@click.option("--reader", default="soundfile", show_default=True, help="Reads recordings.")
@click.option(
    "--suggest", is_flag=True, help="Try front ends on the recordings, and write the best one."
)
@click.option(
    "--write",
    metavar="FILE",
    type=click.Path(),
    help="New listen.toml with all that was given and found.  [--suggest: listen.toml]",
)
@click.pass_context
def doctor(context: click.Context, file: str, more: tuple[str, ...], **given: Any) -> None:
    """Check a model for activation maximization, and say how to mend what does not fit.

    MODEL is a model file or folder, or a listen.toml that describes one. Prints one line for each
    finding, and with --audio how well the model hears each word; the exit status is 1 if there is a
    problem. The result on recordings is kept in the listen.toml.
    """
    start_quietly()
    # Not earlier: TensorFlow starts without its notices first.
    from ..experiment import doctor as room
    from ..experiment.settings import ModelChoice
    from ..experiment.suggest import suggest

    audio = room.gathered(file, given.pop("audio"), more)
    choice = ModelChoice.of({**given, "classifier": file})
    about = {name: given[name] for name in ("options", "reader", "write")}
    about["per_word"] = given["per_word"] or room.PER_WORD
    if given["suggest"]:
        done = suggest(choice, audio=audio, track=bar, **about)
        _show_suggestion(done)
        context.exit(done.written is None)
    found = room.examine_model(choice, audio=audio, **about)
    _show_findings(found)
    context.exit(not found.ok)


def _show_findings(found: Examination) -> None:
    width = max(len(finding.name) for finding in found.findings)
    for finding in found.findings:
        text = f"{finding.text}; {finding.remedy}" if finding.remedy else finding.text
        click.echo(f"{_MARKS[finding.ok]:<7} {finding.name:<{width}}  {text}")
    if found.heard:
        click.echo(table([["word", "recordings", "heard", "share"], *_by_word(found.heard)]))
        if confused := found.heard.confusions:
            pairs = [f"{said} as {heard or 'nothing'} {n}" for said, heard, n in confused[:5]]
            click.echo(f"most frequent confusions: {', '.join(pairs)}")
    if found.written:
        click.echo(f"kept in {found.written}")


def _by_word(heard: Hearing) -> list[list[str]]:
    rows = []
    for word, hits, count in zip(heard.words, heard.hits, heard.recordings, strict=True):
        rows.append([word, str(count), str(hits), f"{100 * hits / count:.1f} %"])
    total = [str(sum(heard.recordings)), str(sum(heard.hits)), f"{100 * heard.accuracy:.1f} %"]
    return [*rows, ["all", *total]]


def _show_suggestion(done: Suggestion) -> None:
    rows = [["front end", "settings", "accuracy", ""]]
    for trial in done.ranked:
        mark = "chosen" if trial is done.best else ""
        rows.append([trial.name, trial.changed_text, f"{100 * trial.accuracy:.1f} %", mark])
    click.echo(table(rows))
    for note in done.notes:
        click.echo(note)
    if done.written:
        click.echo(f"written: {done.written}")
