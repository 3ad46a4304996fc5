"""Rate limiting, size limits and security headers."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import StudyError

#: Greatest size of a request's body in bytes; an answer has less than a hundred.
LONGEST_BODY = 4096
#: Greatest number of buckets; the least recently used are dropped first.
_MOST_BUCKETS = 10_000
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: Content-Security-Policy of everything that is not a page: nothing in it may run.
NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'"


class TooMany(StudyError):
    """Too many requests; `wait` is the number of seconds until the next one is allowed."""

    def __init__(self, wait: float):
        super().__init__("too many requests; wait a moment")
        self.wait = wait


class Limiter:
    """Token bucket for each key.

    Args:
        burst: requests allowed at once.
        rate: requests per second allowed after that.
        clock: returns the time in seconds.
    """

    def __init__(self, burst: float, rate: float, clock: Callable[[], float] = time.monotonic):
        self.burst, self.rate, self.clock = burst, rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, key: str) -> None:
        """Take a token from the bucket of `key`.

        Raises:
            TooMany: the bucket is empty.
        """
        with self._lock:
            now = self.clock()
            left, then = self._buckets.get(key, (self.burst, now))
            left = min(self.burst, left + (now - then) * self.rate)
            if left < 1:
                raise TooMany((1 - left) / self.rate)
            self._buckets[key] = left - 1, now
            self._buckets.move_to_end(key)
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)


class SafeHeaders:
    """ASGI middleware that adds `HEADERS`, no-store and a strict policy to every response.

    Headers that a response has already are kept.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(message["headers"])
            await send(message)

        await self.app(scope, receive, send_safely)


def _add(headers: list[tuple[bytes, bytes]]) -> None:
    there = {name.lower() for name, _ in headers}
    more = HEADERS | {"Cache-Control": "no-store", "Content-Security-Policy": NOTHING_RUNS}
    for name, value in more.items():
        if name.lower().encode() not in there:
            headers.append((name.lower().encode(), value.encode()))


async def read_json(request: Request) -> Any:
    """Return the parsed JSON body of a request.

    Raises:
        StudyError: the body is too long or not JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise StudyError("the request is not application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise TooLong(f"the request is longer than {LONGEST_BODY} bytes")
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise StudyError("the request is no JSON") from None


class TooLong(StudyError):
    """A request with too long a body."""


def _refuse(constant: str) -> None:
    raise ValueError(constant)
