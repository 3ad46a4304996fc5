"""A real `keras-listen study serve` for tests, and what a rater's browser would ask of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests


class Server:
    """A server process.

    Attributes:
        said: what it printed up to the administrators' line.
        url, code, links, token: read from that; token is None where it printed none.
    """

    def __init__(self, root: Path, *options: str):
        command = [sys.executable, "-m", "keras_listen", "study", "serve", str(root)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that run in the background of a shell would hand on that SIGINT is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            # The token, if there is one, is printed in the same breath.
            if line.startswith("administrators:"):
                break
        self.url = self._find(r"administrators: (.*)/admin")
        self.code = self._find(r"link for raters: .*/#join=(.*)")
        self.links = re.findall(r"rater \d+: (.*)", self.said)

    def _find(self, pattern: str) -> str | None:
        found = re.search(pattern, self.said)
        return found[1] if found else None

    @property
    def token(self) -> str:
        """The administrators' token; waits for its line."""
        self.said += self.process.stdout.readline()
        return self._find(r"shown only now: (.*)")

    def join(self) -> Rater:
        """Become a rater by the study's link."""
        answer = requests.post(f"{self.url}/api/join", json={"code": self.code}, timeout=30)
        assert answer.status_code == 201, answer.text
        return Rater(self.url, answer.json()["token"])

    def admin(self, path: str, token: str) -> requests.Response:
        """Ask as an administrator."""
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.url}/api/admin/{path}", headers=headers, timeout=30)

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Send a signal; return status, and what was printed since."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


class Rater:
    """Asks as a rater's browser does."""

    def __init__(self, url: str, token: str):
        self.url, self.token = url, token
        self.web = requests.Session()
        self.web.headers["Authorization"] = f"Bearer {token}"

    def ask(self, path: str, method: str = "GET", **arguments: Any) -> requests.Response:
        """Ask for a path below /api/."""
        return self.web.request(method, f"{self.url}/api/{path}", timeout=30, **arguments)

    def session(self) -> dict[str, Any]:
        """Return the session."""
        return self.ask("session").json()

    def rate(self, position: int, **answer: Any) -> requests.Response:
        """Rate a recording."""
        given = {"plays": 1, "seconds": 1.5} | answer
        return self.ask(f"ratings/{position}", "PUT", json=given)


@contextmanager
def serving(root: Path, *options: str) -> Iterator[Server]:
    """Serve a study on a free port, and stop when the block is left."""
    server = Server(root, *options)
    try:
        assert server.url, server.process.stderr.read()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()
