"""Run the web application with uvicorn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from uvicorn import Config, Server

#: Seconds that answers which are under way have to end in when the server is stopped.
_GRACE = 10


def run(app: Any, sock: socket.socket, *, proxy: str, started: Callable[[], None]) -> None:
    """Serve until the process gets SIGINT or SIGTERM; what is being stored is stored first.

    Args:
        app: the ASGI application.
        sock: takes the connections.
        proxy: addresses of proxies whose X-Forwarded-For counts.
        started: is called when the first request can be answered.
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
    def __init__(self, config: Config, started: Callable[[], None]):
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()
