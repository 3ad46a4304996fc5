"""The command `keras-listen plugins`: list, show and start plugins."""

from __future__ import annotations

import json
from collections.abc import Iterable
from textwrap import indent
from typing import Any

import click

from ..errors import MOST_NAMES, ParameterError, unknown
from ..plugins import KINDS, Component, Failure, Option, Registry, default_registry
from ..plugins.component import canonical
from ..plugins.presets import OPTIONS
from ..plugins.scaffold import package_of, write_package
from .groups import Command
from .text import table

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Listing(click.Group):
    """A group whose default command is `list`: `plugins prior` is `plugins list prior`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        first = next((arg for arg in args if not arg.startswith("-")), None)
        wants_help = first is None and {"-h", "--help"} & set(args)
        if first not in self.commands and not wants_help:
            args = ["list", *args]
        return super().parse_args(context, args)


@click.group(cls=_Listing)
def plugins() -> None:
    """List priors, objectives, vocoders, readers and front ends, and where they come from.

    `keras-listen plugins KIND` lists one kind only: prior, objective, vocoder,
    reader or frontend.
    """


@plugins.command("list", cls=Command, examples=("plugins", "plugins prior --json"))
@click.argument("kind", required=False)
@_JSON
def list_(kind: str | None, as_json: bool) -> None:
    """List components, and plugins that failed or are disabled.

    KIND is prior, objective, vocoder, reader or frontend; without it, all kinds are listed.
    """
    chosen = _kind(kind) if kind else None
    registry = default_registry()
    found = [c for c in _sorted(registry.components) if chosen in (None, c.kind)]
    entries = [_describe(registry, component) for component in found]
    entries += [_describe_failure(failure) for failure in registry.failures]
    if as_json:
        _write_json(entries)
        return
    heading = ["kind", "name", "state", "distribution", "options"]
    click.echo(table([heading, *(_row(entry) for entry in entries)]))
    for entry in entries:
        if entry["reason"]:
            click.echo(f"{entry['kind']} {entry['name']} {entry['state']}: {entry['reason']}")


@plugins.command(cls=Command, examples=("plugins show ae", "plugins show vocoder:wavenet --json"))
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """Show a component's options, documentation and source.

    NAME is the name of a component, also as DISTRIBUTION:NAME or KIND:NAME, or of a plugin. For a
    plugin, all its components are shown, or the reason why it failed or is disabled. If components
    of several kinds have the name, all of them are shown.
    """
    registry = default_registry()
    entries = _named(registry, name)
    if as_json:
        _write_json(entries)
    else:
        click.echo("\n\n".join(_page(entry) for entry in entries))


@plugins.command(
    cls=Command,
    examples=("plugins new slow --kind prior", "plugins new slow my-folder --kind vocoder"),
)
@click.argument("name")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path())
@click.option("--kind", type=click.Choice(KINDS), required=True, help="Kind of component.")
def new(name: str, folder: str | None, kind: str) -> None:
    """Write a package with a working plugin, as a start for your own.

    NAME is the name of the component, such as slow. The package is called keras-listen-NAME and is
    written to DIR, by default a folder of that name.
    """
    package = package_of(name, kind)
    root = write_package(package, folder)
    click.echo(f"{kind} {package.name}, package {package.distribution}, in {root}:")
    for path in package.files():
        click.echo(f"  {path}")
    click.echo(f"next: pip install -e '{root}[test]' && pytest {root}")
    click.echo(f"then: {package.use}")


def _kind(given: str) -> str:
    kind = given.removesuffix("s")
    if kind not in KINDS:
        known = (*KINDS, *plugins.commands)
        raise ParameterError(unknown("kind or command of keras-listen plugins", given, known))
    return kind


def _named(registry: Registry, name: str) -> list[dict[str, Any]]:
    """Describe all components and failures of a name; see `show`."""
    kind, _, short = name.rpartition(":")
    components = [
        component
        for component in _sorted(registry.components)
        if component.is_called(name)
        or canonical(component.distribution) == canonical(name)
        or (component.kind, component.name) == (kind, short)
    ]
    found = [_describe(registry, component) for component in components]
    names = [canonical(failure.distribution) for failure in registry.failures]
    owner = canonical(kind or name)
    pairs = zip(names, registry.failures, strict=True)
    found += [_describe_failure(failure) for other, failure in pairs if other == owner]
    if not found:
        known = {component.name for component in registry.components} | set(names)
        raise ParameterError(unknown("component or plugin", name, known))
    return found


def _sorted(components: Iterable[Component]) -> list[Component]:
    return sorted(components, key=lambda c: (KINDS.index(c.kind), c.name, c.distribution))


def _row(entry: dict[str, Any]) -> list[str]:
    options = ", ".join(
        option["name"] + ("" if option["required"] else f"={option['default']}")
        for option in entry["options"]
    )
    if len(entry["options"]) > MOST_NAMES:
        options = f"{len(entry['options'])}: keras-listen plugins show {entry['name']}"
    owner = f"{entry['distribution']} {entry['version']}"
    return [entry["kind"], entry["use"], entry["state"], owner, options]


def _page(entry: dict[str, Any]) -> str:
    """Return the description of one entry as text."""
    state = f"{entry['state']}: {entry['reason']}" if entry["reason"] else entry["state"]
    lines = [f"{entry['kind']} {entry['name']}", f"  {state}"]
    lines.append(f"  from {entry['distribution']} {entry['version']}, {entry['source'] or '?'}")
    if entry["kind"] != "plugin":
        lines.append(f"  used as --{entry['kind']} {entry['use']}")
    if entry["documentation"]:
        lines += ["", indent(entry["documentation"], "  ")]
    if entry["options"]:
        rows = [["option", "type", "default", ""], *map(_option_row, entry["options"])]
        path = f"{entry['kind']}.{entry['use']}"
        lines += ["", indent(table(rows), "  "), f"  given as -o {path}.OPTION=VALUE"]
    if entry["presets"]:
        rows = [["preset", "settings"], *map(_preset_row, entry["presets"].items())]
        lines += ["", indent(table(rows), "  "), "  given as --preset NAME"]
    return "\n".join(lines)


def _option_row(option: dict[str, Any]) -> list[str]:
    default = "(required)" if option["required"] else repr(option["default"])
    return [option["name"], option["type"], default, " ".join(option["doc"].split())]


def _preset_row(preset: tuple[str, dict[str, Any]]) -> list[str]:
    name, entry = preset
    settings = {k: v for k, v in entry.items() if k != OPTIONS} | dict(entry.get(OPTIONS, {}))
    return [name, ", ".join(f"{key}={value}" for key, value in settings.items())]


def _write_json(entries: list[dict[str, Any]]) -> None:
    click.echo(json.dumps(entries, indent=2, default=str))


def _describe(registry: Registry, component: Component) -> dict[str, Any]:
    reason = component.why_unavailable()
    return {
        "kind": component.kind,
        "name": component.name,
        "state": "unavailable" if reason else "ready",
        "reason": reason,
        "distribution": component.distribution,
        "version": component.version,
        "doc": component.doc,
        "options": [_describe_option(option) for option in component.options],
        "use": registry.use(component),
        "source": component.source,
        "documentation": component.documentation,
        "presets": {name: dict(entry) for name, entry in component.presets.items()},
    }


def _describe_option(option: Option) -> dict[str, Any]:
    return {
        "name": option.name,
        "type": option.type_name,
        "default": option.default,
        "doc": option.doc,
        "required": option.required,
    }


def _describe_failure(failure: Failure) -> dict[str, Any]:
    source = failure.source
    return {
        "kind": "plugin",
        "name": failure.distribution,
        "state": failure.state,
        "reason": failure.reason,
        "distribution": failure.distribution,
        "version": failure.version,
        "doc": "",
        "options": [],
        "use": failure.distribution,
        "source": str(source.file or source.module or "") if source else None,
        "documentation": "",
        "presets": {},
    }
