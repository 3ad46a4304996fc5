"""keras-listen plugins new"""

from __future__ import annotations

import click

from ..plugins import KINDS


@click.command()
@click.argument("name")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path())
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it brings.")
def new(name: str, folder: str | None, kind: str) -> None:
    """Write a package with a plugin that works, to be changed into your own.

    NAME is the component's, such as slow; the package is called keras-listen-NAME and written into
    DIR, by default a folder of that name.
    """
    from ..plugins.scaffold import package_of, write_package

    package = package_of(name, kind)
    root = write_package(package, folder)
    click.echo(f"{kind} {package.name}, package {package.distribution}, in {root}:")
    for path in package.files():
        click.echo(f"  {path}")
    click.echo(f"next: pip install -e '{root}[test]' && pytest {root}")
    click.echo(f"then: {package.use}")
