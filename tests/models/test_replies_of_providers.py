"""What models say and ask for, whatever the protocol: real SDKs, real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import pytest

from tests.models.calls import CALLER_ASKS, asked, failure_of, model_at, reply_of
from tests.models.dialects import CACHED, DIALECTS, READ, WRITTEN, Asks, Dialect, events_of
from tests.models.provider_server import Answer, Frame, breaks_off_after, provider_server, stalls_after, streams
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.failures import ReplyRefused
from voiceagent.ports import ReplyDone, ReplyPiece, SentText, ToolRequest
from voiceagent.zones import read_zone

pytestmark = pytest.mark.parametrize("dialect", DIALECTS, ids=str)
DONE = ReplyDone(input_tokens=READ, output_tokens=WRITTEN, cached_tokens=CACHED)


def test_the_servers_of_these_tests_speak_the_protocol(dialect: Dialect):
    frames = dialect.says("Let me see.", Asks("a", "get_balance", ('{"account": ', '"7"}')))
    assert len(events_of(dialect, frames)) >= 5


def test_words_come_as_they_are_streamed_and_the_tokens_are_counted(dialect: Dialect):
    pieces, _ = reply_of(dialect, streams(dialect.says("Hel", "lo.")))
    assert pieces == [SentText("Hel"), SentText("lo."), DONE]


def test_the_first_word_does_not_wait_for_the_last(dialect: Dialect):
    async def ask() -> list[ReplyPiece]:
        first_was_heard = asyncio.Event()
        one, *rest = dialect.parts(["One "]), dialect.parts(["moment."]), dialect.ending(["", ""])
        answer = streams([*dialect.opening, *one, first_was_heard, *(frame for frames in rest for frame in frames)])
        pieces: list[ReplyPiece] = []
        async with provider_server(answer) as server, model_at(dialect, server.url) as model:
            async for piece in model.reply(asked()):
                pieces.append(piece)
                first_was_heard.set()
        return pieces

    assert asyncio.run(ask()) == [SentText("One "), SentText("moment."), DONE]


@pytest.mark.parametrize("ending", [breaks_off_after, stalls_after])
def test_a_reply_that_has_ended_is_complete_whatever_becomes_of_the_connection(
    dialect: Dialect, ending: Callable[[Sequence[Frame]], Answer]
):
    last = {"chat": -2, "responses": None, "messages": -1}[dialect.name]
    pieces, _ = reply_of(dialect, ending(dialect.says("Hello.")[:last]))
    assert pieces[0] == SentText("Hello.")
    assert isinstance(pieces[-1], ReplyDone)


def test_an_empty_line_before_the_first_word_is_not_said(dialect: Dialect):
    pieces, _ = reply_of(dialect, streams(dialect.says("\n\n", "Hello.")))
    assert pieces == [SentText("Hello."), DONE]


@pytest.mark.parametrize("nothing", [(), ("\n\n",)], ids=["nothing", "an empty line"])
def test_a_reply_of_nothing_is_a_failure_since_the_caller_would_hear_silence(dialect: Dialect, nothing: tuple[str]):
    with pytest.raises(ReplyRefused, match="m said nothing"):
        reply_of(dialect, streams(dialect.says(*nothing)))


def test_two_replies_share_one_connection(dialect: Dialect):
    async def ask_twice() -> int:
        answer = streams(dialect.says("Hello."))
        async with provider_server(answer) as server, model_at(dialect, server.url) as model:
            for _ in range(2):
                assert [piece async for piece in model.reply(asked())] == [SentText("Hello."), DONE]
            return server.connections

    assert asyncio.run(ask_twice()) == 1


def test_two_parallel_tool_calls_are_put_together_from_their_crumbs(dialect: Dialect):
    parts = "Let me see.", Asks("a", "get_balance", ('{"acc', 'ount": "7"}')), Asks("b", "list_accounts", ("{}",))
    pieces, _ = reply_of(dialect, streams(dialect.says(*parts)))
    assert pieces == [
        SentText("Let me see."),
        ToolRequest("a", "get_balance", '{"account": "7"}'),
        ToolRequest("b", "list_accounts", "{}"),
        DONE,
    ]


def test_a_reply_may_be_a_tool_call_only(dialect: Dialect):
    pieces, _ = reply_of(dialect, streams(dialect.says(Asks("a", "say_goodbye"))))
    assert pieces == [ToolRequest("a", "say_goodbye", ""), DONE]


def test_malformed_arguments_are_passed_on_as_they_are(dialect: Dialect):
    pieces, _ = reply_of(dialect, streams(dialect.says(Asks("a", "get_balance", ('{"account": ',)))))
    assert pieces[0] == ToolRequest("a", "get_balance", '{"account": ')


def test_half_a_reply_asks_for_nothing(dialect: Dialect):
    half = dialect.begins("Let me see.", Asks("a", "get_balance", ('{"account": "7"}',)))
    _, _, pieces = failure_of(dialect, breaks_off_after(half))
    assert pieces == [SentText("Let me see.")]


def test_an_id_that_the_history_knows_is_replaced_so_that_results_find_their_requests(dialect: Dialect):
    history = (
        CALLER_ASKS,
        Message(2, "tool_request", "{}", Epoch(1), "call_0", "list_accounts"),
        Message(3, "tool_result", "[]", Epoch(1), "call_0", "list_accounts"),
    )
    pieces, _ = reply_of(dialect, streams(dialect.says(Asks("call_0", "list_accounts"))), request=asked(*history))
    assert isinstance(pieces[0], ToolRequest)
    assert pieces[0].request != "call_0"


# --- what every request carries --------------------------------------------------------------------------------------


def test_another_server_is_never_sent_a_key_of_the_environment(dialect: Dialect, monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    _, server = reply_of(dialect, streams(dialect.says("Hello.")))
    assert "sk-from-the-environment" not in server.heads[0]


def test_the_key_stands_in_the_header_alone(dialect: Dialect):
    _, server = reply_of(dialect, streams(dialect.says("Hello.")), api_key="sk-12345")
    assert "sk-12345" in server.heads[0]
    assert "sk-12345" not in json.dumps(server.bodies)


def test_today_is_a_day_of_the_callers_calendar(dialect: Dialect):
    read_zone("Pacific/Auckland")
    _, server = reply_of(dialect, streams(dialect.says("Hello.")), time_zone="Pacific/Auckland")
    assert "Wednesday, 2026-12-02" in json.dumps(server.bodies)
