"""Let many raters go through a served study at once, and count what the database holds after it.

    python benchmarks/study_load.py STUDY [--raters 50] [--per-rater 40] [--think 0]

A server process of its own serves the study from a new database. Raters join at the same moment;
each asks for its session, loads every recording and rates it, every fifth one twice at the same
instant, as a double click does. Without `--think` they pause for nothing, which no person does.
Every answer but a success is an error, but for 429, which asks to wait, and is counted.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import requests

from keras_listen.listening_test.collect.api import export
from keras_listen.listening_test.ratings import read_ratings


class Client:
    """One rater."""

    def __init__(self, url: str, code: str, log: Log, think: float):
        self.url, self.code, self.log, self.think = url, code, log, think
        self.web = requests.Session()
        self.web.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=2))

    def ask(self, kind: str, path: str, method: str = "GET", **body) -> requests.Response:
        """Ask until the server does not say 429."""
        while True:
            began = time.perf_counter()
            answer = self.web.request(method, self.url + path, timeout=60, **body)
            self.log.add(kind, time.perf_counter() - began, answer.status_code)
            if answer.status_code != 429:
                return answer
            time.sleep(float(answer.headers["Retry-After"]))

    def go(self) -> dict[str, dict[int, int]]:
        """Go through everything; return what was answered, by rater and position."""
        token = self.ask("join", "/api/join", "POST", json={"code": self.code}).json()["token"]
        self.web.headers["Authorization"] = f"Bearer {token}"
        session = self.ask("session", "/api/session").json()
        self.ask("headphones", "/api/headphones", "PUT", json={"headphones": "skipped"})
        given = {}
        for shown in session["presentations"]:
            self.ask("sound", f"/api/sounds/{shown['sound']}")
            time.sleep(self.think)
            given[shown["position"]] = self.rate(shown["position"], session["rater"])
        session = self.ask("session", "/api/session").json()
        if not all(shown["done"] for shown in session["presentations"]):
            self.log.add("left undone", 0, 0)
        return {session["rater"]: given}

    def rate(self, position: int, rater: str) -> int:
        """Rate one recording, every fifth twice at once."""
        rating = 1 + hash((position, rater)) % 5
        answer = {"json": {"rating": rating, "plays": 1, "seconds": 2.5}}
        address = ("rating", f"/api/ratings/{position}", "PUT")
        if position % 5:
            self.ask(*address, **answer)
        else:
            twice = [threading.Thread(target=self.ask, args=address, kwargs=answer) for _ in "12"]
            for thread in twice:
                thread.start()
            for thread in twice:
                thread.join()
        return rating


class Log:
    """Seconds and statuses of requests, by kind."""

    def __init__(self):
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.statuses: Counter[tuple[str, int]] = Counter()

    def add(self, kind: str, seconds: float, status: int) -> None:
        """Note one request."""
        self.seconds[kind].append(seconds)
        self.statuses[kind, status] += 1

    def errors(self) -> dict[tuple[str, int], int]:
        """Return how often something else than success or 429 came."""
        return {key: n for key, n in self.statuses.items() if key[1] not in (200, 201, 429)}


def start(arguments: argparse.Namespace, database: str) -> tuple[subprocess.Popen, str, str]:
    """Start a server; return its process, address and code."""
    command = [sys.executable, "-m", "keras_listen", "study", "serve", arguments.study]
    command += ["--port", "0", "--database", database, "--per-rater", str(arguments.per_rater)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        if found := re.match(r"link for raters: (.*)/#join=(.*)", line):
            return server, found[1], found[2]
    sys.exit("the server did not start")


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of all are not above, in milliseconds."""
    return 1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report(log: Log, seconds: float) -> None:
    """Print rates and latencies."""
    count = sum(map(len, log.seconds.values()))
    print(f"{count} requests in {seconds:.1f} s: {count / seconds:.0f} a second")
    print(f"asked to wait (429): {sum(n for (_, s), n in log.statuses.items() if s == 429)}")
    for kind, values in log.seconds.items():
        shown = "  ".join(f"{name} {percentile(values, share):6.0f} ms" for name, share in SHARES)
        print(f"{kind:10} {len(values):6}  {shown}")


SHARES = (("median", 0.5), ("p95", 0.95), ("most", 1.0))


def main() -> None:
    """Serve, load, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--per-rater", type=int, default=40)
    parser.add_argument("--database")
    parser.add_argument("--think", type=float, default=0.0, help="seconds before each rating")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = arguments.database or f"sqlite:///{folder}/load.sqlite"
        server, url, code = start(arguments, database)
        log, began = Log(), time.perf_counter()
        try:
            clients = [Client(url, code, log, arguments.think) for _ in range(arguments.raters)]
            with ThreadPoolExecutor(arguments.raters) as pool:
                given = {k: v for one in pool.map(Client.go, clients) for k, v in one.items()}
            report(log, time.perf_counter() - began)
        finally:
            server.terminate()
            server.wait()
        export(arguments.study, f"{folder}/ratings.csv", database=database)
        stored = read_ratings(f"{folder}/ratings.csv")
    compare(given, stored, log)


def compare(given, stored, log: Log) -> None:
    """Say whether the database holds each rating once, as it was given."""
    expected = Counter((r, p, v) for r, places in given.items() for p, v in places.items())
    found = Counter((row.rater, row.position, row.rating) for row in stored if row.rater in given)
    print(
        f"{len(given)} raters gave {expected.total()} ratings, the database holds {found.total()}"
    )
    if expected != found or log.errors():
        sys.exit(f"not each once: {expected - found} {found - expected}; errors: {log.errors()}")
    print("each of them once, as it was given; no error")


if __name__ == "__main__":
    main()
