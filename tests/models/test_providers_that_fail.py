"""What becomes of a reply when a provider fails, whatever the protocol: retried, refused, given up, never for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.models.calls import asked, failure_of, model_at, reply_of
from tests.models.dialects import DIALECTS, Dialect
from tests.models.provider_server import (
    Answer,
    breaks_off_after,
    frame,
    never_answers,
    provider_server,
    refuses,
    stalls_after,
    streams,
)
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.ports import SentText

pytestmark = pytest.mark.parametrize("dialect", DIALECTS, ids=str)


def hello(dialect: Dialect) -> Answer:
    return streams(dialect.says("Hello."))


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_bad_key_or_name_or_an_unpaid_bill_is_permanent_and_not_asked_again(dialect: Dialect, status: int):
    failure, server, _ = failure_of(dialect, refuses(status, {"message": "Incorrect key sk-12345", "code": "Bad key!"}))
    assert isinstance(failure, ModelUnavailable)
    assert failure.permanent
    assert (str(failure), len(server.bodies)) == (f"m answered HTTP {status}", 1)


def test_a_rate_limit_says_how_long_to_wait_and_is_not_asked_again(dialect: Dialect):
    error = {"code": "rate_limit_exceeded", "type": "rate_limit_error"}
    failure, server, _ = failure_of(dialect, refuses(429, error, header="retry-after: 2.5"))
    assert isinstance(failure, ModelUnavailable)
    assert (failure.permanent, failure.retry_after_ms, len(server.bodies)) == (False, 2_500, 1)
    assert str(failure).startswith("m answered HTTP 429 (rate_limit_e")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_does_not_fit_is_refused_without_blaming_the_model(dialect: Dialect, status: int):
    failure, server, _ = failure_of(dialect, refuses(status))
    assert (type(failure), str(failure), len(server.bodies)) == (ReplyRefused, f"m answered HTTP {status}", 1)


# --- asked once more -------------------------------------------------------------------------------------------------


def test_trouble_before_the_first_word_is_met_with_one_more_attempt(dialect: Dialect):
    troubles = [
        refuses(500),
        refuses(503),
        refuses(529, {"type": "overloaded_error"}),
        breaks_off_after([]),
        breaks_off_after(dialect.opening),
        streams(dialect.fails(dialect.trouble)),
    ]
    for trouble in troubles:
        pieces, server = reply_of(dialect, trouble, hello(dialect))
        assert pieces[0] == SentText("Hello.")
        assert len(server.bodies) == 2


def test_a_server_that_stays_broken_is_asked_twice(dialect: Dialect):
    failure, server, _ = failure_of(dialect, refuses(529))
    assert isinstance(failure, ModelUnavailable)
    assert (str(failure), failure.permanent, len(server.bodies)) == ("m answered HTTP 529", False, 2)


def test_a_server_that_asks_for_patience_is_asked_once(dialect: Dialect):
    failure, server, _ = failure_of(dialect, refuses(503, header="retry-after-ms: 1800"))
    assert isinstance(failure, ModelUnavailable)
    assert (failure.retry_after_ms, len(server.bodies)) == (1_800, 1)


def test_a_server_that_is_not_there_is_unavailable(dialect: Dialect):
    async def ask() -> None:
        async with provider_server() as server:
            url = server.url
        async with model_at(dialect, url) as model:
            with pytest.raises(ModelUnavailable, match="the connection to m failed"):
                await anext(aiter(model.reply(asked())))

    asyncio.run(ask())


def test_after_the_first_word_nothing_is_asked_again(dialect: Dialect):
    cut = breaks_off_after(dialect.begins("Your balance is "))
    failure, server, pieces = failure_of(dialect, cut, hello(dialect))
    assert isinstance(failure, ModelUnavailable)
    assert (pieces, len(server.bodies)) == ([SentText("Your balance is ")], 1)


# --- in mid-reply ----------------------------------------------------------------------------------------------------


def test_a_stream_that_ends_before_the_reply_does_is_a_failure(dialect: Dialect):
    failure, _, pieces = failure_of(dialect, streams(dialect.begins("Your balance is ")))
    assert (type(failure), str(failure)) == (ModelUnavailable, "m hung up in mid-reply")
    assert pieces == [SentText("Your balance is ")]


def test_an_error_in_mid_stream_is_a_failure_in_our_own_words(dialect: Dialect):
    failure, _, _ = failure_of(dialect, streams(dialect.fails(dialect.trouble, "Your ")))
    assert isinstance(failure, ModelUnavailable)
    assert dialect.trouble in str(failure)
    assert "1234" not in str(failure)


def test_a_server_that_sends_nonsense_is_unavailable(dialect: Dialect):
    failure, _, _ = failure_of(dialect, streams([frame("{not json", event="message_start")]))
    assert isinstance(failure, ModelUnavailable)
    assert str(failure).startswith("m sent what cannot be read")


def test_events_that_nobody_knows_are_passed_over(dialect: Dialect):
    unknown = {"type": "from_the_future", "choices": [], "wonder": [1, 2]}
    pieces, _ = reply_of(
        dialect, streams([*dialect.opening, frame(unknown, event="from_the_future"), *dialect.says("Hello.")])
    )
    assert pieces[0] == SentText("Hello.")


# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begins", [False, True], ids=["never answers", "opens and stalls"])
def test_a_model_that_does_not_begin_is_given_up(dialect: Dialect, begins: bool):
    hang = stalls_after(dialect.opening) if begins else never_answers
    failure, server, _ = failure_of(dialect, hang, first_piece_ms=600)
    assert isinstance(failure, ModelUnavailable)
    assert str(failure) == "m did not begin within 600 ms"
    assert (failure.permanent, len(server.bodies)) == (False, 1)


def test_a_second_attempt_gets_what_is_left_of_the_time(dialect: Dialect):
    failure, server, _ = failure_of(dialect, refuses(500), never_answers, first_piece_ms=1_200)
    assert (str(failure), len(server.bodies)) == ("m did not begin within 1200 ms", 2)


def test_a_model_that_does_not_finish_is_given_up(dialect: Dialect):
    failure, _, pieces = failure_of(dialect, stalls_after(dialect.begins("Well, ")), request_timeout_ms=800)
    assert (str(failure), pieces) == ("m did not finish within 800 ms", [SentText("Well, ")])


def test_a_model_that_pauses_in_mid_reply_is_given_up(dialect: Dialect):
    failure, _, pieces = failure_of(dialect, stalls_after(dialect.begins("Well, ")), pause_ms=50)
    assert (str(failure), pieces) == ("m paused for 50 ms in mid-reply", [SentText("Well, ")])


# --- nobody wants it any more ----------------------------------------------------------------------------------------


def test_a_reply_that_nobody_wants_any_more_closes_its_request(dialect: Dialect):
    async def barge_in() -> None:
        answer = stalls_after(dialect.begins("Well, "))
        async with provider_server(answer) as server, model_at(dialect, server.url) as model:
            pieces = model.reply(asked())
            assert isinstance(pieces, AsyncGenerator)
            assert await anext(pieces) == SentText("Well, ")
            await pieces.aclose()
            await server.left.wait()

    asyncio.run(barge_in())


def test_a_task_that_is_cancelled_closes_its_request(dialect: Dialect):
    async def cancel(hang: Answer) -> None:
        async with provider_server(hang) as server, model_at(dialect, server.url) as model:

            async def listen() -> None:
                async for _ in model.reply(asked()):
                    pass

            listening = asyncio.create_task(listen())
            await server.asked.wait()
            listening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listening
            await server.left.wait()

    for hang in (never_answers, stalls_after(dialect.opening), stalls_after(dialect.begins("A"))):
        asyncio.run(cancel(hang))
