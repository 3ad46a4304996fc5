"""keras-listen fetch"""

from __future__ import annotations

import click

from .common import bar


@click.command()
@click.argument("corpus", type=click.Choice(["speech-commands"]))
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--url", help="A mirror of the archive.")
@click.option("--sha256", help="SHA-256 of another archive at --url.")
def fetch(corpus, folder, url, sha256) -> None:
    """Download a corpus of speech into the new folder DIR.

    Speech Commands v0.02 (Warden 2018, CC BY 4.0) is a download of 2.4 GB and takes 6 GB while it
    is unpacked. A call that was interrupted goes on where it stopped when it is given again.
    """
    from ..data.corpus import read_corpus
    from ..data.fetch import SPEECH_COMMANDS
    from ..data.fetch import fetch as download

    done = download(folder, _archive(SPEECH_COMMANDS, url, sha256), track=bar)
    if not done.fresh:
        click.echo("the corpus was there already")
    tree = read_corpus(folder)
    click.echo(f"{len(tree.utterances)} utterances of {len(tree.words)} words: {folder}")


def _archive(known, url: str | None, sha256: str | None):
    """Return `known`, perhaps from a mirror, or another archive where `sha256` says so."""
    from ..data.fetch import Archive

    other = Archive(url or known.url, sha256 or known.sha256)
    if other.sha256 != known.sha256:
        return other
    return Archive(other.url, known.sha256, known.size, known.files)
