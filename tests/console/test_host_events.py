"""Who may tell a call something, and what they may say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import httpx
import pytest
from pydantic import JsonValue

from voiceagent.console.app import control_plane
from voiceagent.console.host import MAX_EVENT_BYTES, HostAccess, require_host_token
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.transfers import Transfers
from voiceagent.testing.manual_clock import ManualClock

TOKEN = "a-secret-of-the-host"
PAUSE = {"name": "pause_recording"}


class Door:
    """A control plane behind which the call CA0 is going on."""

    def __init__(self, token: str | None = TOKEN) -> None:
        self.told: list[tuple[str, str, Mapping[str, JsonValue] | None]] = []
        settings, clock = TelephonySettings(agents=frozenset({"bank"})), ManualClock()
        state = MemoryStore(clock)
        self.app = control_plane(
            settings,
            clock=clock,
            tokens=CallTokens(state),
            transfers=Transfers({}, clock, state),
            limits=CallLimits(settings, state=state, clock=clock),
            detections=Detections(state, clock),
            ready=lambda: True,
            takes=lambda _: True,
            may_go_on=self._never,
            connect=lambda _url, _admitted: False,
            host=HostAccess(token, self._tell) if token else None,
        )

    async def _never(self, agent: str, call: CallId) -> bool:
        del agent, call
        return False

    def _tell(self, call: CallId, name: str, payload: Mapping[str, JsonValue] | None) -> bool:
        self.told.append((call, name, payload))
        return call == "CA0"

    def asked(
        self, said: object, *, call: str = "CA0", method: str = "POST", authorization: str | None = f"Bearer {TOKEN}"
    ) -> httpx.Response:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        headers = {"Authorization": authorization} if authorization is not None else {}

        async def asks() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1") as client:
                return await client.request(method, f"/calls/{call}/events", content=body, headers=headers)

        return asyncio.run(asks())


def test_a_call_is_told_what_the_host_says() -> None:
    door = Door()
    assert door.asked(PAUSE).status_code == 202
    assert door.asked({"name": "paid", "payload": {"cents": 5, "by": ["card"]}}).status_code == 202
    assert door.told == [("CA0", "pause_recording", None), ("CA0", "paid", {"cents": 5, "by": ["card"]})]


def test_a_call_that_is_not_there_is_not_found() -> None:
    assert Door().asked(PAUSE, call="CA9").status_code == 404


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"],
)
def test_without_the_token_nobody_is_told_and_no_call_is_betrayed(authorization: str | None) -> None:
    door = Door()
    answers = [door.asked(PAUSE, call=call, authorization=authorization) for call in ("CA0", "CA9")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(401, "Unauthorized\n")] * 2
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"
    assert door.told == []


@pytest.mark.parametrize("authorization", [None, "Bearer ", f"Bearer {TOKEN}", "Bearer None"])
def test_where_no_token_is_configured_there_is_no_such_address(authorization: str | None) -> None:
    assert Door(token=None).asked(PAUSE, authorization=authorization).status_code == 404


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        (b"", 400, "body: Invalid JSON"),
        (b"\xff", 400, "body: Invalid JSON"),
        (b"[" * 10_000, 400, "body: Invalid JSON"),
        ([], 400, "body: "),
        ({}, 400, "name: Field required"),
        ({"name": ""}, 400, "name: "),
        ({"name": "x" * 65}, 400, "name: "),
        ({"name": "a\nb"}, 400, "name: "),
        ({"name": 1}, 400, "name: "),
        ({"name": "x", "payload": []}, 400, "payload: "),
        ({"name": "x", "more": 1}, 400, "more: Extra inputs are not permitted"),
        ({"name": "recording_stopped"}, 400, "recording_stopped is said by the server alone"),
        ({"name": "x", "payload": {"x": "y" * MAX_EVENT_BYTES}}, 413, "Request Entity Too Large"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(said: object, status: int, why: str) -> None:
    door = Door()
    answer = door.asked(said)
    assert (answer.status_code, door.told) == (status, [])
    assert answer.text.startswith(why)


def test_events_are_told_and_not_asked_for() -> None:
    assert Door().asked(PAUSE, method="GET").status_code == 405


@pytest.mark.parametrize(
    "token", ["short", "with a space in the middle", "größer-als-sechzehn-zeichen", "x" * 16 + "\n"]
)
def test_a_token_that_could_be_guessed_or_sent_by_nobody_is_refused(token: str) -> None:
    with pytest.raises(OperatorError, match="--host-token must have 16 characters or more") as refused:
        require_host_token(token)
    assert token not in str(refused.value)
    require_host_token(TOKEN)
