"""The bank served to a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.providers.bank_service import bank_service
from voiceagent.cli.agent_server import AgentServer, ServerSettings, ServiceSettings, agent_server
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings

ROOT = Path(__file__).parents[2]
TOKEN = "a token of the console's"


@contextmanager
def served(
    journals: Path, *, token: str | None = None, engines: Any = "null", recordings: Path | None = None
) -> Iterator[str]:
    """Serve the bank, on a thread of its own, since the loop of this one is the browser's; gives the page's address."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, AgentServer]] = Future()

    async def serve() -> None:
        async with bank_service() as bank:
            settings = ServerSettings(
                telephony=TelephonySettings(agents=frozenset({"bank"}), port=0),
                journals=journals,
                recordings=recordings,
                engines=engines,
                console_token=token,
                service=ServiceSettings(url=bank.url),
            )
            stop = asyncio.Event()
            async with agent_server(settings, {"bank": load_flow(str(ROOT / "phases" / "bank"))}) as server:
                ready.set_result((asyncio.get_running_loop(), stop, server))
                await stop.wait()
                await server.drain(5)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    thread = threading.Thread(target=run)
    thread.start()
    loop, stop, server = ready.result(timeout=60)
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)
