"""The command line `keras-listen`, the only room that prints."""

from __future__ import annotations

import logging
import os
import sys
from difflib import get_close_matches

import click

from .. import __version__
from ..errors import ListenError
from .bars import remembering_interrupts
from .groups import LazyGroup

_COMMANDS = {
    "convert": "Convert published networks to a bundle.",
    "debug": "Debug misclassified utterances of a store.",
    "doctor": "Check a model file, and say how to mend what is wrong.",
    "evaluate": "Count how often words are reached, and whether referees agree.",
    "fetch": "Download a corpus of speech.",
    "plugins": "List priors, objectives, vocoders, readers and front ends.",
    "prepare": "Extract the features of a corpus into a store.",
    "run": "Maximize a classifier's words and turn them into sound.",
    "study": "Run a listening test: make recordings, collect ratings, analyse them.",
    "train": "Train classifiers and priors on a store, or a vocoder on recordings.",
    "vocode": "Turn recordings or features into sound.",
}


class _Commands(LazyGroup):
    """The group of all commands; its help imports none of them."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
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
    help="Disable a plugin, or all; may be repeated.",
)
@click.option(
    "--plugins-dir",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Folder whose *.py files are loaded as plugins; may be repeated.",
)
def keras_listen(disabled: tuple[str, ...], folders: tuple[str, ...]) -> None:
    """Hear what a speech classifier has learned."""
    if disabled or folders:
        # Here, because it imports NumPy, which --help does not need.
        from ..plugins import PluginSettings, configure_plugins

        # The options add to the environment variables.
        before = PluginSettings.from_environment()
        configure_plugins(
            disable=(*before.disable, *disabled) if disabled else None,
            folders=(*before.folders, *folders) if folders else None,
        )


def main() -> None:
    """Run the command line; a ListenError becomes one line and exit status 1."""
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
        # Whoever read our output, such as head, has closed the pipe: that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except ListenError as error:
        click.echo(f"keras-listen: {error}", err=True)
        status = 1
    sys.exit(status)


class _Lines(logging.Handler):
    """Writes to standard error, above any progress bars."""

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
