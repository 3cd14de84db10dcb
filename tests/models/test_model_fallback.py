"""Which model answers when the first one does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from voiceagent.core.effects import ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.models.fallback import FallbackModels
from voiceagent.ports import ReplyDone, ReplyModel, ReplyModelEngine, ReplyPiece, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase
from voiceagent.testing.manual_clock import ManualClock

FLOW = Flow(name="bank", initial="inquiry", phases=(Phase(name="inquiry"),))
REQUEST = ModelRequest("inquiry", Epoch(1), "", "", (), (), {}, 1_796_126_400_000)

DOWN = ModelUnavailable("down")
LOCKED_OUT = ModelUnavailable("locked out", permanent=True)
BUSY = ModelUnavailable("busy", retry_after_ms=2_000)
REFUSED = ReplyRefused("too long")

Lines = Sequence[ReplyPiece | VoiceFailed]


def says(text: str) -> Lines:
    return [SentText(text), ReplyDone()]


A = says("A")


class Recited:
    """An engine and its handles: recites its replies one after the other, the last again and again."""

    def __init__(self, *replies: Lines | VoiceFailed) -> None:
        self.replies = [[reply] if isinstance(reply, VoiceFailed) else reply for reply in replies]
        self.asked = 0
        self.abandoned = 0
        self.closed = 0

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> Recited:
        return self

    async def reply(self, request: ModelRequest) -> AsyncGenerator[ReplyPiece]:
        pieces = self.replies[min(self.asked, len(self.replies) - 1)]
        self.asked += 1
        try:
            for piece in pieces:
                if isinstance(piece, VoiceFailed):
                    raise piece
                yield piece
        except GeneratorExit:
            self.abandoned += 1
            raise

    async def close(self) -> None:
        self.closed += 1


def opened(models: ReplyModelEngine) -> ReplyModel:
    return models.open(FLOW, locale="en-US", time_zone="UTC")


def chain(*engines: Recited, clock: ManualClock | None = None) -> FallbackModels:
    return FallbackModels(*engines, clock=clock or ManualClock(), failures_to_open=3, rest_ms=10_000)


async def heard(model: ReplyModel) -> str:
    """Return the words of one reply, or how it failed."""
    try:
        return "".join([piece.text async for piece in model.reply(REQUEST) if isinstance(piece, SentText)])
    except VoiceFailed as failure:
        return f"failed: {failure}"


def replies(model: ReplyModel, count: int = 1) -> list[str]:
    async def listen() -> list[str]:
        return [await heard(model) for _ in range(count)]

    return asyncio.run(listen())


# --- one reply -------------------------------------------------------------------------------------------------------


def test_a_model_that_works_is_the_only_one_asked():
    first, second = Recited(A), Recited(says("B"))
    assert replies(opened(chain(first, second))) == ["A"]
    assert second.asked == 0


@pytest.mark.parametrize("failure", [DOWN, LOCKED_OUT, BUSY, REFUSED, VoiceFailed("odd")])
def test_the_next_model_answers_the_same_request(failure: VoiceFailed):
    assert replies(opened(chain(Recited(failure), Recited(failure), Recited(says("C"))))) == ["C"]


def test_a_tool_request_counts_as_an_answer_that_cannot_be_taken_back():
    first, second = Recited([ToolRequest("a", "list_accounts", "{}"), DOWN]), Recited(says("B"))
    assert replies(opened(chain(first, second))) == ["failed: down"]
    assert second.asked == 0


def test_after_the_first_word_no_other_model_goes_on():
    async def listen() -> None:
        pieces = opened(chain(Recited([SentText("Your "), DOWN]), Recited(says("B")))).reply(REQUEST)
        assert await anext(pieces) == SentText("Your ")
        with pytest.raises(ModelUnavailable, match="down"):
            await anext(pieces)

    asyncio.run(listen())


def test_when_nobody_answers_every_reason_is_named():
    assert replies(opened(chain(Recited(DOWN), Recited(REFUSED)))) == ["failed: down; too long"]


def test_a_reply_that_is_cut_short_is_abandoned_at_once():
    async def barge_in() -> int:
        first = Recited(A)
        pieces = opened(chain(first, Recited(says("B")))).reply(REQUEST)
        assert isinstance(pieces, AsyncGenerator)
        await anext(pieces)
        await pieces.aclose()
        return first.abandoned

    assert asyncio.run(barge_in()) == 1


# --- one call --------------------------------------------------------------------------------------------------------


def test_a_call_gives_a_model_up_after_two_failures_in_a_row():
    first = Recited(DOWN, DOWN, A)
    assert replies(opened(chain(first, Recited(says("B")))), 4) == ["B", "B", "B", "B"]
    assert first.asked == 2


def test_a_failure_in_mid_reply_counts_too():
    first = Recited([SentText("A"), DOWN])
    assert replies(opened(chain(first, Recited(says("B")))), 3) == ["failed: down", "failed: down", "B"]


def test_an_answer_in_between_starts_the_count_anew():
    first = Recited(DOWN, A, DOWN, A)
    assert replies(opened(chain(first, Recited(says("B")))), 4) == ["B", "A", "B", "A"]


def test_a_call_gives_a_model_up_at_once_when_its_failure_is_permanent():
    first = Recited(LOCKED_OUT, A)
    assert replies(opened(chain(first, Recited(says("B")))), 3) == ["B", "B", "B"]
    assert first.asked == 1


def test_a_model_that_was_given_up_is_asked_again_before_the_call_falls_silent():
    first = Recited(REFUSED, REFUSED, A)
    second = Recited(says("B"), says("B"), VoiceFailed("no guided dialogue"))
    assert replies(opened(chain(first, second)), 3) == ["B", "B", "A"]


def test_another_call_asks_the_model_that_one_call_has_given_up():
    models = chain(Recited(REFUSED, REFUSED, A), Recited(says("B")))
    assert replies(opened(models), 3) == ["B", "B", "B"]
    assert replies(opened(models)) == ["A"]


# --- all calls of the process ----------------------------------------------------------------------------------------


def fail_in_new_calls(models: FallbackModels, count: int) -> None:
    for _ in range(count):
        assert replies(opened(models)) == ["B"]


def test_an_engine_that_is_down_is_left_alone_by_all_calls():
    first = Recited(DOWN)
    models = chain(first, Recited(says("B")))
    fail_in_new_calls(models, 5)
    assert first.asked == 3


def test_an_engine_that_has_rested_is_tried_and_taken_back():
    clock, first = ManualClock(), Recited(DOWN, DOWN, DOWN, A)
    models = chain(first, Recited(says("B")), clock=clock)
    fail_in_new_calls(models, 3)
    clock.advance(9_999)
    assert replies(opened(models)) == ["B"]
    clock.advance(1)
    assert replies(opened(models)) == ["A"]
    assert replies(opened(models)) == ["A"]


def test_an_engine_that_fails_its_trial_rests_again():
    clock, first = ManualClock(), Recited(DOWN)
    models = chain(first, Recited(says("B")), clock=clock)
    fail_in_new_calls(models, 3)
    clock.advance(10_000)
    fail_in_new_calls(models, 3)
    assert first.asked == 4


async def _begin(models: FallbackModels) -> AsyncGenerator[ReplyPiece]:
    """Return a reply whose first piece has been read."""
    pieces = opened(models).reply(REQUEST)
    assert isinstance(pieces, AsyncGenerator)
    await anext(pieces)
    return pieces


def test_one_call_at_a_time_tries_an_engine_that_has_rested():
    async def race() -> tuple[str, str]:
        clock, first = ManualClock(), Recited(DOWN, DOWN, DOWN, A)
        models = chain(first, Recited(says("B")), clock=clock)
        for _ in range(3):
            await heard(opened(models))
        clock.advance(10_000)
        trial = await _begin(models)
        meanwhile = await heard(opened(models))
        async for _ in trial:
            pass
        return meanwhile, await heard(opened(models))

    assert asyncio.run(race()) == ("B", "A")


class Unhurried(Recited):
    """Thinks until it is let go on."""

    def __init__(self, *lines: Lines | VoiceFailed) -> None:
        super().__init__(*lines)
        self.go_on = asyncio.Event()
        self.thinking = asyncio.Event()

    async def reply(self, request: ModelRequest) -> AsyncGenerator[ReplyPiece]:
        if self.asked >= 3:
            self.thinking.set()
            await self.go_on.wait()
        async for piece in super().reply(request):
            yield piece


def test_a_trial_that_the_caller_cuts_short_leaves_the_trial_to_the_next_call():
    async def barge_in() -> str:
        clock, first = ManualClock(), Unhurried(DOWN, DOWN, DOWN, A)
        models = chain(first, Recited(says("B")), clock=clock)
        for _ in range(3):
            await heard(opened(models))
        clock.advance(10_000)
        trial = asyncio.create_task(heard(opened(models)))
        await first.thinking.wait()
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        first.go_on.set()
        return await heard(opened(models))

    assert asyncio.run(barge_in()) == "A"


def test_a_trial_that_was_cut_short_after_its_first_word_has_succeeded():
    async def barge_in() -> tuple[str, str]:
        clock, first = ManualClock(), Recited(DOWN, DOWN, DOWN, A)
        models = chain(first, Recited(says("B")), clock=clock)
        for _ in range(3):
            await heard(opened(models))
        clock.advance(10_000)
        await (await _begin(models)).aclose()
        return await heard(opened(models)), await heard(opened(models))

    assert asyncio.run(barge_in()) == ("A", "A")


def test_a_permanent_failure_spares_the_other_calls_their_own():
    first = Recited(LOCKED_OUT)
    models = chain(first, Recited(says("B")))
    fail_in_new_calls(models, 2)
    assert first.asked == 1


def test_an_engine_that_asks_for_patience_is_given_it():
    clock, first = ManualClock(), Recited(BUSY, A)
    models = chain(first, Recited(says("B")), clock=clock)
    fail_in_new_calls(models, 2)
    clock.advance(2_000)
    assert replies(opened(models)) == ["A"]
    assert first.asked == 2


def test_a_request_that_does_not_fit_is_not_held_against_the_engine():
    first = Recited(REFUSED)
    models = chain(first, Recited(says("B")))
    fail_in_new_calls(models, 5)
    assert first.asked == 5


def test_the_last_engine_is_always_asked():
    last = Recited(DOWN)
    models = chain(Recited(DOWN), last)
    for _ in range(5):
        replies(opened(models))
    assert last.asked == 5


def test_closing_closes_every_engine_and_every_handle():
    async def close() -> list[int]:
        engines = [Recited(A), Recited(A)]
        models = chain(*engines)
        await opened(models).close()
        await models.close()
        return [engine.closed for engine in engines]

    assert asyncio.run(close()) == [2, 2]
