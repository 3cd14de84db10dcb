"""The bank's call on all three protocols against a server that is not ours: @copilotkit/aimock (npm, Node 20 or newer).

It is looked for as `llmock`, on the path or where the variable AIMOCK says.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.models.bank_mind import BALANCE
from tests.models.dialects import DIALECTS, Dialect
from tests.models.the_usual_call import balance_calls, trace_of
from voiceagent.testing import CallPlayer, LiveModels

AIMOCK = os.environ.get("AIMOCK") or shutil.which("llmock")
pytestmark = [
    pytest.mark.providers,
    pytest.mark.skipif(AIMOCK is None, reason="needs @copilotkit/aimock: npm install, then AIMOCK=…/.bin/llmock"),
]

GREETS = "You answer the telephone of Harbour Bank"
CHECKS = "You are checking who is calling"
HELPS = "whose identity is established"
HANDLES = {"account_number": "⟨account_number#1: 7 digits⟩", "pin": "⟨pin#2: 4 digits⟩"}


def asks(tool: str, arguments: dict[str, str] | None = None) -> dict[str, Any]:
    return {"toolCalls": [{"name": tool, "arguments": arguments or {}}]}


# The first that fits is the answer.
FIXTURES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"systemMessage": GREETS}, asks("begin_authentication")),
    ({"systemMessage": CHECKS, "userMessage": "⟨pin#2"}, asks("verify_caller", HANDLES)),
    ({"systemMessage": CHECKS, "userMessage": "⟨account_number#1"}, {"content": "Thank you. And your four digit PIN?"}),
    ({"systemMessage": CHECKS}, {"content": "Sure. What is your account number?"}),
    ({"systemMessage": HELPS, "userMessage": "Goodbye"}, asks("finish")),
    ({"systemMessage": HELPS, "toolResultContains": "2540.75"}, {"content": BALANCE}),
    ({"systemMessage": HELPS}, asks("get_accounts")),
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server that answers with these fixtures, in pieces of three characters."""
    fixtures = tmp_path_factory.mktemp("aimock") / "bank.json"
    answers = [{"match": match, "response": response} for match, response in FIXTURES]
    fixtures.write_text(json.dumps({"fixtures": answers}, ensure_ascii=False), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert AIMOCK is not None
    command = [AIMOCK, "--port", str(port), "--fixtures", str(fixtures), "--chunk-size", "3", "--strict"]
    with subprocess.Popen(command, stdout=sys.stderr) as server:  # noqa: S603 - the tester's own
        try:
            yield _address_of(server, port)
        finally:
            server.terminate()


def _address_of(server: subprocess.Popen[bytes], port: int) -> str:
    """Return where it listens, once it does."""
    address = f"http://127.0.0.1:{port}"
    transport = httpx.HTTPTransport(retries=8)  # waits longer each time, half a minute in all
    with httpx.Client(transport=transport) as client:
        assert client.get(f"{address}/__aimock/health").status_code == httpx.codes.OK
    assert server.poll() is None
    return address


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_foreign_server_takes_the_call_the_same_way(dialect: Dialect, aimock: str) -> None:
    with LiveModels(dialect.engine("gpt-4o", base_url=aimock + dialect.path)) as live:
        assert trace_of(live) == trace_of(None)
        failure = CallPlayer(balance_calls().flow, live=live).play(balance_calls().scripts[0]).failure
    assert failure is None
