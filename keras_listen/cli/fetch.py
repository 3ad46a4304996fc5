"""keras-listen fetch"""

from __future__ import annotations

import click

from ..data.corpus import read_corpus
from ..data.fetch import SPEECH_COMMANDS, Archive
from ..data.fetch import fetch as download
from .bars import bar
from .groups import Command


@click.command(
    cls=Command,
    examples=(
        "fetch speech-commands speech_commands",
        "fetch speech-commands speech_commands --url https://mirror.example/archive.tar.gz",
    ),
)
@click.argument("corpus", type=click.Choice(["speech-commands"]))
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--url", help="Address of a mirror of the archive.")
@click.option("--sha256", help="SHA-256 of a different archive at --url.")
def fetch(corpus: str, folder: str, url: str | None, sha256: str | None) -> None:
    """Download a corpus of speech into the new folder DIR.

    Speech Commands v0.02 (Warden 2018, CC BY 4.0) is a download of 2.4 GB and needs 6 GB of disk
    while it is unpacked. An interrupted call continues where it stopped when it is repeated.
    """
    done = download(folder, _archive(SPEECH_COMMANDS, url, sha256), track=bar)
    if not done.fresh:
        click.echo("the corpus was there already")
    tree = read_corpus(folder)
    click.echo(f"{len(tree.utterances)} utterances of {len(tree.words)} words: {folder}")


def _archive(known: Archive, url: str | None, sha256: str | None) -> Archive:
    """Return `known`, perhaps from a mirror, or another archive if `sha256` is a different one."""
    other = Archive(url or known.url, sha256 or known.sha256)
    if other.sha256 != known.sha256:
        return other
    return Archive(other.url, known.sha256, known.size, known.files)
