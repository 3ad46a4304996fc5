"""What all pages share: templates, the policy against foreign code, links and embedded files."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_NOTHING = "\N{EN DASH}"
_KINDS = {".png": "image/png", ".wav": "audio/wav", ".pdf": "application/pdf"}


def render(
    template: str,
    *,
    scripts: Sequence[str] = (),
    rules: Mapping[str, str] | None = None,
    **values: Any,
) -> str:
    """Return the text of a page.

    Args:
        template: file name of a template that extends `base.html`.
        scripts: JavaScript that runs at the end of the page, in this order. Nothing else runs:
            the page's Content-Security-Policy names them by their checksums.
        rules: of that policy, where they are not those of `policy`.
        values: for the template; `title` and `manifest` are used by every page.
    """
    from markupsafe import Markup

    trusted = [Markup(_closed(script)) for script in scripts]
    page = _environment().get_template(template)
    return page.render(scripts=trusted, policy=policy(trusted, rules), **values)


def fill(template: str, **values: Any) -> str:
    """Return a template that is no page of ours, filled in; values are escaped."""
    return _environment().get_template(template).render(**values)


def template_text(name: str) -> str:
    """Return a file that lies beside the templates, a script for example, as it is."""
    environment = _environment()
    return environment.loader.get_source(environment, name)[0]


def policy(scripts: Sequence[str], rules: Mapping[str, str] | None = None) -> str:
    """Return a Content-Security-Policy under which only `scripts` run and nothing is fetched.

    Styles may stand in the page, because Bokeh writes its own; pictures and sounds may come from
    beside the page, which is `file:` where it is opened from a disk, or from within it. `rules`
    are added, or take the place of these.
    """
    sums = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = [f"'sha256-{base64.b64encode(sum_).decode()}'" for sum_ in sums]
    all_rules = {
        "default-src": "'none'",
        "script-src": " ".join(allowed) or "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "'self' file: data:",
        "media-src": "'self' file: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        **(rules or {}),
    }
    return "; ".join(f"{rule} {value}" for rule, value in all_rules.items())


def data_block(value: Any) -> Markup:
    """Return `value` as JSON that may stand in a script element, whatever strings are in it.

    Numbers that JSON does not know (NaN, infinities) become null.
    """
    from markupsafe import Markup

    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def link(path: str) -> str:
    """Return a relative path as an address: of characters with a meaning only `/` stays."""
    return quote(path)


def source(root: Path, path: str, *, embed: bool) -> str:
    """Return what an element's `src` needs: the data itself, a relative link, or nothing.

    Args:
        root: the page's folder.
        path: of the file, relative to it.
        embed: whether the page shall hold the file itself.
    """
    file = root / path
    if not file.is_file():
        return ""
    if not embed:
        return link(path)
    return f"data:{_KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def number(value: Any) -> str:
    """Return a number as a table shows it; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _NOTHING
    return f"{100 * value:.{digits}f} %"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("keras_listen.output"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"number": number, "percent": percent, "link": link}
    return pages


def _closed(script: str) -> str:
    # In a library's strings, the end of a script element would end it.
    return script.replace("</script", "<\\/script")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
