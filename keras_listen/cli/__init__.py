"""The command line. Every word that is printed is printed here."""

from __future__ import annotations

import logging
import os
import sys

import click

from .. import __version__
from ..errors import ListenError
from .common import LazyGroup, remembering_interrupts

_COMMANDS = {
    "convert": "Turn published networks into a bundle.",
    "debug": "Look into the utterances that were misclassified.",
    "doctor": "Say whether a model file can be listened to, and how to mend it.",
    "evaluate": "Count how often words are reached, and whether other classifiers agree.",
    "fetch": "Download a corpus of speech.",
    "plugins": "List priors, objectives, vocoders and readers.",
    "prepare": "Extract the features of a corpus into a store.",
    "run": "Maximize a classifier's words and hear them.",
    "study": "Run a listening test: make recordings, collect ratings, analyse them.",
    "train": "Train classifiers and priors on a store, or a vocoder on recordings.",
    "vocode": "Turn recordings or features into sound.",
}


class _Commands(LazyGroup):
    """All commands, listed with what they do without importing any."""

    def resolve_command(self, context: click.Context, args: list[str]):
        from difflib import get_close_matches

        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            if near := get_close_matches(args[0], _COMMANDS, n=1):
                error.message += f" Did you mean {near[0]!r}?"
            raise

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    homes={name: name for name in sorted(_COMMANDS)},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="keras-listen")
@click.option(
    "--no-plugin",
    "disabled",
    multiple=True,
    metavar="NAME",
    help="Leave a plugin out, or all; may be repeated.",
)
@click.option(
    "--plugins-dir",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Folder whose *.py files are plugins; may be repeated.",
)
def keras_listen(disabled: tuple[str, ...], folders: tuple[str, ...]) -> None:
    """Hear what a speech classifier has learned."""
    if disabled or folders:
        from ..plugins import Settings, configure_plugins

        # Added to what the environment names.
        before = Settings.from_environment()
        configure_plugins(
            disable=(*before.disable, *disabled) if disabled else None,
            folders=(*before.folders, *folders) if folders else None,
        )


def main() -> None:
    """Run the command line; a mendable error becomes one line and exit status 1."""
    _log_to_stderr()
    try:
        with remembering_interrupts():
            status = keras_listen.main(prog_name="keras-listen", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("keras-listen: interrupted", err=True)
        status = 130
    except BrokenPipeError:
        # The reader of our output has gone: nothing is wrong, and nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except ListenError as error:
        click.echo(f"keras-listen: {error}", err=True)
        status = 1
    sys.exit(status)


class _Lines(logging.Handler):
    """Writes to standard error, above the progress bars that may be there."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)


def _log_to_stderr() -> None:
    log = logging.getLogger("keras_listen")
    if log.handlers:
        return
    handler = _Lines()
    handler.setFormatter(logging.Formatter("keras-listen: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
