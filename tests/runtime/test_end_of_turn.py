"""Calls with an end-of-turn model: it is asked when the caller pauses, and where it fails nobody notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.runtime.desk_calls import asks, desk, lines
from voiceagent.core import events as ev
from voiceagent.errors import VoiceFailed
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.testing import say


class Judge:
    """Says what it is told to; fulfils `EndOfTurn`."""

    def __init__(self, answer: float | Exception | None) -> None:
        self._answer = answer
        self.heard: list[tuple[int, AudioFormat]] = []

    async def done(self, audio: bytes, audio_format: AudioFormat) -> float:
        self.heard.append((len(audio), audio_format))
        if self._answer is None:
            await asyncio.Event().wait()
        if isinstance(self._answer, Exception):
            raise self._answer
        assert isinstance(self._answer, float)
        return self._answer

    def close(self) -> None:
        pass


async def _asks(line: Any) -> None:
    await asks(line)
    await line.waits(4_000)


def _call(exchange: Any, judge: Judge) -> Any:
    (line,) = exchange.serve(
        _asks,
        desk(),
        lines=lines(say("It is ten.")),
        heard="what time is it now",
        engines={"end_of_turn": judge},
    )
    assert line.spoken[-1] == "It is ten."
    return line


def test_what_was_said_up_to_the_pause_is_judged_once(exchange: Any) -> None:
    judge = Judge(0.98765)
    line = _call(exchange, judge)
    ((heard_bytes, audio_format),) = judge.heard
    assert heard_bytes > 400 * MULAW_8K.bytes_per_ms
    assert audio_format == MULAW_8K
    (judged,) = line.all(ev.TurnJudged)
    assert (judged.utterance, judged.done) == (line.all(ev.CallerPaused)[0].utterance, 0.988)


@pytest.mark.parametrize("answer", [None, VoiceFailed("too many wait"), RuntimeError("boom")])
def test_where_it_is_late_or_fails_the_call_goes_on_as_without_it(exchange: Any, answer: Exception | None) -> None:
    assert _call(exchange, Judge(answer)).all(ev.TurnJudged) == []
