"""Rendering of HTML pages: templates, Content-Security-Policy, links and embedded files."""

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
    """Return the HTML of a page.

    Args:
        template: file name of a template that extends `base.html`.
        scripts: JavaScript to run at the end of the page, in this order. The page's
            Content-Security-Policy names them by their checksums and allows no other.
        rules: of that policy, in addition to those of `policy` or instead of them.
        values: for the template; every page uses `title` and `manifest`.
    """
    from markupsafe import Markup

    trusted = [Markup(_closed(script)) for script in scripts]
    page = _environment().get_template(template)
    return page.render(scripts=trusted, policy=policy(trusted, rules), **values)


def fill(template: str, **values: Any) -> str:
    """Return a template that does not extend `base.html`, rendered; values are escaped."""
    return _environment().get_template(template).render(**values)


def template_text(name: str) -> str:
    """Return the content of a file in the folder of templates, such as a script."""
    environment = _environment()
    return environment.loader.get_source(environment, name)[0]


def policy(scripts: Sequence[str], rules: Mapping[str, str] | None = None) -> str:
    """Return a Content-Security-Policy that allows only `scripts` and forbids foreign requests.

    Inline styles are allowed, because Bokeh writes its own. Pictures and sounds may be embedded or
    lie beside the page, which is `file:` for a page opened from a disk.

    Args:
        scripts: JavaScript of the page.
        rules: added to the default rules, or replacing those of the same name.
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
    """Return a value as JSON that is safe in a script element, whatever its strings.

    NaN and infinities, which JSON lacks, become null.
    """
    from markupsafe import Markup

    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def link(path: str) -> str:
    """Return a relative path as URL: all reserved characters but `/` are percent-encoded."""
    return quote(path)


def source(root: Path, path: str, *, embed: bool) -> str:
    """Return the `src` of an element: a data URL, a relative link, or "" if there is no file.

    Args:
        root: the page's folder.
        path: of the file, relative to `root`.
        embed: whether to return the file itself, as data URL.
    """
    file = root / path
    if not file.is_file():
        return ""
    if not embed:
        return link(path)
    return f"data:{_KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def number(value: Any) -> str:
    """Format a number for a table; None, NaN and infinities are a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def percent(value: float | None, digits: int = 1) -> str:
    """Format a share in percent; None, NaN and infinities are a dash."""
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
    # `</script` in a string of a library would end the script element.
    return script.replace("</script", "<\\/script")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
