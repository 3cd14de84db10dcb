"""Serving: uvicorn as it is installed with its standard extras (uvloop, httptools), on a free port of this machine."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

from benchmarks.peers.fakes import until_told

__all__ = ["serve"]


def serve(app: Any) -> None:
    """Serve an ASGI app until standard input is closed; the port is the first line printed."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", loop="uvloop"))

    def stop() -> None:
        server.should_exit = True
        server.force_exit = True  # without waiting for calls that have not hung up

    until_told(stop)
    server.run(sockets=[listening])
