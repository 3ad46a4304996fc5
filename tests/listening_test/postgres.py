"""A PostgreSQL cluster of the tests' own: in a temporary folder, reached by a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Where Debian keeps the programs that start a cluster; newer versions last.
_DEBIAN = "/usr/lib/postgresql"


def require_postgres() -> Path:
    """Return the folder of PostgreSQL's programs; skip without, unless there must be one."""
    folders = sorted(Path(_DEBIAN).glob("*/bin"), key=lambda path: int(path.parent.name))
    if found := shutil.which("initdb"):
        folders.append(Path(found).parent)
    if not folders:
        reason = "there is no PostgreSQL: apt-get install postgresql"
        if os.environ.get("KERAS_LISTEN_REQUIRE_POSTGRES"):
            pytest.fail(f"KERAS_LISTEN_REQUIRE_POSTGRES is set, but {reason}")
        pytest.skip(reason)
    return folders[-1]


@contextmanager
def open_cluster() -> Iterator[str]:
    """Start a cluster, give its SQLAlchemy URL, and stop it when the block is left."""
    programs = require_postgres()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    data = str(folder / "data")
    as_user = _as_user(folder)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    control = [*as_user, str(programs / "pg_ctl"), "-D", data, "-w"]
    try:
        run([*as_user, str(programs / "initdb"), "-D", data, "-U", "listen", "--auth", "trust"])
        run([*control, "-l", str(folder / "log"), "-o", options, "start"])
        try:
            yield f"postgresql://listen@/postgres?host={folder}"
        finally:
            run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user(folder: Path) -> list[str]:
    """Return what makes a command another user's: PostgreSQL refuses to run as root."""
    if os.getuid():
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def run(command: Sequence[str]) -> None:
    """Run a command; what it says is shown where it fails."""
    # pg_ctl's server keeps what it was given as output open, so that a pipe would never end.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(command, stdout=said, stderr=said, cwd="/", timeout=120, check=False)
        said.seek(0)
        assert done.returncode == 0, said.read()
