"""Download a file over HTTP, continuing an interrupted download."""

from __future__ import annotations

import shutil
from math import ceil
from pathlib import Path
from typing import NoReturn

from ..errors import CorpusError, RunError
from ..output.progress import Track

_CHUNK = 2**20
# Seconds without a byte after which the server is given up.
_TIMEOUT = 60.0
# 16-bit speech compresses to about 70 %; small files occupy whole blocks of the disk.
_UNPACKED_SIZE = 1.5


def download_rest(url: str, part: Path, size: int | None, track: Track) -> None:
    """Download the rest of a file to `part`.

    Args:
        url: http(s) address.
        part: file with the bytes that have arrived so far, if any.
        size: length of the whole file in bytes, where it is known.
        track: progress, see `keras_listen.output.progress`, in units of 1 MiB.

    Raises:
        CorpusError: the server cannot be reached, refuses, offers another file, or stops early.
        RunError: the disk has too little room.
    """
    import requests
    import urllib3

    have = part.stat().st_size if part.exists() else 0
    if size is not None and have == size:
        return
    total = None
    try:
        with _ask(url, have) as response:
            start, total = _offer(response, url, have, size)
            require_space(part.parent, (total or 0) - start, total or 0)
            # The bytes as they are stored, even if the server declares gzip as an encoding.
            chunks = response.raw.stream(_CHUNK, decode_content=False)
            count = None if total is None else ceil((total - start) / _CHUNK)
            with (
                open(part, "ab" if start else "wb") as file,
                track(total=count, label="download", unit="MiB") as advance,
            ):
                for chunk in chunks:
                    file.write(chunk)
                    advance()
    except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
        _explain(error, url, part, total)
    if total is not None and part.stat().st_size < total:
        _explain(EOFError("the server closed the connection"), url, part, total)


def _ask(url: str, have: int):
    """Request a file from byte `have` on; the response may nevertheless hold all of it."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    # 416: there is no such byte, so what is here is longer than the file and useless.
    if response.status_code == 416 or (have and _starts_elsewhere(response, have)):
        response.close()
        return _ask(url, 0) if have else response
    return response


def _starts_elsewhere(response, have: int) -> bool:
    given = response.headers.get("Content-Range", "")
    return response.status_code == 206 and not given.startswith(f"bytes {have}-")


def _offer(response, url: str, have: int, size: int | None) -> tuple[int, int | None]:
    """Return the first byte in a response and the length of the whole file, if known."""
    if response.status_code not in (200, 206):
        raise CorpusError(
            f"{url} answered {response.status_code} {response.reason}; expected the archive: try "
            "later, or name a mirror with --url"
        )
    start = have if response.status_code == 206 else 0
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else size
    if size is not None and total != size:
        raise CorpusError(
            f"{url} offers {total:,} bytes; expected {size:,}: it is another file, or something on "
            "the way answers instead (a proxy, a login page); name a mirror with --url"
        )
    return start, total


def _explain(error: Exception, url: str, part: Path, total: int | None) -> NoReturn:
    """Raise a CorpusError, either for an unreachable server or for an aborted download."""
    deepest: BaseException = error
    while deepest.__context__ is not None:
        deepest = deepest.__context__
    reason = getattr(deepest, "strerror", None) or " ".join(str(deepest).split())[:200]
    have = part.stat().st_size if part.exists() else 0
    again = f"the {have:,} bytes so far are kept, the same command goes on from there"
    if total is not None:
        text = (
            f"the download of {url} broke off after {have:,} of {total:,} bytes: {reason}; {again}"
        )
        raise CorpusError(text) from error
    mend = "check the address (http:// or https://) and the network, or name a mirror with --url"
    text = f"cannot download {url}: {reason}; {mend}"
    raise CorpusError(f"{text}; {again}" if have else text) from error


def require_space(folder: Path, left: int, size: int) -> None:
    """Raise RunError unless `left` bytes and the unpacked `size` fit on the disk."""
    need = left + int(size * _UNPACKED_SIZE)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise RunError(
            f"the disk of {folder} has {free / 1e9:.2f} GB free; expected {need / 1e9:.2f} GB for "
            "download and unpacked files: make room, or name a folder on another disk"
        )
