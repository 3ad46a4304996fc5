"""keras-listen doctor"""

from __future__ import annotations

import click

from ..models.backend import start_quietly

_MARKS = {True: "ok", False: "PROBLEM", None: "note"}


@click.command()
@click.argument("file", metavar="FILE.keras", type=click.Path())
@click.option("--words-file", type=click.Path(), help="Words of the model, one a line.")
@click.option(
    "--spec", type=click.Path(), help="TOML file with its FeatureSpec.  [the default features]"
)
@click.option("--trust-model", is_flag=True, help="Open the file even if it holds Python code.")
@click.pass_context
def doctor(
    context: click.Context, file: str, words_file: str | None, spec: str | None, trust_model: bool
) -> None:
    """Check whether a model file can be used, and say how to mend what does not fit.

    Prints one line for each finding; the exit status is 1 if there is a problem.
    """
    start_quietly()
    # Not earlier: TensorFlow starts without its notices first.
    from ..features import FeatureSpec
    from ..maximization.doctor import examine
    from ..models.classifier import read_words

    findings = examine(
        file,
        words=read_words(words_file) if words_file else None,
        spec=FeatureSpec.from_toml(spec) if spec else None,
        trust=trust_model,
    )
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        text = f"{finding.text}; {finding.remedy}" if finding.remedy else finding.text
        click.echo(f"{_MARKS[finding.ok]:<7} {finding.name:<{width}}  {text}")
    context.exit(any(finding.ok is False for finding in findings))
