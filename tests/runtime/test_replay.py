"""A call that is over, decided once more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from voiceagent.core.codec import encode_outgoing
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Speak
from voiceagent.core.events import (
    CallEnded,
    CallerPaused,
    CallerStartedSpeaking,
    CallStarted,
    Event,
    LegAttached,
    PhaseSwapped,
    PlayoutReached,
    ReplyFinished,
    ReplyStarted,
    ReplyText,
    SpeechQueued,
    TimePassed,
    TranscriptFinal,
)
from voiceagent.core.ids import CallId, Epoch, LegId, ReplyId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.errors import JournalError
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.journal_file import header_of, read_journal
from voiceagent.runtime.replay import replay
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Say, Transition
from voiceagent.spec.prompt import Prompt


def _flow(greeting: str = "Hello, how can I help?", prompt: str = "Be kind.") -> Flow:
    return Flow(
        name="bank",
        initial="greeting",
        phases=(
            Phase(
                name="greeting",
                prompt="bank/greeting.md",
                on_enter=Say(text=greeting),
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="goodbye"),),
            ),
            Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        prompts={"bank/greeting.md": Prompt(prompt)},
    )


_STARTED = CallStarted("en-US", "UTC", 1_700_000_000_000)
_CALL: tuple[tuple[int, Event], ...] = (
    (1_000, _STARTED),
    (1_000, LegAttached(LegId("leg-1"), "script")),
    (1_001, PhaseSwapped(Epoch(1))),
    (1_050, SpeechQueued(UtteranceId("a1"), 0, 1_500)),
    (2_600, PlayoutReached(UtteranceId("a1"), 0, 1_500, finished=True)),
    (3_000, CallerStartedSpeaking(UtteranceId("c1"), 3_000)),
    (4_200, CallerPaused(UtteranceId("c1"), 4_100)),
    (4_400, TranscriptFinal(UtteranceId("c1"), "What is my balance?", 0.9)),
    (6_500, TimePassed()),
    (6_600, ReplyStarted(ReplyId("r1"), Epoch(1))),
    (6_700, ReplyText(ReplyId("r1"), "It is twelve dollars.")),
    (6_800, ReplyFinished(ReplyId("r1"))),
    (9_000, CallEnded("hung up")),
)


def _take_a_call(directory: Path, events: tuple[tuple[int, Event], ...] = _CALL) -> Path:
    """Handle events as a session does, with a journal on disk."""

    async def call() -> Path:
        store = JournalStore(directory)
        inherited = Inherited(CallId("call-1"))
        journal = await store.open(inherited.call, on_broken=pytest.fail)
        journal.begin(header_of(_flow(), inherited, time_zone=_STARTED.time_zone, unix_ms=_STARTED.unix_ms))
        conversation = Conversation(_flow(), inherited)
        for at_ms, event in events:
            journal.event(at_ms, event)
            journal.effects(conversation.handle(event, at_ms))
        await journal.close()
        await store.close()
        return journal.path

    return asyncio.run(call())


def test_a_replay_decides_the_same_byte_for_byte(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    result = replay(journal, _flow())
    assert result.difference is None
    assert result.same
    assert result.events == len(_CALL)
    written = b"".join(line for entry in journal.entries for line in entry.effects)
    assert b'"effect":"AskModel"' in written
    assert b'"effect":"Speak"' in written


def test_a_replay_can_stop_after_any_event_and_tell_how_the_call_stood(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    said = [len(replay(journal, _flow(), until=until).conversation.transcript.messages()) for until in (1, 5, 9, 13)]
    assert said == sorted(said)
    assert (said[0], said[-1]) == (0, 3)
    assert replay(journal, _flow(), until=9).events == 9
    assert replay(journal, _flow(), until=999).events == len(_CALL)


def test_replies_and_tokens_are_counted_by_phase(tmp_path: Path) -> None:
    last = (6_800, ReplyFinished(ReplyId("r1"), input_tokens=120, output_tokens=9, cached_tokens=64))
    events = tuple(last if isinstance(event, ReplyFinished) else (at_ms, event) for at_ms, event in _CALL)
    (tokens,) = inspect_journal(read_journal(_take_a_call(tmp_path, events))).tokens
    assert (tokens.replies, tokens.input, tokens.output, tokens.cached) == (1, 120, 9, 64)


def test_the_first_difference_is_shown_with_its_event(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    result = replay(journal, _flow(greeting="Good morning."), other_flow=True)
    assert not result.same
    assert result.difference is not None
    assert result.difference.event == 3
    assert "PhaseSwapped" in result.difference.event_line
    assert "Hello" in (result.difference.recorded or "")
    assert "Good morning." in (result.difference.replayed or "")
    assert "recorded: {" in str(result.difference)


def test_an_effect_that_is_missing_from_the_journal_is_a_difference(tmp_path: Path) -> None:
    path = _take_a_call(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if b'"AskModel"' not in line))
    difference = replay(read_journal(path), _flow()).difference
    assert difference is not None
    assert "AskModel" in (difference.replayed or "")


def test_a_call_cut_off_by_a_crash_replays_as_far_as_it_was_written(tmp_path: Path) -> None:
    path = _take_a_call(tmp_path)
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert replay(read_journal(path), _flow()).same


def test_another_flow_is_refused(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    with pytest.raises(JournalError, match="flow 'bank' has been changed since the call"):
        replay(journal, _flow(greeting="Good morning."))


def test_another_prompt_is_refused_by_its_name(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    with pytest.raises(JournalError, match=r"prompts have been changed since the call: bank/greeting\.md"):
        replay(journal, _flow(prompt="Be rude."))


def test_a_refusal_says_how_to_replay_all_the_same(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    for other in (_flow(greeting="Good morning."), _flow(prompt="Be rude.")):
        with pytest.raises(JournalError, match="--other-flow"):
            replay(journal, other)


def test_another_prompt_alone_decides_nothing_otherwise(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path))
    assert replay(journal, _flow(prompt="Be rude."), other_flow=True).same


def test_the_conversation_of_a_replay_can_go_on(tmp_path: Path) -> None:
    journal = read_journal(_take_a_call(tmp_path, _CALL[:10]))
    conversation = replay(journal, _flow()).conversation
    outgoing = conversation.handle(ReplyText(ReplyId("r1"), "It is twelve dollars."), 6_700)
    outgoing += conversation.handle(ReplyFinished(ReplyId("r1")), 6_800)
    assert any(isinstance(out.effect, Speak) for out in outgoing)
    assert all(encode_outgoing(out) for out in outgoing)
