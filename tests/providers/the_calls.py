"""The calls that are placed on every provider, and what has to hold for all of them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.providers.minds import SECRETS, USUAL_WORDS, usual_sentences
from tests.providers.spoken_call import SpokenCall

__all__ = ["no_secret_was_heard", "no_secret_was_told", "take_the_usual_call"]

WANTS, NUMBER, PIN, BYE = USUAL_WORDS


async def take_the_usual_call(call: SpokenCall) -> None:
    """Be the caller of the usual call, to its end."""
    await call.until_heard("How can I help you?")
    await call.says(WANTS, then_hears="What is your account number?")
    await call.says(NUMBER, then_hears="And your four digit PIN?")
    await call.says(PIN, then_hears="Anything else?")
    await call.says(BYE, then_hears="Goodbye.")


def no_secret_was_heard(pcm: bytes, rate_hz: int) -> None:
    """Assert that nothing at all of a secret is in what a provider was sent, and that it was listening."""
    heard = usual_sentences().heard_in(pcm, rate_hz)
    assert not set(heard) & {*SECRETS, ""}, heard


def no_secret_was_told(texts: Iterable[str]) -> None:
    """Assert that no digit of a secret is in words that a provider was sent."""
    for text in texts:
        assert not any(secret in text for secret in ("1234", "4519227", "one two three", "four five one")), text
