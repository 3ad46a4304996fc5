"""Fetch a corpus: download the archive, verify its checksum, unpack it safely.

    <folder>.download/archive/  the archive, or the part of it that has arrived
    <folder>.download/tree/     files unpacked so far
    <folder>/                   the corpus, renamed into place when it is complete

References:
    Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018,
    https://arxiv.org/abs/1804.03209 (CC BY 4.0)
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PureWindowsPath

from ..errors import CorpusError, ListenError, ParameterError, RunError
from ..output.files import make_folder, write_json
from ..output.progress import Track, quiet
from .download import download_rest, require_space

try:
    import fcntl
except ImportError:  # Windows: two calls at once meet at the checksum instead.
    fcntl = None

#: Written into the corpus last: a folder that has it is complete.
MARKER = ".fetched.json"
# Python before 3.11.4 has no filters. This one is a second line of defence: `_require_safe` refuses
# more, as the filter strips the root of absolute paths, keeps links that stay inside the folder,
# and takes the paths of Windows for names on other systems.
_FILTER = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
# Errors that Python's readers raise for damaged archives.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, LZMAError, UnicodeError)


@dataclass(frozen=True)
class Archive:
    """An archive of a corpus.

    Attributes:
        url: its http(s) address.
        sha256: its SHA-256, 64 hexadecimal digits.
        size: its length in bytes, where it is known beforehand.
        files: approximate number of files, to estimate the time left.

    Raises:
        ParameterError: `sha256` is no SHA-256.
    """

    url: str
    sha256: str
    size: int | None = None
    files: int | None = None

    def __post_init__(self) -> None:
        digest = self.sha256.strip().lower()
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ParameterError(f"the SHA-256 {self.sha256!r} is none; expected 64 hex digits")
        object.__setattr__(self, "sha256", digest)


#: Speech Commands v0.02.
SPEECH_COMMANDS = Archive(
    url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    size=2_428_923_189,
    files=105_840,
)


@dataclass(frozen=True)
class Fetched:
    """A fetched corpus: its folder, its number of files, and whether this call fetched it."""

    root: Path
    files: int
    fresh: bool


def fetch(
    target: str | Path, archive: Archive = SPEECH_COMMANDS, *, track: Track = quiet
) -> Fetched:
    """Download an archive and unpack it into `target`, continuing an interrupted call.

    Args:
        target: a folder that does not exist, is empty, or holds this corpus already.
        archive: the archive to fetch.
        track: progress, see `keras_listen.output.progress`; used for the download (units of 1 MiB)
            and for unpacking.

    Raises:
        CorpusError: the target holds something else, the archive cannot be downloaded, is not the
            expected one, or is not safe to unpack.
        RunError: the disk has too little room or cannot be written, or another call is fetching
            into the same folder.
    """
    # Where the folder is a link, the download goes to the same disk.
    target = Path(os.path.realpath(target))
    try:
        found = _finished(target, archive)
        work = target.with_name(f"{target.name}.download")
        if found:
            _clear(work)
            return found
        make_folder(work)
        with _alone(work):
            packed = _download(archive, work / "archive", track)
            files = _unpack(packed, work / "tree", archive, track)
            _put_in_place(work / "tree", target, archive, files)
        _clear(work)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(
            f"cannot write {target}: {reason}; mend that and give the command again, it goes on"
        ) from error
    return Fetched(target, files, fresh=True)


def _finished(target: Path, archive: Archive) -> Fetched | None:
    """Return the corpus that an earlier call fetched into `target`, or None where it is free."""
    if target.exists() and not target.is_dir():
        raise CorpusError(f"{target} is a file; expected a new or empty folder for the corpus")
    if not target.is_dir():
        return None
    if not any(target.iterdir()):
        _require_replaceable(target)
        return None
    try:
        about = json.loads((target / MARKER).read_text(encoding="utf-8"))
        digest, files = about["sha256"], int(about["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"the folder {target} holds something else; expected a new or empty one (a corpus that "
            "you put there yourself needs no fetching)"
        ) from error
    if digest != archive.sha256:
        raise CorpusError(
            f"the folder {target} holds another corpus (SHA-256 {digest}, expected "
            f"{archive.sha256}); name a new folder"
        )
    return Fetched(target, files, fresh=False)


def _require_replaceable(target: Path) -> None:
    if target == Path.cwd() or os.path.ismount(target):
        raise CorpusError(
            f"{target} is the current folder or a mount point, in whose place no other can be put; "
            f"name a folder in it, such as {target / 'corpus'}"
        )


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Lock `work` for this process; the system releases it however the process ends."""
    with open(work / "lock", "a", encoding="utf-8") as lock:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another call is downloading to {work}; wait for it, or name another folder"
            ) from error
        except OSError:
            # A file system without locks; the checksum still protects the result.
            pass
        yield


def _clear(work: Path) -> None:
    """Remove the files that `fetch` put beside the target, and no others."""
    for name in ("archive", "tree"):
        shutil.rmtree(work / name, ignore_errors=True)
    with contextlib.suppress(OSError):
        (work / "lock").unlink(missing_ok=True)
        work.rmdir()


def _download(archive: Archive, folder: Path, track: Track) -> Path:
    """Download the archive, verify its checksum and return its path."""
    # Slow to import, and not needed where the corpus is there already.
    import pooch

    make_folder(folder)
    # Named by the checksum, so that one mirror may finish what another began.
    part = folder / f"{archive.sha256[:16]}.part"

    def download(url: str, output: str, _pooch) -> None:
        download_rest(url, part, archive.size, track)
        _share(part, output)

    try:
        with _hushed(pooch.get_logger()):
            packed = pooch.retrieve(
                archive.url,
                known_hash=f"sha256:{archive.sha256}",
                fname=f"{archive.sha256[:16]}.tar.gz",
                path=folder,
                downloader=download,
            )
    except ListenError:
        raise
    except ValueError as error:
        part.unlink(missing_ok=True)
        reason = str(error).partition(". ")[0]
        raise CorpusError(
            f"{archive.url} is not the corpus: {reason}; the file was deleted, give the command "
            "again or name a mirror with --url"
        ) from error
    part.unlink(missing_ok=True)
    return Path(packed)


def _share(part: Path, output: str) -> None:
    """Link `part` to `output`: it then outlives a call killed while the checksum is computed."""
    os.unlink(output)
    try:
        os.link(part, output)
    except OSError:
        os.replace(part, output)


@contextlib.contextmanager
def _hushed(log: logging.Logger) -> Iterator[None]:
    """Keep pooch from printing; only the command line prints."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _unpack(packed: Path, tree: Path, archive: Archive, track: Track) -> int:
    """Unpack into an empty `tree` and return the number of files.

    Raises:
        CorpusError: the archive is damaged, empty, or unsafe; nothing of it is kept.
    """
    require_space(packed.parent, 0, packed.stat().st_size)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    files = 0
    try:
        with (
            tarfile.open(packed) as tar,
            track(total=archive.files, label="unpack", unit="file") as advance,
        ):
            for member in tar:
                _require_safe(member, archive)
                tar.extract(member, tree, **_FILTER)
                files += member.isfile()
                advance()
        if not files:
            raise tarfile.ReadError("it holds no file")
    except CorpusError:
        _clear(tree.parent)
        raise
    except _DAMAGE as error:
        _clear(tree.parent)
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise CorpusError(
            f"{archive.url} is no usable tar archive: {reason}; name another with --url and "
            "--sha256"
        ) from error
    return files


def _require_safe(member: tarfile.TarInfo, archive: Archive) -> None:
    """Raise CorpusError for members that no corpus has: links, devices, paths out of the folder."""
    # By the rules of Windows, both kinds of slash separate and both kinds of root are recognised.
    path = PureWindowsPath(member.name)
    if path.anchor or ".." in path.parts:
        what = "a path that leads out of its folder"
    elif member.issym() or member.islnk():
        what = f"a link to {member.linkname!r}"
    elif not (member.isfile() or member.isdir()):
        what = "a device or pipe"
    else:
        return
    raise CorpusError(
        f"{archive.url} is not safe to unpack: its {member.name!r} is {what}, expected files and "
        "folders only; nothing of it was kept, name another with --url and --sha256"
    )


def _put_in_place(tree: Path, target: Path, archive: Archive, files: int) -> None:
    write_json(tree / MARKER, {"url": archive.url, "sha256": archive.sha256, "files": files})
    if target.is_dir():
        target.rmdir()
    os.replace(tree, target)
