"""Which models speak, one behind the other, and what is missing is said before any call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.models.calls import asked
from tests.models.dialects import CHAT, MESSAGES, RESPONSES
from tests.models.provider_server import Answer, never_answers, provider_server, refuses, streams
from voiceagent.errors import MissingExtra, OperatorError
from voiceagent.models.asking import Patience
from voiceagent.models.choose import ProviderAccess, live_model_from, model_from
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import ReplyModelEngine, SentText
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.guided import GuidedDialogue
from voiceagent.spec.phase import Phase
from voiceagent.testing.manual_clock import ManualClock

FLOW = Flow(
    name="bank",
    initial="inquiry",
    phases=(Phase(name="inquiry", guided=GuidedDialogue(opening="How may I help?")),),
    limits=Limits(model_timeout_ms=4_000),
)
NOWHERE = "http://127.0.0.1:9/v1"
"""Port 9 discards: nothing listens there."""
KEYS = ProviderAccess(openai_api_key="sk-1", anthropic_api_key="sk-2")
A_AND_B = "openai:a,anthropic:b"


def chosen(names: str | None, access: ProviderAccess = KEYS) -> ReplyModelEngine:
    return model_from(names, clock=ManualClock(), access=access)


async def heard(models: ReplyModelEngine) -> str:
    """Return what one call hears, and close the models."""
    model = models.open(FLOW, locale="en-US", time_zone="UTC")
    try:
        pieces = [piece async for piece in model.reply(replace(asked(tools=()), history=()))]
        return "".join(piece.text for piece in pieces if isinstance(piece, SentText))
    finally:
        await models.close()


# --- a chain ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [None, "", "guided"])
def test_without_a_name_the_guided_model_speaks_alone(names: str | None) -> None:
    assert isinstance(chosen(names or None), GuidedModels)


def hear_chain(names: str, openai: Answer, anthropic: Answer) -> tuple[str, int, int]:
    """Return what is heard, and how often each server was asked."""

    async def call() -> tuple[str, int, int]:
        async with AsyncExitStack() as servers:
            first = await servers.enter_async_context(provider_server(openai))
            second = await servers.enter_async_context(provider_server(anthropic))
            access = ProviderAccess(openai_base_url=f"{first.url}/v1", anthropic_base_url=second.url)
            models = await asyncio.to_thread(chosen, names, access)
            return await heard(models), len(first.bodies), len(second.bodies)

    return asyncio.run(call())


A_SPEAKS = streams(CHAT.says("A speaks."))
B_SPEAKS = streams(MESSAGES.says("B speaks."))


def test_the_first_model_that_begins_makes_the_reply() -> None:
    assert hear_chain(A_AND_B, A_SPEAKS, B_SPEAKS) == ("A speaks.", 1, 0)


@pytest.mark.parametrize(
    ("trouble", "asked_first"),
    [
        pytest.param(refuses(429), 1, id="429"),
        pytest.param(refuses(500), 2, id="500"),
        pytest.param(refuses(401), 1, id="401"),
        pytest.param(never_answers, 1, id="time-out"),
        pytest.param(refuses(400), 1, id="400"),
    ],
)
def test_where_the_first_fails_the_second_speaks_and_then_the_guided_one(trouble: Answer, asked_first: int) -> None:
    assert hear_chain(A_AND_B, trouble, B_SPEAKS) == ("B speaks.", asked_first, 1)
    assert hear_chain(A_AND_B, trouble, trouble) == ("How may I help?", asked_first, asked_first)


def test_both_protocols_of_openai_may_stand_in_one_chain() -> None:
    answers: Iterator[Answer] = iter([refuses(429), streams(RESPONSES.says("Responses speak."))])

    async def call() -> str:
        async with provider_server(*answers) as server:
            access = ProviderAccess(openai_base_url=f"{server.url}/v1")
            return await heard(await asyncio.to_thread(chosen, "openai:a, openai-responses:b, guided", access))

    assert asyncio.run(call()) == "Responses speak."


def test_the_caller_waits_for_a_chain_no_longer_than_for_one_model(caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> str:
        async with provider_server(never_answers) as server:
            access = ProviderAccess(openai_base_url=f"{server.url}/v1", anthropic_base_url=server.url)
            return await heard(await asyncio.to_thread(chosen, "openai:a,openai-responses:b,anthropic:c", access))

    assert asyncio.run(call()) == "How may I help?"
    given_up = [record.args for record in caplog.records if record.name == "voiceagent.models.fallback"]
    assert [str(failure) for (failure,) in given_up] == [f"{name} did not begin within 1066 ms" for name in "abc"]


def test_models_that_stand_in_for_each_other_share_the_patience() -> None:
    usual = FLOW.model_copy(update={"limits": Limits()})
    assert Patience().for_flow(usual).first_piece_ms == 5_000
    assert Patience(shared_by=2).for_flow(usual).first_piece_ms == 2_500
    assert Patience(shared_by=2).for_flow(FLOW).first_piece_ms == 1_600


def test_when_no_provider_can_be_reached_the_guided_model_answers() -> None:
    async def call() -> str:
        access = ProviderAccess(openai_base_url=NOWHERE, anthropic_base_url=NOWHERE)
        return await heard(await asyncio.to_thread(chosen, A_AND_B, access))

    assert asyncio.run(call()) == "How may I help?"


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ("opneai:gpt", "did you mean 'openai'"),
        ("openai-response:gpt", "did you mean 'openai-responses'"),
        ("antropic:claude", "did you mean 'anthropic'"),
        ("guide", "did you mean 'guided'"),
        ("openai:", "and the model's name$"),
        ("openai:m,", "no model ''"),
        ("openai:m,antropic:n", "no model 'antropic:n'"),
        ("guided,openai:m", "the guided model is always the last one"),
    ],
)
def test_names_nobody_knows_are_refused_with_the_nearest(names: str, hint: str) -> None:
    with pytest.raises(OperatorError, match=hint):
        chosen(names)


def test_every_key_that_is_missing_is_named() -> None:
    with pytest.raises(OperatorError, match=r"openai:a needs OPENAI_API_KEY.*; anthropic:b needs ANTHROPIC_API_KEY"):
        chosen(A_AND_B, ProviderAccess())
    with pytest.raises(OperatorError, match=r"^anthropic:b needs ANTHROPIC_API_KEY"):
        chosen(A_AND_B, ProviderAccess(openai_api_key="sk-1"))
    with pytest.raises(OperatorError, match=r"^openai-responses:a needs OPENAI_API_KEY"):
        chosen("openai-responses:a", ProviderAccess(anthropic_api_key="sk-2"))


@pytest.mark.parametrize("library", ["openai", "anthropic"])
def test_a_missing_library_of_any_model_in_the_chain_names_the_extra(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"voiceagent\[{library}\]"):
        chosen(A_AND_B)


def test_one_model_is_tried_at_a_time() -> None:
    with pytest.raises(OperatorError, match="one model is tried at a time"):
        live_model_from(A_AND_B, access=KEYS)


def test_keys_are_shown_to_nobody() -> None:
    assert "sk-" not in repr(KEYS)


# --- loading ---------------------------------------------------------------------------------------------------------

FIRST_REPLIES = """
import asyncio, sys
from voiceagent import Flow, Phase
from voiceagent.core.effects import ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import VoiceFailed
from voiceagent.models.choose import ProviderAccess, live_model_from

NOWHERE = "http://127.0.0.1:9"
access = ProviderAccess(openai_base_url=NOWHERE, anthropic_base_url=NOWHERE)
flow = Flow(name="bank", initial="only", phases=(Phase(name="only"),))

async def reply(model):
    try:
        async for _ in model.reply(ModelRequest("only", Epoch(1), "", "", (), (), {}, 0)):
            pass
    except VoiceFailed:
        pass

for provider in ("openai", "openai-responses", "anthropic"):
    model = live_model_from(provider + ":m", access=access).open(flow, locale="en-US", time_zone="UTC")
    before = set(sys.modules)
    asyncio.run(reply(model))
    print(provider, *(name for name in sys.modules if name not in before and name.startswith(("openai", "anthropic"))))
"""


def test_an_sdk_is_loaded_before_the_first_call_and_not_in_the_middle_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_REPLIES], capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    assert (done.stdout, done.stderr) == ("openai\nopenai-responses\nanthropic\n", "")
