"""keras-listen plugins"""

from __future__ import annotations

import json

import click

from .common import table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, with types and defaults.")
def plugins(as_json: bool) -> None:
    """List priors, objectives, vocoders and readers with their options and where they come from."""
    from ..plugins import default_registry

    registry = default_registry()
    entries = [_describe(component) for component in _sorted(registry.components)]
    entries += [_describe_failure(failure) for failure in registry.failures]
    if as_json:
        click.echo(json.dumps(entries, indent=2, default=str))
        return
    heading = ["kind", "name", "state", "distribution", "options"]
    click.echo(
        table(
            [
                heading,
                *([str(entry[key]) for key in heading[:3]] + _tail(entry) for entry in entries),
            ]
        )
    )
    for entry in entries:
        if entry["reason"]:
            click.echo(f"{entry['kind']} {entry['name']} {entry['state']}: {entry['reason']}")


def _sorted(components):
    from ..plugins import KINDS

    return sorted(components, key=lambda c: (KINDS.index(c.kind), c.name, c.distribution))


def _tail(entry: dict) -> list[str]:
    options = ", ".join(f"{option['name']}={option['default']}" for option in entry["options"])
    return [f"{entry['distribution']} {entry['version']}", options]


def _describe(component) -> dict:
    reason = component.why_unavailable()
    return {
        "kind": component.kind,
        "name": component.name,
        "state": "unavailable" if reason else "ready",
        "reason": reason,
        "distribution": component.distribution,
        "version": component.version,
        "doc": component.doc,
        "options": [
            {"name": o.name, "type": o.type_name, "default": o.default, "doc": o.doc}
            for o in component.options
        ],
    }


def _describe_failure(failure) -> dict:
    return {
        "kind": "plugin",
        "name": failure.distribution,
        "state": "failed",
        "reason": failure.reason,
        "distribution": failure.distribution,
        "version": failure.version,
        "doc": "",
        "options": [],
    }
