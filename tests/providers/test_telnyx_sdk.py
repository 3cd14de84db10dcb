"""Telnyx' own SDK and we ask for the same by the same commands, read the same in webhooks and believe the same ones."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import pytest

pytest.importorskip("telnyx", reason="needs tests/providers/requirements.txt")

from typing import Required

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter
from telnyx import Telnyx
from telnyx import types as said
from telnyx.lib.webhook_verification import WebhookVerificationError, verify_webhook_signature
from telnyx.types import calls as sdk

from tests.console.test_carriers_webhooks import Desk
from tests.telephony.provider_api import ProviderApi
from voiceagent.ports import Announcement
from voiceagent.runtime.clock import SystemClock
from voiceagent.telephony.call_control import Dialled
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import telnyx_has_signed
from voiceagent.telephony.telnyx_calls import PLACED, TelnyxCalls

pytestmark = pytest.mark.providers

CALL = "v3:c0"
HOOK = "https://voice.example.com/telnyx/bank/answer"
Ask = Callable[[Any], Awaitable[object]]


def asked(ask: Ask, *, api: ProviderApi | None = None) -> tuple[str, dict[str, Any]]:
    """Return the one thing that we have asked of Telnyx: path and body."""
    api = api or ProviderApi()

    async def scenario() -> None:
        async with api.serving(SystemClock()) as address:
            control = TelnyxCalls(api_key="k3y", connection="app1", api=address)
            try:
                await ask(control)
            finally:
                await control.close()

    asyncio.run(scenario())
    ((path, body),) = api.asked
    return path, body


def asked_by_the_sdk(ask: Callable[[Telnyx], object]) -> tuple[str, dict[str, Any]]:
    """Return what the SDK has asked."""
    api = ProviderApi()

    async def scenario() -> None:
        async with api.serving(SystemClock()) as address:
            with Telnyx(api_key="k3y", base_url=f"{address}/v2", max_retries=0) as client:
                await asyncio.to_thread(ask, client)

    asyncio.run(scenario())
    ((path, body),) = api.asked
    return path, body


def do(name: str, *arguments: object) -> Ask:
    return lambda control: getattr(control, name)(*arguments)


def start_stream(codec: str, rate_hz: int) -> Ask:
    spoken = TelephonySettings(agents=frozenset(), telnyx_codec=codec, telnyx_rate_hz=rate_hz)  # pyright: ignore[reportArgumentType] - pydantic looks at it
    return lambda control: control.start_stream(
        CALL, "wss://x/media", {"order": "17"}, command_id="stream", settings=spoken
    )


STREAMS = [("PCMU", 8_000), ("PCMA", 8_000), *(("L16", rate_hz) for rate_hz in (8_000, 16_000, 24_000, 48_000))]
COMMANDS: Mapping[str, tuple[Ask, str, Any]] = {
    "answer": (do("answer", CALL), "answer", sdk.ActionAnswerParams),
    "reject": (do("reject", CALL), "reject", sdk.ActionRejectParams),
    "hang up": (do("hang_up", CALL), "hangup", sdk.ActionHangupParams),
    "transfer": (do("transfer", CALL, "+4930"), "transfer", sdk.ActionTransferParams),
    "press keys": (do("send_digits", CALL, "12#"), "send_dtmf", sdk.ActionSendDtmfParams),
    "record": (do("start_recording", CALL), "start_recording", sdk.ActionStartRecordingParams),
    "pause recording": (do("pause_recording", CALL, ""), "pause_recording", sdk.ActionPauseRecordingParams),
    "go on recording": (do("resume_recording", CALL, ""), "resume_recording", sdk.ActionResumeRecordingParams),
    "say": (do("speak", CALL, Announcement("A caller.", "en-US")), "speak", sdk.ActionSpeakParams),
    "stop recording": (do("stop_recording", CALL, ""), "stop_recording", sdk.ActionStopRecordingParams),
} | {
    f"stream, {codec} at {rate_hz} Hz": (
        start_stream(codec, rate_hz),
        "start_streaming",
        sdk.ActionStartStreamingParams,
    )
    for codec, rate_hz in STREAMS
}


def assert_they_fit(given: Mapping[str, Any], params: Any) -> None:
    """Assert that nothing is missing, that every name is known, and every value one of those that there are."""
    required = {
        name for name, hint in get_type_hints(params, include_extras=True).items() if get_origin(hint) is Required
    }
    hints = get_type_hints(params)
    assert required <= set(given) <= set(hints)
    for name, value in given.items():
        TypeAdapter(hints[name]).validate_python(value, strict=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_one_that_the_sdk_knows_and_sends_alike(name: str) -> None:
    ask, method, params = COMMANDS[name]
    path, body = asked(ask)
    assert_they_fit(body, params)
    assert asked_by_the_sdk(lambda client: getattr(client.calls.actions, method)(CALL, **body)) == (path, body)


@pytest.mark.parametrize("detects", [False, True])
def test_a_call_is_placed_as_the_sdk_places_it(detects: bool) -> None:
    path, body = asked(do("dial", Dialled("+4930", "+4940", HOOK, detects, "bank")))
    given = {"from_" if name == "from" else name: value for name, value in body.items()}  # what Python has it called
    assert_they_fit(given, said.CallDialParams)
    assert asked_by_the_sdk(lambda client: client.calls.dial(**given)) == (path, body)


# --- webhooks --------------------------------------------------------------------------------------------------------

EXAMPLES: Mapping[str, tuple[type[BaseModel], Mapping[str, str]]] = {
    "call.initiated": (said.CallInitiatedWebhookEvent, {}),
    "call.answered": (said.CallAnsweredWebhookEvent, {"client_state": PLACED}),
    "call.machine.detection.ended": (
        said.CallMachineDetectionEndedWebhookEvent,
        {"result": "machine", "client_state": PLACED},
    ),
    "call.machine.greeting.ended": (
        said.CallMachineGreetingEndedWebhookEvent,
        {"result": "beep_detected", "client_state": PLACED},
    ),
    "call.machine.premium.detection.ended": (
        said.CallMachinePremiumDetectionEndedWebhookEvent,
        {"result": "human_residence", "client_state": PLACED},
    ),
    "call.machine.premium.greeting.ended": (
        said.CallMachinePremiumGreetingEndedWebhookEvent,
        {"result": "beep_detected", "client_state": PLACED},
    ),
    "call.hangup": (said.CallHangupWebhookEvent, {}),
    "call.dtmf.received": (said.CallDtmfReceivedWebhookEvent, {}),
    "streaming.started": (said.CallStreamingStartedWebhookEvent, {}),
    "streaming.stopped": (said.CallStreamingStoppedWebhookEvent, {}),
    "streaming.failed": (said.CallStreamingFailedWebhookEvent, {}),
}
"""The webhooks that our tests have Telnyx send."""


class Watched(Desk):
    """A desk that keeps the last webhook it was sent."""

    body = b""

    def post(self, target: str, body: Any, headers: Mapping[str, str]) -> Any:
        self.body = body
        return super().post(target, body, headers)


def unknown_fields(model: BaseModel) -> list[str]:
    """Return what a webhook says that the SDK has no field for."""
    found = list(model.model_extra or {})
    for name in type(model).model_fields:
        if isinstance(inner := getattr(model, name), BaseModel):
            found += unknown_fields(inner)
    return found


@pytest.mark.parametrize("event", EXAMPLES)
def test_an_example_is_a_webhook_that_the_sdk_knows(event: str) -> None:
    kind, payload = EXAMPLES[event]
    desk = Watched()
    assert desk.told(event, **payload).status_code == 200
    assert unknown_fields(kind.model_validate_json(desk.body)) == []


@pytest.mark.parametrize("event", [name for name in EXAMPLES if name.startswith("call.machine")])
def test_what_may_be_found_on_the_other_end_is_what_the_call_is_told(event: str) -> None:
    kind, _ = EXAMPLES[event]
    payload = get_args(kind.model_fields["data"].annotation)[0].model_fields["payload"].annotation
    results = get_args(payload)[0].model_fields["result"].annotation
    for result in get_args(get_args(results)[0]):
        desk = Desk()
        desk.told(event, result=result, client_state=PLACED)
        assert desk.words_about("v3:c0") == [result]


# --- signatures ------------------------------------------------------------------------------------------------------

OURS, OTHERS = (Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (7, 8))
PUBLIC_KEY = base64.b64encode(OURS.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def sdk_believes(body: bytes, timestamp: str, signature: str) -> bool:
    headers = {"Telnyx-Signature-Ed25519": signature, "Telnyx-Timestamp": timestamp}
    try:
        verify_webhook_signature(body, headers, PUBLIC_KEY)
    except WebhookVerificationError:
        return False
    return True


BODIES = st.text(max_size=50).map(str.encode)  # it raises what is no UTF-8; to us it is bytes


@given(
    body=BODIES,
    sent=BODIES | st.none(),
    key=st.sampled_from([OURS, OTHERS]),
    age_s=st.sampled_from([0, 1, 290, 310, -290, -310, 10**6]),
    spoilt=st.sampled_from(["no", "cut", "empty", "a bit"]),
)
def test_we_believe_what_the_sdk_believes(
    body: bytes, sent: bytes | None, key: Ed25519PrivateKey, age_s: int, spoilt: str
) -> None:
    now_s = int(time.time())
    timestamp = str(now_s - age_s)
    raw = key.sign(timestamp.encode() + b"|" + body)
    raw = {"no": raw, "cut": raw[:-1], "empty": b"", "a bit": bytes([raw[0] ^ 1]) + raw[1:]}[spoilt]
    signature = base64.b64encode(raw).decode()
    arrived = body if sent is None else sent
    ours = telnyx_has_signed(
        arrived, timestamp=timestamp, signature=signature, public_key=PUBLIC_KEY, unix_ms=now_s * 1_000
    )
    assert ours == sdk_believes(arrived, timestamp, signature)
    assert ours == (arrived == body and key is OURS and spoilt == "no" and abs(age_s) <= 300)
