"""A1, A3: of five hundred forged upgrades and webhooks in every dialect none is let in, and the right one is, once."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import pytest

from tests.telephony.wire_examples import packet
from tests.threats.every_dialect import (
    BY_WEBSOCKET,
    KEYS,
    PASSWORD,
    SPEAKERS,
    PacketCarrier,
    audiosocket_line,
    proof_of_a_socket,
    proof_of_a_webhook,
)
from tests.threats.served import RawCarrier, serving
from voiceagent.telephony.dialects import DIALECTS

FORGERIES = 500
WITH_WEBHOOKS = [name for name, row in DIALECTS.items() if row.webhook_proof is not None]
FORM = {"CallSid": "CA0", "From": "+4930", "To": "+4940"}
_AGE_S = 360


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def forged_upgrade(name: str, rng: random.Random) -> tuple[str, dict[str, str]]:
    """Return path and headers of somebody who knows the address and not the secret."""
    bare = f"/media/{name}/desk"
    path = f"{bare}/{rng.choice(['', secrets.token_urlsafe(24)])}".rstrip("/")
    guess = rng.choice(["", "\t", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), secrets.token_urlsafe(20)])
    other = rng.choice([each for each in BY_WEBSOCKET if each not in (name, "signalwire", "asterisk")])
    headers = rng.choice(
        [
            {},
            {"X-Twilio-Signature": guess},
            {"Authorization": f"Bearer {guess}"},
            {"Authorization": basic("asterisk", guess)},
            {"x-fonoster-timestamp": str(int(time.time())), "x-fonoster-signature": guess},
            {"Authorization": basic("admin", PASSWORD) if name == "asterisk" else basic("x", guess)},
            proof_of_a_socket(other, f"/media/{other}/desk"),
        ]
    )
    return path, headers


@pytest.mark.figures
@pytest.mark.parametrize("name", BY_WEBSOCKET)
def test_forged_upgrades(
    tmp_path: Path, opened: Counter[str], name: str, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(name)  # noqa: S311 - the same forgeries every time

    async def scenario() -> Counter[int]:
        async with serving(tmp_path, require_call_token=True, **KEYS) as server:
            statuses: Counter[int] = Counter()
            for _ in range(FORGERIES):
                path, headers = forged_upgrade(name, rng)
                carrier = await RawCarrier.asks(server.port, path=path, headers=headers)
                statuses[carrier.status] += 1
                carrier.breaks()
            assert not opened
            if DIALECTS.get(name) and DIALECTS[name].has_no_token:  # the others get a token first: below
                path = f"/media/{name}/desk"
                carrier = await RawCarrier.asks(server.port, path=path, headers=proof_of_a_socket(name, path))
                assert carrier.status == 101
                carrier.breaks()
            return statuses

    statuses = asyncio.run(scenario())
    assert statuses[401] + statuses[403] == FORGERIES, statuses
    assert list(tmp_path.iterdir()) == []
    record_property(f"forged upgrades let in, {name}", 0)


def asked(name: str, call: str) -> tuple[bytes, dict[str, str]]:
    """Return the body of a webhook about a call, and the form that it is."""
    if name == "telnyx":
        payload = {"call_control_id": call, "from": "+4930", "to": "+4940", "direction": "incoming"}
        return json.dumps({"data": {"event_type": "call.initiated", "payload": payload}}).encode(), {}
    form = FORM | {"CallSid": call}
    return urlencode(form).encode(), form


def forged_webhook(name: str, rng: random.Random, now_s: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of somebody who may have heard a webhook of this carrier's, a while ago."""
    body, form = asked(name, "CA0")
    right = proof_of_a_webhook(name, body, at_s=now_s, form=form)
    other = rng.choice([each for each in ("twilio", "signalwire", "telnyx", "browser") if {*right} - {*_proof(each)}])
    spoilt = {
        header: rng.choice(["", value[:-1], value[::-1], secrets.token_urlsafe(20)]) for header, value in right.items()
    }
    forgeries = [(body, {}), (body, spoilt), (body, _proof(other))]
    if name in ("twilio", "signalwire", "telnyx"):
        forgeries.append((body.replace(b"4930", b"4931"), right))
    if name == "telnyx":
        stale = now_s + rng.choice([-_AGE_S, _AGE_S, -86_400])
        forgeries += [
            (body, proof_of_a_webhook(name, body, at_s=stale)),
            (body, right | {"telnyx-timestamp": str(now_s - 1)}),
        ]
    return rng.choice(forgeries)


def _proof(name: str) -> dict[str, str]:
    body, form = asked(name, "CA0")
    return proof_of_a_webhook(name, body, at_s=1, form=form)


@pytest.mark.figures
@pytest.mark.parametrize("name", WITH_WEBHOOKS)
def test_forged_webhooks(
    tmp_path: Path, opened: Counter[str], name: str, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(name)  # noqa: S311 - the same forgeries every time

    async def scenario() -> tuple[Counter[int], int, list[int]]:
        async with (
            serving(tmp_path, require_call_token=True, **KEYS) as server,
            httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{server.port}") as client,
        ):
            statuses: Counter[int] = Counter()
            for _ in range(FORGERIES):
                body, headers = forged_webhook(name, rng, int(time.time()))
                answer = await client.post(f"/{name}/desk/answer", content=body, headers=headers)
                statuses[answer.status_code] += 1
            body, form = asked(name, "CA1")
            right = proof_of_a_webhook(name, body, at_s=int(time.time()), form=form)
            answer = await client.post(f"/{name}/desk/answer", content=body, headers=right)
            return statuses, answer.status_code, await _upgrades(server.port, name, answer.text)

    statuses, right, upgrades = asyncio.run(scenario())
    assert statuses == {403: FORGERIES}
    if name == "telnyx":  # believed; there is no key to answer the call with
        assert right == 503
    else:
        assert (right, upgrades) == (200, [101, 403]), "what it was told to connect to lets in, once"
    record_property(f"forged webhooks believed, {name}", 0)


async def _upgrades(port: int, name: str, answer: str) -> list[int]:
    """Connect twice to what an answer names; return how that was answered."""
    _, found, rest = answer.partition(f"wss://voice.example.com/media/{name}/")
    if not found:
        return []
    path = f"/media/{name}/" + rest.partition('"')[0]
    carriers = [await RawCarrier.asks(port, path=path, headers=proof_of_a_socket(name, path)) for _ in range(2)]
    for carrier in carriers:
        carrier.breaks()
    return [carrier.status for carrier in carriers]


@pytest.mark.figures
def test_forged_audiosocket_ids(
    tmp_path: Path, opened: Counter[str], record_property: Callable[[str, object], None]
) -> None:
    line, right = audiosocket_line(), uuid4()
    near = UUID(int=right.int ^ 1)
    rng = random.Random(7)  # noqa: S311 - the same forgeries every time

    async def scenario() -> list[bool]:
        async with serving(tmp_path, audiosockets=(line,), audiosocket_ids=frozenset({right})) as server:
            hung_up = []
            for _ in range(FORGERIES):
                carrier = await PacketCarrier.connects(line.port)
                first = rng.choice(
                    [
                        packet(0x01, uuid4().bytes),
                        packet(0x01, near.bytes),
                        packet(0x01, right.bytes_le),
                        packet(0x02, right.bytes),
                        packet(0x01, right.bytes[:15] + b"\0"),
                        right.bytes + bytes(3),
                        b"GET /media/twilio/desk HTTP/1.1\r\n\r\n",
                    ]
                )
                carrier.sends(first + packet(0x10, bytes(320)))
                assert not await carrier.hung_up_on()
                assert server.live_calls == 0
                carrier.breaks()
            assert not opened
            good = await PacketCarrier.connects(line.port)
            good.sends(packet(0x01, right.bytes) + packet(0x10, bytes(320)) + SPEAKERS["audiosocket"].digit("", "9"))
            hung_up.append(await good.hung_up_on())
            good.breaks()
            return hung_up

    assert asyncio.run(scenario()) == [True]
    record_property("forged AudioSocket ids let in", 0)
