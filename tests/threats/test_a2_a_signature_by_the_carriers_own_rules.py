"""A2: what the carrier signs is let in behind any proxy, and what a request says of its own host counts for nothing.

The signatures were made by `twilio.request_validator.RequestValidator` 9.13.0 with the token "12345";
`tests/providers/test_a2_the_carriers_own_validator.py` compares with the package itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.threats.served import PATH, serving

OURS = "voice.example.com"
SIGNED = {
    "as it is": "W3f2/r1tUA6/ZrxfH6SkNQZWJk8=",
    "with a slash at its end": "zCKYFwh2ahq+hbqRnQlmZadKA8o=",
    "with the port written out": "eLDdIkKT85NygqbTrzfrqJC0cK4=",
}
FORGED = {
    "for the attacker's host": "207NehL74dbt+yveGzKw/0mDJ1w=",
    "for https instead of wss": "I50zdTFj04ZeI1aWuhm9jvGrF9s=",
    "for the port that the validator adds to wss": "da4IkYksddG/uZgVtiRk6qJwAqs=",
}
PROXIES = {
    "none": {},
    "one that ends TLS": {"X-Forwarded-Host": OURS, "X-Forwarded-Proto": "https"},
    "the attacker": {
        "X-Forwarded-Host": "attacker.example",
        "X-Forwarded-Proto": "wss",
        "Forwarded": "host=attacker.example",
    },
}


async def status(port: int, signature: str, *, host: str, headers: dict[str, str]) -> int:
    """Ask for the media socket in these words, and return the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{given}"
        f"x-twilio-signature: {signature}\r\n"  # names of headers have no case
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    writer.transport.abort()
    return int(head.split()[1])


@pytest.mark.parametrize("signature", SIGNED.values(), ids=SIGNED)
def test_what_the_carrier_signed_is_let_in_behind_any_proxy(tmp_path: Path, signature: str) -> None:
    async def scenario() -> list[int]:
        async with serving(tmp_path) as server:
            return [
                await status(server.port, signature, host=host, headers=proxy)
                for host in (OURS, f"127.0.0.1:{server.port}", "attacker.example")
                for proxy in PROXIES.values()
            ]

    assert asyncio.run(scenario()) == [101] * 9, "only the configured address counts"


@pytest.mark.parametrize("signature", FORGED.values(), ids=FORGED)
def test_a_spoofed_host_does_not_make_a_signature_right(tmp_path: Path, opened: Counter[str], signature: str) -> None:
    async def scenario() -> list[int]:
        async with serving(tmp_path) as server:
            return [
                await status(server.port, signature, host=host, headers=proxy)
                for host in (OURS, "attacker.example", f"{OURS}:80")
                for proxy in PROXIES.values()
            ]

    assert asyncio.run(scenario()) == [403] * 9
    assert not opened
    assert list(tmp_path.iterdir()) == []
