"""The web server: a page for raters, a page for administrators, and the API of both.

    GET  /                          the page of raters; the token of a link follows #, so browsers
                                    do not send it
    POST /api/join                  {"code"} -> {"token"}
    GET  /api/session               the presentations to the rater, and which are done
    GET  /api/sounds/{sound}        a recording, under a name of its own for each presentation
    PUT  /api/headphones            {"headphones"}
    PUT  /api/ratings/{position}    {"rating" or "heard", "plays", "seconds"}; may be repeated
    GET  /admin                     the page of administrators
    GET  /api/admin/status          raters and their progress
    GET  /api/admin/ratings.csv     the ratings file

Tokens are sent as `Authorization: Bearer`. Errors are {"error": one line}.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn import Config, Server

from ...errors import DatabaseError, RunError, StudyError
from ..folder import StudyFolder
from .answers import checked, checked_headphones, ratings_text
from .database import AlreadyRated, Full, Ratings, StoredRater
from .limits import Limiter, SafeHeaders, TooLong, TooMany, read_json
from .order import examples, plan
from .page import admin_page, served_page

log = logging.getLogger(__name__)
#: Names of the sounds in a rater's order.
_SOUND = re.compile("[0-9a-f]{16}")
#: A position in an order; larger numbers than a database can hold are refused.
_POSITION = re.compile("[0-9]{1,9}")
#: Sounds kept in memory; one second takes 44 kB.
_SOUNDS = 1024
#: Seconds that pending requests have to finish in when the server is stopped.
_GRACE = 10


class Refused(StudyError):
    """A request without a valid token."""


class Unknown(StudyError):
    """A request for something that does not exist."""


#: HTTP status of each error; the first match counts.
_STATUS = (
    (TooMany, 429),
    (TooLong, 413),
    (AlreadyRated, 409),
    (Refused, 401),
    (Unknown, 404),
    (DatabaseError, 503),
    (RunError, 503),
    (StudyError, 400),
)


@dataclass(frozen=True)
class Page:
    """A page that is the same for everybody, and its Content-Security-Policy."""

    text: str
    policy: str


@dataclass
class Application:
    """Handlers of all requests.

    Attributes:
        study: the listening test.
        ratings: its part of the database.
        pages: pages by path.
        of_rater, of_joins, of_failures: rate limits of the requests of a rater, and by address of
            joining and of wrong tokens.
    """

    study: StudyFolder
    ratings: Ratings
    pages: Mapping[str, Page]
    # Many raters may share an address.
    of_rater: Limiter = field(default_factory=lambda: Limiter(burst=60, rate=20))
    of_joins: Limiter = field(default_factory=lambda: Limiter(burst=100, rate=1))
    of_failures: Limiter = field(default_factory=lambda: Limiter(burst=30, rate=0.5))

    def __post_init__(self):
        self._sound = lru_cache(_SOUNDS)(self.study.sound)

    def asgi(self) -> SafeHeaders:
        """Return the ASGI application."""
        routes = [
            *(Route(path, self._page) for path in self.pages),
            _route("/api/join", self.join, "POST"),
            _route("/api/session", self._for_rater(self.session)),
            _route("/api/sounds/{sound}", self._for_rater(self.sound)),
            _route("/api/headphones", self._for_rater(self.headphones), "PUT"),
            _route("/api/ratings/{position}", self._for_rater(self.rate), "PUT"),
            _route("/api/admin/status", self._for_admin(self.status)),
            _route("/api/admin/ratings.csv", self._for_admin(self.export)),
        ]
        handlers = {StudyError: _explain, RunError: _explain, HTTPException: _explain_status}
        # Outside of all else, so that its own failures have these headers, too.
        return SafeHeaders(Starlette(routes=routes, exception_handlers=handlers))

    async def _page(self, request: Request) -> Response:
        page = self.pages[request.url.path]
        headers = {"Content-Security-Policy": page.policy, "Cache-Control": "no-cache"}
        return Response(page.text, media_type="text/html", headers=headers)

    def _for_rater(self, answer: Callable[..., Any]) -> Callable[[Request, Any], Response]:
        def answer_rater(request: Request, body: Any) -> Response:
            token = self._token(request)
            rater = self.ratings.rater(token)
            if rater is None:
                raise self._refusal(request)
            self.of_rater.spend(rater.name)
            return answer(request, body, rater)

        return answer_rater

    def _for_admin(self, answer: Callable[..., Any]) -> Callable[[Request, Any], Response]:
        def answer_admin(request: Request, body: Any) -> Response:
            if not self.ratings.is_admin(self._token(request)):
                raise self._refusal(request)
            return answer(request)

        return answer_admin

    def _token(self, request: Request) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not 0 < len(token) <= 100:
            raise self._refusal(request)
        return token

    def _refusal(self, request: Request) -> StudyError:
        """Return the error for an unknown token, and slow down guessing."""
        self.of_failures.spend(_address(request))
        return Refused("this link is not known here; ask for another one")

    def join(self, request: Request, body: Any) -> Response:
        """Add a rater who has the link of the listening test."""
        self.of_joins.spend(_address(request))
        settings = self.ratings.settings()
        code = body.get("code") if isinstance(body, Mapping) else None
        if not compare_digest(ascii(code), ascii(self.ratings.code())):
            raise self._refusal(request)
        if not settings.is_open:
            raise Refused("this listening test is open only to people who were invited")
        try:
            token = self.ratings.register(
                settings.most_raters, lambda number: plan(self.study, number, settings.design)
            )
        except Full as error:
            # How to allow more raters concerns whoever runs the server.
            log.warning("%s", error)
            raise StudyError("this listening test has all its raters; thank you") from error
        return JSONResponse({"token": token}, 201)

    def session(self, request: Request, body: Any, rater: StoredRater) -> Response:
        """Return the rater's presentations, without the word where it is to be guessed."""
        order = self.ratings.order(rater)
        shown = [
            {
                "position": row.position,
                "mode": row.mode,
                "sound": row.sound,
                "word": self._word(row.name) if row.mode == "rating" else None,
                "done": row.done,
            }
            for row in order
        ]
        anchors = [
            {"sound": f"example-{i}", "word": row["class_label"], "clear": row["role"] == "clear"}
            for i, row in enumerate(examples(self.study))
        ]
        about = {"study": self.study.id, "rater": rater.name, "headphones": rater.headphones}
        words = {"words": self.study.words, "examples": anchors}
        return JSONResponse(about | words | {"presentations": shown})

    def _word(self, name: str) -> str:
        row = self.study.by_name.get(name)
        if row is None:
            raise RunError(f"the folder of the listening test has no recording {name} any more")
        return row["class_label"]

    def sound(self, request: Request, body: Any, rater: StoredRater) -> Response:
        """Return a recording of the rater's own order, or an example."""
        asked = request.path_params["sound"]
        anchors = {f"example-{i}": row["name"] for i, row in enumerate(examples(self.study))}
        name = anchors.get(asked)
        if name is None and _SOUND.fullmatch(asked):
            row = self.ratings.presentation(rater, sound=asked)
            name = row.name if row else None
        if name not in self.study.by_name:
            raise Unknown("there is no such recording")
        return Response(self._sound(name), media_type="audio/wav")

    def headphones(self, request: Request, body: Any, rater: StoredRater) -> Response:
        """Store the result of the headphones check."""
        self.ratings.set_headphones(rater, checked_headphones(body))
        return JSONResponse({"stored": True})

    def rate(self, request: Request, body: Any, rater: StoredRater) -> Response:
        """Store an answer; it is in the database before the response (201, or 200 if repeated)."""
        asked = request.path_params["position"]
        row = None
        if _POSITION.fullmatch(asked):
            row = self.ratings.presentation(rater, position=int(asked))
        if row is None:
            raise Unknown(f"there is no recording {asked[:40]} in this rater's order")
        answer = checked(row.mode, body, self.study.words)
        is_new = self.ratings.rate(rater, row.position, answer)
        return JSONResponse({"stored": True}, 201 if is_new else 200)

    def status(self, request: Request) -> Response:
        """Return the progress of all raters."""
        settings = self.ratings.settings()
        about = {"study": self.study.id, "mode": settings.design.mode, "open": settings.is_open}
        return JSONResponse(about | {"raters": self.ratings.overview()})

    def export(self, request: Request) -> Response:
        """Return the ratings file."""
        headphones = {row["rater"]: row["headphones"] for row in self.ratings.overview()}
        name = f"ratings-{self.study.id}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        text = ratings_text(self.ratings.ratings(), headphones)
        return Response(text, media_type="text/csv", headers=headers)


def _route(path: str, answer: Callable[[Request, Any], Response], method: str = "GET") -> Route:
    """Return a route handled in a thread, since databases and disks block."""

    async def endpoint(request: Request) -> Response:
        body = None if method == "GET" else await read_json(request)
        return await run_in_threadpool(answer, request, body)

    return Route(path, endpoint, methods=[method])


async def _explain(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(max(1, round(getattr(error, "wait", 1))))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status != 503:
        return JSONResponse({"error": str(error)}, status, headers)
    # Paths and addresses concern whoever runs the server.
    log.error("%s", error)
    message = "the server cannot read or store anything at the moment; it will be tried again"
    return JSONResponse({"error": message}, status, headers)


async def _explain_status(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def create_application(study: StudyFolder, ratings: Ratings, title: str) -> SafeHeaders:
    """Return the ASGI application of a listening test.

    Args:
        title: title of its pages.
    """
    pages = {"/": Page(*served_page(title)), "/admin": Page(*admin_page(f"{title}: ratings"))}
    return Application(study, ratings, pages).asgi()


def run(app: Any, sock: socket.socket, *, proxy: str, started: Callable[[], None]) -> None:
    """Run the server until the process gets SIGINT or SIGTERM, and finish pending requests.

    Args:
        app: the ASGI application.
        sock: listening socket.
        proxy: addresses of proxies whose X-Forwarded-For header is trusted.
        started: called when the server accepts requests.
    """
    config = Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=proxy,
        timeout_graceful_shutdown=_GRACE,
        ws="none",
    )
    server = _Server(config, started)
    asyncio.run(server.serve([sock]))


class _Server(Server):
    """A server that calls a function once it accepts requests."""

    def __init__(self, config: Config, started: Callable[[], None]):
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()
