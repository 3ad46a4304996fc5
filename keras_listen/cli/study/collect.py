"""keras-listen study serve, invite, export, page and mturk"""

from __future__ import annotations

import signal

import click

from ...listening_test.collect import api as collecting
from ...listening_test.collect import offline as handouts
from ...listening_test.collect.order import MODES

#: About what a rater takes for one recording, in seconds.
_PACE = 7
_root = click.argument("root", metavar="OUT", type=click.Path())
_database = click.option(
    "--database", metavar="URL", help="SQLAlchemy URL.  [a SQLite file in the study's folder]"
)
_url = click.option(
    "--url", help="Address under which raters reach the server, for instance https://study.example."
)


def _design_options(command):
    """Add the options that say what a rater hears."""
    mode = click.Choice([*MODES, "both"])
    options = (
        click.option("--mode", type=mode, help="What raters are asked.  [rating, or as before]"),
        click.option(
            "--per-rater",
            type=click.IntRange(min=1),
            help="Recordings that a rater hears, checks not counted.  [all]",
        ),
        click.option(
            "--anchors", type=click.IntRange(min=0), help="Clear and unclear ones.  [5 %, but 4]"
        ),
        click.option(
            "--repeats", type=click.IntRange(min=0), help="Heard twice, as a check.  [5 %, but 2]"
        ),
        click.option("--title", default=handouts.TITLE, show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_root
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=collecting.PORT, show_default=True)
@_database
@_design_options
@click.option(
    "--raters", type=click.IntRange(min=0), default=0, help="Make links until there are so many."
)
@click.option(
    "--most-raters", type=click.IntRange(min=1), help="So many may join.  [1000, or as before]"
)
@click.option(
    "--open/--invited-only",
    "is_open",
    default=None,
    help="Whether the study's link lets anybody in.  [open, or as before]",
)
@_url
@click.option(
    "--proxy",
    default="127.0.0.1",
    show_default=True,
    help="Addresses of proxies that are believed what they forward.",
)
@click.option("--new-admin-token", is_flag=True, help="Make another one; the old one ends.")
def serve(**settings) -> None:
    """Collect ratings of the study in OUT with a server.

    Prints the link for raters, and the first time a token for administrators. Ratings are in the
    database before a rater sees the next recording. Ctrl-C ends it, the same command goes on.
    """
    # What ends a service ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        collecting.serve(**settings, announce=_announce)
    except KeyboardInterrupt:
        click.echo("stopped; every rating is in the database")


def _announce(serving: collecting.Serving) -> None:
    """Print what one needs to know of a server that has just begun."""
    heard = serving.presentations
    minutes = max(1, round(heard * _PACE / 60))
    click.echo(f"{serving.recordings} recordings; a rater hears {heard}, about {minutes} min")
    click.echo(f"ratings: {serving.database}")
    if serving.study_link:
        click.echo(f"link for raters: {serving.study_link}")
    _print_links(serving.links)
    click.echo(f"administrators: {serving.url}/admin")
    if serving.admin_token:
        click.echo(f"their token, shown only now: {serving.admin_token}")
    click.get_text_stream("stdout").flush()


def _print_links(links: list[str]) -> None:
    for number, link in enumerate(links, start=1):
        click.echo(f"rater {number}: {link}")


@click.command()
@_root
@click.option("--raters", type=click.IntRange(min=1), default=1, show_default=True)
@_database
@_url
def invite(root, raters, database, url) -> None:
    """Make links for raters of the study in OUT; each is one person's."""
    _print_links(collecting.invite(root, raters, database=database, url=url))


@click.command()
@_root
@click.option("--out", type=click.Path(), default="ratings.csv", show_default=True)
@_database
def export(root, out, database) -> None:
    """Write the ratings of the study in OUT as CSV, while it is being served or later."""
    click.echo(f"{collecting.export(root, out, database=database)} ratings: {out}")


@click.command()
@_root
@_design_options
@click.option("--orders", type=click.IntRange(min=1), help="Orders in the page.  [up to 24]")
@click.option("--return-to", default="", help="Whom raters shall send their ratings to.")
@click.option("--single-file", is_flag=True, help="Put the sounds into the page.")
@click.option("--out", type=click.Path(), help="A new folder.  [page, in the study's]")
def page(mode, **settings) -> None:
    """Write a page for rating the study in OUT that needs no server.

    It works from a disk, a file share or any web server, and hands each rater a file to send back.
    """
    click.echo(f"page: {handouts.page(mode=mode or 'rating', **settings)}")


@click.command()
@_root
@click.option("--audio-url", required=True, help="Address of the folder with the recordings.")
@click.option("--anchors/--no-anchors", default=True, help="Tasks that tell careless raters.")
@click.option("--out", type=click.Path(), help="A new folder.  [mturk, in the study's]")
def mturk(root, audio_url, anchors, out) -> None:
    """Write the task and the input file of the study in OUT for Mechanical Turk."""
    folder = handouts.mturk(root, audio_url, out, anchors=anchors)
    click.echo(f"upload {click.format_filename(root)}/audio/*.wav to {audio_url}")
    click.echo(f"task: {folder / 'task.html'}\ninput file: {folder / 'input.csv'}")
