"""keras-listen study serve, invite, export, page and mturk"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import click

from ...listening_test.collect import api, offline
from ...listening_test.collect.order import MODES
from ..groups import Command

#: Approximate time a rater takes for one recording, in seconds.
_PACE = 7
_root = click.argument("root", metavar="OUT", type=click.Path())
_database = click.option(
    "--database", metavar="URL", help="SQLAlchemy URL.  [a SQLite file in OUT]"
)
_url = click.option(
    "--url", help="Address under which raters reach the server, for instance https://study.example."
)


def _design_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the design: which recordings a rater hears, and what is asked."""
    mode = click.Choice([*MODES, "both"])
    options = (
        click.option("--mode", type=mode, help="Question to raters.  [rating, or as before]"),
        click.option(
            "--per-rater",
            type=click.IntRange(min=1),
            help="Recordings per rater, without anchors and repeats.  [all]",
        ),
        click.option(
            "--anchors",
            type=click.IntRange(min=0),
            help="Hidden clear and unclear anchors.  [5 %, at least 4]",
        ),
        click.option(
            "--repeats",
            type=click.IntRange(min=0),
            help="Recordings presented twice, as a check.  [5 %, at least 2]",
        ),
        click.option("--title", default=offline.TITLE, show_default=True, help="Title."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    cls=Command,
    examples=(
        "study serve study",
        "study serve study --mode both --per-rater 40 --raters 10 --url https://study.example",
    ),
)
@_root
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=api.PORT,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@_database
@_design_options
@click.option(
    "--raters", type=click.IntRange(min=0), default=0, help="Invite raters up to this number."
)
@click.option(
    "--most-raters",
    type=click.IntRange(min=1),
    help="Greatest number of raters.  [1000, or as before]",
)
@click.option(
    "--open/--invited-only",
    "is_open",
    default=None,
    help="Whether anybody with the link may join.  [open, or as before]",
)
@_url
@click.option(
    "--proxy",
    default="127.0.0.1",
    show_default=True,
    help="Addresses of proxies whose X-Forwarded-For header is trusted.",
)
@click.option("--new-admin-token", is_flag=True, help="Replace the token for administrators.")
def serve(**settings: Any) -> None:
    """Serve the listening test in OUT to raters.

    Prints the link for raters, and the first time a token for administrators. Each rating is stored
    before the rater sees the next recording. Ctrl-C stops the server; the same command continues.
    """
    # SIGTERM, which stops a service, acts like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        api.serve(**settings, announce=_announce)
    except KeyboardInterrupt:
        click.echo("stopped; every rating is in the database")


def _announce(serving: api.Serving) -> None:
    """Print links, tokens and figures of a server that has just started."""
    count = serving.presentations
    minutes = max(1, round(count * _PACE / 60))
    click.echo(f"{serving.recordings} recordings; a rater hears {count}, about {minutes} min")
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


@click.command(
    cls=Command,
    examples=("study invite study", "study invite study --raters 10 --url https://study.example"),
)
@_root
@click.option(
    "--raters",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of raters to add.",
)
@_database
@_url
def invite(root: str, raters: int, database: str | None, url: str | None) -> None:
    """Print links for new raters of the listening test in OUT, one per person."""
    _print_links(api.invite(root, raters, database=database, url=url))


@click.command(
    cls=Command, examples=("study export study", "study export study --out ratings-monday.csv")
)
@_root
@click.option(
    "--out", type=click.Path(), default="ratings.csv", show_default=True, help="Path of the file."
)
@_database
def export(root: str, out: str, database: str | None) -> None:
    """Export the ratings of the listening test in OUT as CSV, even while it is served."""
    click.echo(f"{api.export(root, out, database=database)} ratings: {out}")


@click.command(
    cls=Command,
    examples=(
        "study page study",
        "study page study --mode word --single-file --return-to me@study.example",
    ),
)
@_root
@_design_options
@click.option(
    "--orders", type=click.IntRange(min=1), help="Number of orders in the page.  [up to 24]"
)
@click.option("--return-to", default="", help="Whom raters are asked to send their ratings to.")
@click.option("--single-file", is_flag=True, help="Embed the sounds in the page.")
@click.option("--out", type=click.Path(), help="New folder.  [OUT/page]")
def page(mode: str | None, **settings: Any) -> None:
    """Write a page that collects ratings without a server.

    The page rates the listening test in OUT. It works from a disk, a file share or any web server,
    and gives each rater a file to send back.
    """
    click.echo(f"page: {offline.write_page(mode=mode or 'rating', **settings)}")


@click.command(
    cls=Command,
    examples=(
        "study mturk study --audio-url https://study.example/audio",
        "study mturk study --audio-url https://study.example/audio --no-anchors",
    ),
)
@_root
@click.option("--audio-url", required=True, help="Address of the folder with the recordings.")
@click.option(
    "--anchors/--no-anchors", default=True, help="Include tasks that detect careless raters."
)
@click.option("--out", type=click.Path(), help="New folder.  [OUT/mturk]")
def mturk(root: str, audio_url: str, anchors: bool, out: str | None) -> None:
    """Write task and input file for Mechanical Turk.

    Workers rate the listening test in OUT with them.
    """
    folder = offline.write_mturk_task(root, audio_url, out, anchors=anchors)
    click.echo(f"upload {click.format_filename(root)}/audio/*.wav to {audio_url}")
    click.echo(f"task: {folder / 'task.html'}\ninput file: {folder / 'input.csv'}")
