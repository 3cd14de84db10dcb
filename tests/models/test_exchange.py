"""What every live session of a speech model has in common, on virtual time: bounded queues, order, and one end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from voiceagent.models.exchange import MOST_UNPOSTED, MOST_WAITING, Exchange
from voiceagent.models.failures import ModelUnavailable
from voiceagent.ports import ModelReplyBegan, SessionLost, SpeechModelEvent
from voiceagent.testing.virtual_loop import run_virtual


class Line:
    """A wire in memory."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.coming: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.stuck = False
        self.breaks: Exception | None = None
        self.silent = False
        self.done: list[str] = []

    async def send(self, frame: str) -> None:
        if self.stuck:
            await asyncio.sleep(3_600)
        if self.breaks is not None:
            raise self.breaks
        self.sent.append(frame)

    async def receive(self) -> str:
        coming = await self.coming.get()
        if isinstance(coming, Exception):
            raise coming
        return coming

    async def part(self) -> None:
        self.done.append("parted")
        if not self.silent:
            self.coming.put_nowait(ModelUnavailable("m has gone"))

    async def drop(self) -> None:
        self.done.append("dropped")
        self.coming.put_nowait(ModelUnavailable("m was dropped"))


class Owner:
    """Whose session it is: every message becomes an event; what is posted is kept."""

    def __init__(self) -> None:
        self.line = Line()
        self.posted: list[SpeechModelEvent] = []
        self.ended = 0
        self.takes: Callable[[SpeechModelEvent], None] = self.posted.append
        self.exchange: Exchange[str, str] = Exchange(
            self.line,
            model="m",
            received=self._received,
            post=self._post,
            ended=self._ended,
            send_ms=5_000,
            close_ms=1_000,
        )

    def _received(self, message: str) -> None:
        if message == "nonsense":
            raise KeyError(message)
        self.exchange.post([ModelReplyBegan(message)])

    def _post(self, event: SpeechModelEvent) -> None:
        self.takes(event)

    def _ended(self) -> None:
        self.ended += 1


def play(scene: Callable[[Owner], Coroutine[Any, Any, None]]) -> None:
    """Play a scene; in the end nothing of it may be left."""

    async def playing() -> None:
        owner = Owner()
        await scene(owner)
        await owner.exchange.close()
        await asyncio.sleep(10)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert owner.ended == 1
        assert owner.line.done[-1] == "dropped"

    run_virtual(playing())


def test_more_events_than_anybody_takes_end_the_session_after_those_that_were_taken() -> None:
    async def scene(owner: Owner) -> None:
        for number in range(MOST_UNPOSTED):
            owner.exchange.post([ModelReplyBegan(f"{number}")])
        assert not owner.exchange.over
        owner.exchange.post([ModelReplyBegan("one too many")])
        assert owner.exchange.over
        assert owner.posted == []
        await asyncio.sleep(0)
        assert owner.posted[:-1] == [ModelReplyBegan(f"{number}") for number in range(MOST_UNPOSTED)]
        assert owner.posted[-1] == SessionLost("m says more than is listened to", permanent=False)

    play(scene)


def test_events_of_one_moment_after_the_other_are_never_too_many() -> None:
    async def scene(owner: Owner) -> None:
        for number in range(2 * MOST_UNPOSTED):
            owner.exchange.post([ModelReplyBegan(f"{number}")])
            await asyncio.sleep(0)
        assert len(owner.posted) == 2 * MOST_UNPOSTED

    play(scene)


def test_a_flood_from_the_provider_is_posted_as_it_is_read() -> None:
    async def scene(owner: Owner) -> None:
        for number in range(2 * MOST_UNPOSTED):
            owner.line.coming.put_nowait(f"{number}")
        await asyncio.sleep(1)
        assert [type(event) for event in owner.posted] == [ModelReplyBegan] * (2 * MOST_UNPOSTED)

    play(scene)


def test_more_frames_than_the_provider_takes_end_the_session() -> None:
    async def scene(owner: Owner) -> None:
        owner.line.stuck = True
        owner.exchange.send(["first"])
        await asyncio.sleep(0)
        owner.exchange.send(["audio"] * MOST_WAITING)
        assert not owner.exchange.over
        owner.exchange.send(["audio"])
        assert owner.posted == []
        await asyncio.sleep(0)
        assert owner.posted == [SessionLost("m takes less than it is sent", permanent=False)]

    play(scene)


@pytest.mark.parametrize(
    ("failure", "reason", "permanent"),
    [
        (ModelUnavailable("m knows no such key", permanent=True), "m knows no such key", True),
        (OSError("a word of the caller's"), "the session with m failed", False),
    ],
)
@pytest.mark.parametrize("sends", [True, False])
def test_whatever_fails_the_call_hears_of_it_once(
    failure: Exception, reason: str, permanent: bool, sends: bool
) -> None:
    async def scene(owner: Owner) -> None:
        if sends:
            owner.line.breaks = failure
            owner.exchange.send(["first", "second"])
        else:
            owner.line.coming.put_nowait(failure)
        await asyncio.sleep(1)
        owner.exchange.lose("once more")
        await asyncio.sleep(1)
        assert owner.posted == [SessionLost(reason, permanent)]

    play(scene)


def test_a_message_that_cannot_be_read_ends_the_session_and_not_in_silence() -> None:
    async def scene(owner: Owner) -> None:
        owner.line.coming.put_nowait("nonsense")
        await asyncio.sleep(1)
        assert owner.posted == [SessionLost("the session with m failed", permanent=False)]

    play(scene)


@pytest.mark.parametrize("asked", [True, False], ids=["of a call of the owner's", "of a message"])
def test_an_event_that_the_call_cannot_take_ends_the_session(asked: bool) -> None:
    async def scene(owner: Owner) -> None:
        def takes(event: SpeechModelEvent) -> None:
            owner.posted.append(event)
            if event == ModelReplyBegan("bad"):
                raise KeyError(event)

        owner.takes = takes
        if asked:
            owner.exchange.post([ModelReplyBegan("bad")])
        else:
            owner.line.coming.put_nowait("bad")
        await asyncio.sleep(1)
        assert owner.posted[1:] == [SessionLost("m said what could not be taken", permanent=False)]

    play(scene)


@pytest.mark.parametrize("last", [None, ["goodbye"]])
def test_what_waits_is_sent_before_the_last_frame_and_not_at_all_where_there_is_none(last: list[str] | None) -> None:
    async def scene(owner: Owner) -> None:
        owner.exchange.send(["one", "two"])
        await owner.exchange.close(last=last)
        assert owner.line.sent == ([] if last is None else ["one", "two", "goodbye"])
        assert owner.line.done == ["parted", "dropped"]
        owner.exchange.send(["three"])
        owner.exchange.post([ModelReplyBegan("late")])
        await asyncio.sleep(1)
        assert owner.posted == []
        assert "three" not in owner.line.sent

    play(scene)


def test_a_provider_that_does_not_say_goodbye_is_left_in_time_though_two_close_and_one_gives_up() -> None:
    async def scene(owner: Owner) -> None:
        owner.line.silent = True
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(owner.exchange.close())
        second = asyncio.create_task(owner.exchange.close())
        await asyncio.sleep(0.1)
        first.cancel()
        await second
        assert 1 <= asyncio.get_running_loop().time() - began <= 1.1
        assert owner.line.done == ["parted", "dropped"]

    play(scene)
