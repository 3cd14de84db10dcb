"""SIGHUP loads the agents anew, as often as it comes: what went wrong once does not end it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import pytest

from tests.cli.conftest import Shop
from voiceagent.cli.agent_server import AgentServer
from voiceagent.cli.serve import _reload_whenever, _Served
from voiceagent.errors import PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow


class Server:
    """What is reloaded."""

    def __init__(self) -> None:
        self.flows: list[dict[str, Flow]] = []
        self.taken = asyncio.Event()

    async def renew_certificate(self) -> None:
        """It has none."""

    async def reload(self, flows: dict[str, Flow]) -> None:
        self.flows.append(flows)
        self.taken.set()


def signalled_twice(load: Callable[[], dict[str, Flow]], server: Server) -> None:
    """Let two SIGHUPs come, the second when the first has been answered."""

    async def scenario() -> None:
        changed, answered = asyncio.Event(), asyncio.Semaphore(0)
        loop = asyncio.get_running_loop()

        def loads() -> dict[str, Flow]:
            try:
                return load()
            finally:
                loop.call_soon_threadsafe(answered.release)

        served = _Served(loads, drain_s=1, worker=None)
        reloading = asyncio.ensure_future(_reload_whenever(changed, cast("AgentServer", server), served))
        for _ in range(2):
            changed.set()
            async with asyncio.timeout(10):
                await answered.acquire()
        async with asyncio.timeout(10):
            await server.taken.wait()
        reloading.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("failure", [PermissionError(13, "Permission denied"), RecursionError("deep")])
def test_what_nobody_was_prepared_for_is_logged_and_the_next_signal_is_heard(
    shop: Shop, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    flow, server, failures = load_flow("shop"), Server(), [failure]

    def load() -> dict[str, Flow]:
        if failures:
            raise failures.pop()
        return {"shop": flow}

    with caplog.at_level(logging.ERROR):
        signalled_twice(load, server)
    assert [list(flows) for flows in server.flows] == [["shop"]]
    assert f"the agents stay as they are: {type(failure).__name__}" in caplog.text


def test_a_prompt_that_may_not_be_read_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = shop.folder / "prompts" / "shop" / "help.md"

    def refused(path: object, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_text", refused)
    with pytest.raises(PhaseError, match=f"{prompt}.*it cannot be read: Permission denied"):
        load_flow("shop")
