"""E9: whatever a model writes, a synthesizer is given plain words, and not without an end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.desk_calls import GREETING, asks, desk, lines
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.spoken_text import LONGEST_CLAUSE, LONGEST_REPLY, ReplyText
from voiceagent.testing import say

ENGLISH = language_for("en-US")


class Listener:
    """A synthesizer that would obey markup, and writes down what it is given."""

    healthy = True

    def __init__(self) -> None:
        self.given: list[str] = []

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> Listener:
        return self

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        self.given.append(text)
        yield bytes(len(text) * MULAW_8K.bytes_per_ms)

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None, **manner: object) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing is held."""


def spoken(exchange: Any, *texts: str) -> str:
    """Have a model write this, in these pieces, and return what the synthesizer is given."""
    listener = Listener()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    replies = [piece for text in texts for piece in say(text)[:-1]]
    reply = [*replies, say("")[-1]]
    exchange.serve(scenario, desk(), lines=lines(reply), heard=["What is it?"], engines={"synthesizer": listener})
    assert max(map(len, listener.given)) <= LONGEST_CLAUSE
    return " ".join(listener.given).replace(GREETING, "").removeprefix("Hello, this is the desk. ").strip()


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ('<speak>Your <break time="1s"/> balance</speak> is <say-as interpret-as="digits">3</say-as>.', "balance is 3"),
        ("<audio src='http://evil.example/x.wav'/>Hello there.", "Hello there."),
        ("**Bold** and `code` and [a link](https://evil.example/x).", "Bold and code and a link"),
        ("See https://example.com/pay?token=abc&next=1 now.", "example dot com slash pay now"),
    ],
)
def test_e9_markup_and_addresses_become_words(exchange: Any, written: str, heard: str) -> None:
    said = spoken(exchange, written)
    assert heard in said
    assert not set("<>*`[]{}|\\") & set(said)
    assert "token" not in said


def test_e9_the_result_of_a_tool_is_not_read_out(exchange: Any) -> None:
    result = json.dumps({"balance": 3, "note": 'a "quoted" } brace', "list": [{"iban": "DE00"}]})
    said = spoken(exchange, "You have ", result[:17], result[17:], " three dollars.")
    assert said == "You have three dollars."


def test_e9_a_hundred_kilobytes_come_to_an_end(exchange: Any) -> None:
    written = "Well. " * 17_000
    assert len(ReplyText().take(written)) == LONGEST_REPLY
    assert 0 < len(spoken(exchange, written)) <= LONGEST_REPLY


def test_e9_words_without_an_end_are_cut(exchange: Any) -> None:
    assert len(spoken(exchange, "a" * 100_000).replace(" ", "")) <= LONGEST_REPLY


@given(st.lists(st.text()))
def test_e9_nothing_between_braces_is_said_however_it_is_cut_up(pieces: list[str]) -> None:
    whole, parts = ReplyText(), ReplyText()
    assert whole.take("".join(pieces)) == "".join(parts.take(piece) for piece in pieces)


@given(st.text(alphabet=st.characters(blacklist_characters="{"), max_size=300))
def test_e9_other_words_stay(text: str) -> None:
    assert ReplyText().take(text) == text


def test_e9_what_is_rendered_ahead_is_found_under_the_words_it_is_said_with() -> None:
    for text in (
        GREETING,
        "One moment.",
        "I am sorry, something went wrong on my side.",
        "It's account 4519, i.e. $3.",
    ):
        assert ENGLISH.speakable(ENGLISH.speakable(text)) == ENGLISH.speakable(text)
