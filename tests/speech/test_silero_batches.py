"""Windows of many calls, judged together: nobody can tell from what is heard of a call that there were others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voiceagent.ports import MULAW_8K, AudioFormat, SpeechOff, SpeechOn
from voiceagent.testing.virtual_loop import VirtualLoop, run_virtual

pytest.importorskip("onnxruntime", reason="needs the extra 'local'")

import numpy as np

from voiceagent.speech.samples import from_bytes, to_bytes
from voiceagent.speech.silero import SileroVad
from voiceagent.speech.silero_batch import SileroBatch
from voiceagent.speech.silero_call import SileroCall

pytestmark = pytest.mark.engines

PER_MS = 8
FRAME = 20 * PER_MS
WINDOW = 32 * PER_MS
SILENCE = b"\xff"
Change = SpeechOn | SpeechOff


def noise(dbfs: float, ms: int, *, seed: int = 7) -> bytes:
    samples = np.random.default_rng(seed).normal(0, 10 ** (dbfs / 20), ms * PER_MS)
    return to_bytes(samples.astype(np.float32), MULAW_8K)


class Watched(SileroVad):
    """The network, and what it was asked; for some windows it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.fails_at: float | None = None
        """Loudness of the windows that it cannot take."""

    def probabilities(self, windows: Any, state: Any, *, rate_hz: int) -> Any:
        self.batches.append(len(windows))
        if self.fails_at is not None and np.abs(windows).max() >= self.fails_at:
            raise RuntimeError("boom")
        return super().probabilities(windows, state, rate_hz=rate_hz)


@pytest.fixture
def watched() -> Iterator[Watched]:
    engine = Watched()
    yield engine
    engine.close()


class Heard:
    """A live call: what `feed` returned and what was told later, in one list."""

    def __init__(self, engine: SileroVad, audio: AudioFormat = MULAW_8K) -> None:
        self.changes: list[Change] = []
        self.handle: SileroCall = engine.open(audio, later=self.changes.append)

    def feed(self, audio: bytes) -> None:
        for change in self.handle.feed(audio):
            self.changes.append(change)


def alone(engine: SileroVad, audio: bytes) -> list[Change]:
    return list(engine.open(MULAW_8K).feed(audio))


# --- the same, whoever else calls ------------------------------------------------------------------------------------


class Recorded:
    """A call of which every window goes to the network, and what it says of each."""

    def __init__(self, batch: SileroBatch, audio: bytes) -> None:
        self.slot = batch.join(live=False)
        self.windows = [audio[at : at + WINDOW] for at in range(0, len(audio) // WINDOW * WINDOW, WINDOW)]
        self.voices: list[float] = []

    @property
    def waits(self) -> bool:
        return bool(self.windows)

    def next_window(self) -> bytes:
        return self.windows.pop(0)

    def weighed(self, loudness: float, power: float) -> bool:
        return True

    def judged(self, voice: float | None) -> None:
        assert voice is not None
        self.voices.append(voice)

    def failed(self, problem: Exception) -> None:
        raise problem


def voices_of(silero: Any, audio: Sequence[bytes], together: Callable[[list[Recorded]], list[Recorded]]) -> Any:
    batch = SileroBatch(lambda windows, state: silero.probabilities(windows, state, rate_hz=8000), MULAW_8K)
    calls = [Recorded(batch, one) for one in audio]
    while any(call.waits for call in calls):
        batch.judge(together([call for call in calls if call.waits]))
    return [call.voices for call in calls]


def test_what_the_network_says_of_a_window_does_not_depend_on_those_beside_it(silero, utterance):
    audio = [utterance(number) for number in ("03", "06", "11", "14", "16")]
    audio.append(noise(-30, 3_000))
    source = random.Random(7)  # noqa: S311  # the same choice every time
    apart = voices_of(silero, audio, lambda waiting: waiting[:1])
    for mixed in (
        voices_of(silero, audio, lambda waiting: waiting),
        voices_of(silero, audio, lambda waiting: source.sample(waiting, source.randint(1, len(waiting)))),
    ):
        assert [len(voices) for voices in mixed] == [len(one) // WINDOW for one in audio]
        for voices, expected in zip(mixed, apart, strict=True):
            assert voices == pytest.approx(expected, abs=1e-4)
    assert max(apart[0]) > 0.9
    assert max(apart[-1]) < 0.5


_call = st.tuples(st.sampled_from(["06", "14", "15", "20"]), st.integers(0, 900), st.integers(30, 2_500))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_call, min_size=1, max_size=9), st.integers(0, 10_000))
def test_every_call_is_told_what_it_would_be_told_alone(
    silero: Any, utterance: Any, calls: list[tuple[str, int, int]], seed: int
) -> None:
    audio = [noise(-50, ms) + utterance(number) + SILENCE * (PER_MS * 600) for number, ms, _ in calls]
    order = random.Random(seed)  # noqa: S311 - who is heard first, not a secret

    async def together() -> list[Heard]:
        heard = [Heard(silero) for _ in calls]
        places = [0] * len(calls)
        while left := [n for n in range(len(calls)) if places[n] < len(audio[n])]:
            for number in order.sample(left, order.randint(1, len(left))):
                size = calls[number][2]
                heard[number].feed(audio[number][places[number] : places[number] + size])
                places[number] += size
            await asyncio.sleep(order.randint(0, 30) / 1_000)
        await asyncio.sleep(0.01)
        for call in heard:
            call.handle.close()
        return heard

    assert [call.changes for call in run_virtual(together())] == [alone(silero, one) for one in audio]


def test_a_call_that_takes_the_place_of_another_hears_nothing_of_it(silero, utterance):
    audio = utterance("16")

    async def one_after_the_other() -> list[list[Change]]:
        told: list[list[Change]] = []
        for _ in range(3):
            call = Heard(silero)
            call.feed(audio)
            await asyncio.sleep(0.01)
            call.handle.close()
            told.append(call.changes)
        return told

    assert run_virtual(one_after_the_other()) == [alone(silero, audio)] * 3


# --- waiting for each other ------------------------------------------------------------------------------------------


def test_where_calls_are_few_nobody_is_kept_waiting(watched, utterance):
    audio = utterance("16")

    async def called() -> None:
        calls = [Heard(watched) for _ in range(2)]
        for at in range(0, len(audio), FRAME):
            for call in calls:
                call.feed(audio[at : at + FRAME])
            await asyncio.sleep(0)
            assert [call.handle.waits for call in calls] == [False, False]
        assert all(call.changes for call in calls)
        assert set(watched.batches) == {2}

    run_virtual(called())


def test_where_they_are_many_their_windows_are_gathered_for_10_ms(watched, utterance):
    voice = utterance("16")[200 * PER_MS :]

    async def called() -> None:
        loop = asyncio.get_running_loop()
        calls = [Heard(watched) for _ in range(10)]
        for number, call in enumerate(calls):
            call.feed(voice[:WINDOW])
            assert call.handle.waits
            assert watched.batches == []
            if number < 9:
                await asyncio.sleep(0.001)
        assert loop.time() == pytest.approx(0.009)
        await asyncio.sleep(0.0011)
        assert watched.batches == [10]
        assert not any(call.handle.waits for call in calls)

    run_virtual(called())


def test_audio_that_comes_in_lumps_is_not_kept_waiting_and_takes_the_others_along(watched, utterance):
    voice = utterance("16")

    async def called() -> None:
        calls = [Heard(watched) for _ in range(10)]
        for call in calls[1:]:
            call.feed(noise(-20, 32))
        calls[0].feed(voice)
        assert calls[0].changes[:1] == alone(watched, voice)[:1]
        assert watched.batches[0] == 10
        assert not any(call.handle.waits for call in calls)

    run_virtual(called())


def test_audio_that_comes_all_at_once_for_everybody_is_judged_together_in_the_same_round(watched, utterance):
    voice = utterance("16")[200 * PER_MS :]

    async def called() -> None:
        calls = [Heard(watched) for _ in range(50)]
        for call in calls:
            for at in range(0, 100 * PER_MS, FRAME):
                call.feed(voice[at : at + FRAME])
        assert watched.batches == []
        await asyncio.sleep(0)
        assert watched.batches == [50, 50, 50]
        assert not any(call.handle.waits for call in calls)

    run_virtual(called())


def test_what_waits_is_audible_already(silero):
    async def called() -> None:
        calls = [Heard(silero) for _ in range(10)]
        handle = calls[0].handle
        handle.feed(SILENCE * (96 * PER_MS))
        await asyncio.sleep(0.01)
        handle.feed(noise(-20, 64))
        assert handle.waits
        assert handle.audible_since_ms == 96
        handle.feed(SILENCE * (32 * PER_MS))
        assert handle.audible_since_ms is None

    run_virtual(called())


# --- the end of a call, and what goes wrong --------------------------------------------------------------------------


def test_a_call_that_is_over_is_told_nothing_more(watched, utterance):
    voice = utterance("16")[: 400 * PER_MS]

    async def called() -> None:
        calls = [Heard(watched) for _ in range(10)]
        for at in range(0, len(voice), FRAME):
            for call in calls:
                call.feed(voice[at : at + FRAME])
        gone = calls.pop()
        gone.handle.close()
        gone.handle.close()
        told = len(gone.changes)
        await asyncio.sleep(0.01)
        gone.feed(voice)
        await asyncio.sleep(0.01)
        assert len(gone.changes) == told
        assert not gone.handle.waits
        assert all(call.changes for call in calls)

    run_virtual(called())


def test_calls_that_end_while_they_wait_hold_up_nobody_after_them(watched, utterance):
    voice = utterance("16")

    async def hang_up() -> None:
        calls = [Heard(watched) for _ in range(10)]
        for call in calls:
            call.feed(voice[: 2 * WINDOW])
        for call in calls:
            call.handle.close()

    async def called() -> list[Change]:
        call = Heard(watched)
        for at in range(0, len(voice), FRAME):
            call.feed(voice[at : at + FRAME])
            await asyncio.sleep(0)
            assert not call.handle.waits
        call.handle.close()
        return call.changes

    run_virtual(hang_up())
    assert run_virtual(called()) == alone(watched, voice)


def test_a_window_for_which_the_network_fails_ends_the_hearing_of_that_call_alone(watched, utterance):
    voice, loud = utterance("16"), to_bytes(np.full(8 * FRAME, 0.99, np.float32), MULAW_8K)
    expected = alone(watched, voice)
    watched.batches.clear()
    watched.fails_at = 0.95

    async def called() -> None:
        calls = [Heard(watched) for _ in range(6)]
        unlucky = Heard(watched)
        for at in range(0, len(voice), FRAME):
            for call in calls:
                call.feed(voice[at : at + FRAME])
            if at < 2 * FRAME:
                unlucky.feed(loud[at : at + FRAME])
            await asyncio.sleep(0.02)
        assert watched.batches[:8] == [7, *[1] * 7], "all together, then each for itself"
        assert [call.changes for call in calls] == [expected] * 6
        for _ in range(2):
            with pytest.raises(RuntimeError, match="boom"):
                unlucky.feed(loud[:FRAME])

    run_virtual(called())


def test_a_call_that_cannot_be_told_takes_no_other_with_it(silero, utterance):
    voice = utterance("16")

    def refuses(change: Change) -> None:
        raise LookupError(change)

    async def called() -> None:
        deaf = silero.open(MULAW_8K, later=refuses)
        calls = [Heard(silero) for _ in range(6)]
        failed = False
        for at in range(0, len(voice), FRAME):
            for call in calls:
                call.feed(voice[at : at + FRAME])
            try:
                deaf.feed(voice[at : at + FRAME])
            except LookupError:
                failed = True
            await asyncio.sleep(0.02)
        assert failed
        assert [call.changes for call in calls] == [alone(silero, voice)] * 6

    run_virtual(called())


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda voices, states: (voices[:-1], states), id="a voice too few"),
        pytest.param(lambda voices, states: (voices, states[:, :-1]), id="a state too few"),
    ],
)
def test_calls_for_which_the_network_has_no_answer_are_told_so(broken: Callable[..., Any], utterance):
    class Broken(SileroVad):
        def probabilities(self, windows: Any, state: Any, *, rate_hz: int) -> Any:
            return broken(*super().probabilities(windows, state, rate_hz=rate_hz))

    engine = Broken()
    voice = utterance("16")

    async def called() -> None:
        calls = [Heard(engine) for _ in range(6)]
        for call in calls:
            call.feed(voice[:WINDOW])
        await asyncio.sleep(0.01)
        for call in calls:
            with pytest.raises(ValueError, match=r"shape|zip"):
                call.feed(SILENCE)

    run_virtual(called())


def test_calls_whose_audio_cannot_be_decoded_are_told_so(silero, utterance, monkeypatch: pytest.MonkeyPatch):
    voice = utterance("16")

    def no_memory(*_: object) -> None:
        raise MemoryError

    async def called() -> None:
        calls = [Heard(silero) for _ in range(6)]
        for call in calls:
            call.feed(voice[:WINDOW])
        with monkeypatch.context() as patched:
            patched.setattr(SileroBatch, "samples", no_memory)
            await asyncio.sleep(0.01)
        for call in calls:
            with pytest.raises(MemoryError):
                call.feed(SILENCE)
            call.handle.close()

    run_virtual(called())


def test_a_call_that_was_fed_where_nothing_can_come_later_is_told_later_all_the_same(watched, utterance):
    voice, told = utterance("16"), list[Change]()
    handle, *_ = [watched.open(MULAW_8K, later=told.append) for _ in range(10)]
    loop = VirtualLoop()
    for at in range(0, len(voice), FRAME):
        loop.call_soon(handle.feed, voice[at : at + FRAME])
        loop.pass_time(until_ms=loop.now_ms + 5)
        if handle.waits:
            with pytest.raises(RuntimeError, match="no running event loop"):
                handle.feed(b"")
        loop.pass_time(until_ms=loop.now_ms + 15)
    loop.close()
    assert told == alone(watched, voice)


def test_calls_that_nobody_closed_before_their_loop_ended_hold_up_nobody_on_the_next(watched, utterance):
    voice = utterance("16")[200 * PER_MS :]

    async def broken_off() -> list[Heard]:
        calls = [Heard(watched) for _ in range(10)]
        for call in calls:
            call.feed(voice[:WINDOW])
        return calls

    async def called() -> None:
        call = Heard(watched)
        call.feed(voice[:WINDOW])
        await asyncio.sleep(0.0101)
        assert not call.handle.waits
        assert watched.batches == [1]

    left = run_virtual(broken_off())
    assert watched.batches == []
    run_virtual(called())
    assert all(call.handle.waits for call in left)


_whose: ContextVar[str] = ContextVar("whose")


def test_every_call_is_told_in_the_context_in_which_it_was_opened(watched, utterance):
    voice, told = utterance("16"), list[tuple[str, str]]()

    def opened(name: str) -> SileroCall:
        _whose.set(name)
        return watched.open(MULAW_8K, later=lambda _: told.append((name, _whose.get())))

    async def called() -> None:
        _whose.set("whoever brings the audio")
        handles = [copy_context().run(opened, name) for name in ("a", "b", "c")]
        for at in range(0, len(voice), FRAME):
            for handle in handles:
                assert handle.feed(voice[at : at + FRAME]) == []
            await asyncio.sleep(0)
        for handle in handles:
            handle.close()

    run_virtual(called())
    assert set(told) == {("a", "a"), ("b", "b"), ("c", "c")}


def test_a_call_that_is_closed_by_one_told_before_it_is_told_nothing(watched, utterance):
    voice, told = utterance("16"), list[str]()

    async def called() -> None:
        def hang_up_on_the_other(_: Change) -> None:
            told.append("one")
            other.close()

        one = watched.open(MULAW_8K, later=hang_up_on_the_other)
        other = watched.open(MULAW_8K, later=lambda _: told.append("other"))
        for at in range(0, len(voice), FRAME):
            one.feed(voice[at : at + FRAME])
            other.feed(voice[at : at + FRAME])
            await asyncio.sleep(0)
        one.close()

    run_virtual(called())
    assert set(told) == {"one"}


# --- what the network is not asked -----------------------------------------------------------------------------------


def test_a_line_at_its_background_costs_nothing(watched):
    hiss = noise(-50, 10_000)
    assert alone(watched, hiss) == []
    assert sum(watched.batches) < 0.1 * 10_000 / 32


def test_a_voice_after_a_long_hiss_is_heard_as_early_as_after_a_short_one(watched, utterance):
    voice = from_bytes(utterance("16"), MULAW_8K)

    def onset_ms(hiss_ms: int) -> int:
        line = np.concatenate((np.zeros(hiss_ms * PER_MS, np.float32), voice))
        line = line + np.random.default_rng(7).normal(0, 0.003, len(line)).astype(np.float32)
        return next(change.at_ms for change in alone(watched, to_bytes(line, MULAW_8K))) - hiss_ms

    assert onset_ms(32 * 200) == pytest.approx(onset_ms(32 * 5), abs=32)


def test_digital_silence_is_passed_over_and_what_follows_is_dated_as_if_it_had_been_heard(watched, utterance):
    voice = utterance("16")[200 * PER_MS :]
    expected = [change.at_ms for change in alone(watched, SILENCE * (320 * PER_MS) + voice)]

    async def called() -> list[int]:
        call = Heard(watched)
        call.feed(SILENCE * (320 * PER_MS))
        await asyncio.sleep(0.01)
        watched.batches.clear()
        for _ in range(1_000):
            call.feed(SILENCE * WINDOW)
            assert not call.handle.waits
        assert watched.batches == []
        call.feed(voice)
        await asyncio.sleep(0.01)
        return [change.at_ms - 1_000 * 32 for change in call.changes]

    assert run_virtual(called()) == expected
