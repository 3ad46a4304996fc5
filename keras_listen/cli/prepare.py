"""keras-listen prepare"""

from __future__ import annotations

import click

from .common import bar, split_list


@click.command()
@click.argument("corpus", type=click.Path())
@click.argument("store", type=click.Path())
@click.option("--words", callback=split_list, help="Words wanted, as a,b,c.  [all]")
@click.option(
    "--min-utterances",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Leave out words with fewer files.",
)
@click.option("--reader", default="soundfile", show_default=True, help="What reads the files.")
@click.option("--spec", type=click.Path(), help="TOML file with another FeatureSpec.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [one a core]")
def prepare(corpus, store, words, min_utterances, reader, spec, workers) -> None:
    """Extract the features of CORPUS, a Speech Commands style tree, into STORE.

    A call that was interrupted goes on where it stopped when it is given again.
    """
    from ..data.corpus import read_corpus
    from ..data.prepare import prepare as extract
    from ..features import FeatureSpec

    tree = read_corpus(corpus, words=words, min_utterances=min_utterances)
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
    for file, reason in done.skipped[:10]:
        click.echo(f"skipped {file}: {reason}", err=True)
    if done.skipped:
        click.echo(
            f"{len(done.skipped)} files skipped, all listed in {store}/skipped.csv", err=True
        )
