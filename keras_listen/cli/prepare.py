"""keras-listen prepare"""

from __future__ import annotations

from collections import Counter

import click

from ..data.corpus import SPLITS, read_corpus
from ..data.prepare import prepare as extract
from ..features import FeatureSpec
from .bars import bar
from .groups import Command
from .options import words_option


@click.command(
    cls=Command,
    examples=(
        "prepare speech_commands store",
        "prepare speech_commands store --word yes,no --min-utterances 100",
    ),
)
@click.argument("corpus", type=click.Path())
@click.argument("store", type=click.Path())
@words_option("Words to use, separated by commas or repeated.  [all]")
@click.option(
    "--min-utterances",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Leave out words with fewer files.",
)
@click.option(
    "--split-by-utterance",
    is_flag=True,
    help="Split each word's utterances, not speakers: for recordings of few people.",
)
@click.option(
    "--speaker-pattern",
    metavar="REGEX",
    help="Finds the speaker in a file's path, for instance '_([a-z]+)_'.  [names of the corpora]",
)
@click.option("--reader", default="soundfile", show_default=True, help="Reader of the sound files.")
@click.option("--spec", type=click.Path(), help="TOML file with another FeatureSpec.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [one per core]")
def prepare(
    corpus: str,
    store: str,
    words: list[str],
    min_utterances: int,
    split_by_utterance: bool,
    speaker_pattern: str | None,
    reader: str,
    spec: str | None,
    workers: int | None,
) -> None:
    """Extract the features of CORPUS into STORE.

    CORPUS is a folder in the layout of Speech Commands. An interrupted call continues where it
    stopped when it is repeated.
    """
    tree = read_corpus(
        corpus,
        words=words,
        min_utterances=min_utterances,
        split_by_utterance=split_by_utterance,
        speaker_pattern=speaker_pattern,
    )
    done = extract(
        tree,
        store,
        spec=FeatureSpec.from_toml(spec) if spec else None,
        reader=reader,
        workers=workers,
        track=bar,
    )
    if done.resumed:
        click.echo(f"{done.resumed} utterances were there already")
    counts = ", ".join(f"{count} {split}" for split, count in done.store.counts().items())
    total = len(done.store.utterances)
    click.echo(f"{total} utterances of {len(done.store.words)} words ({counts}): {store}")
    speakers = {(u.split, u.speaker) for u in done.store.utterances}
    by_split = Counter(split for split, _ in speakers)
    click.echo("speakers: " + ", ".join(f"{by_split[split]} {split}" for split in SPLITS))
    for file, reason in done.skipped[:10]:
        click.echo(f"skipped {file}: {reason}", err=True)
    for note in (*tree.notes, *done.notes):
        click.echo(note, err=True)
