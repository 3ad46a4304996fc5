"""Read text files that people give: lists, words, TOML, JSON and CSV, as other systems save them.

Notepad and PowerShell put a byte order mark first, or save UTF-16; line ends are LF, CRLF or CR.
"""

from __future__ import annotations

import codecs
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_QUOTES = ('"', "'")


def decode(stored: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark; the mark is no part of the text.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    return stored.decode("utf-16" if stored.startswith(_UTF16) else "utf-8-sig")


def read_text(path: str | Path) -> str:
    """Read a text file; line ends become LF.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is neither UTF-8 nor UTF-16.
    """
    return with_line_feeds(decode(Path(path).read_bytes()))


def with_line_feeds(text: str) -> str:
    """Return a text whose line ends, CRLF or CR, are LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is neither UTF-8 nor UTF-16.
        tomllib.TOMLDecodeError: it is no TOML.
    """
    return tomllib.loads(read_text(path))


def read_names(path: str | Path) -> list[str]:
    """Read a file of one name a line: without blank lines, and quotes or spaces around a name.

    Returns:
        the names, composed (Unicode NFC).

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is neither UTF-8 nor UTF-16.
    """
    names = (_unquoted(line.strip()) for line in read_text(path).splitlines())
    return [composed(name) for name in names if name]


def _unquoted(name: str) -> str:
    if len(name) > 1 and name[0] == name[-1] and name[0] in _QUOTES:
        return name[1:-1].strip()
    return name


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC); macOS unpacks names decomposed."""
    return unicodedata.normalize("NFC", name)
