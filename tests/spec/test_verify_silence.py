"""The longest silence that is proved is the longest that the conversation itself lets a caller bear."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core import fillers
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Say, Transition
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool, tool
from voiceagent.spec.verify import silence, verify
from voiceagent.spec.verify.silence import longest_wait, waits_in

DEFAULT = Filler()


def desk(
    effect: str = "read",
    *,
    timeout_ms: int = 10_000,
    filler: Filler = DEFAULT,
    own: Filler | None = None,
    **limits: int,
) -> Flow:
    """A phase with one tool that takes its time."""

    @tool(
        effect=effect,  # pyright: ignore[reportArgumentType] - one of the three effects
        timeout_ms=timeout_ms,
        filler=own,
        confirm="Shall I?" if effect == "irreversible" else None,
    )
    async def work() -> dict[str, object]:
        """Take some time."""
        return {}

    done = Transition(on=Requested(name="finish", description="They are done."), to="bye")
    return Flow(
        name="desk",
        initial="desk",
        phases=(
            Phase(name="desk", prompt="desk.md", tools=(work,), on_enter=Say(text="Hello."), transitions=(done,)),
            Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        filler=filler,
        limits=Limits.model_validate(limits),
        prompts={"desk.md": Prompt("Help.")},
    )


class Slow:
    """A world in which everything but speech takes as long as it is told to; sounds take no time at all."""

    def __init__(self, flow: Flow, *, transcript_ms: int, model_ms: int, tool_ms: int, usual_ms: int | None) -> None:
        latency = {} if usual_ms is None else {"work": usual_ms}
        self._conversation = Conversation(flow, Inherited(CallId("c"), tool_latency_ms=latency))
        self._transcript_ms, self._model_ms, self._tool_ms = transcript_ms, model_ms, tool_ms
        self._queue: list[tuple[int, int, ev.Event]] = []
        self._order = itertools.count()
        self._replies: list[fx.AskModel] = []
        self._words = iter(["please do the work now", "yes"])
        self._answered = False
        self.now_ms = 0
        self.sounds: list[int] = []
        """When something was heard, the caller's own last sound included."""

    def longest_ms(self) -> int:
        """Play one round of it; return the longest time without a sound between the caller's words and the answer."""
        self._at(0, ev.CallStarted("en-US", "UTC", 0), ev.LegAttached(LegId("l"), "test"))
        self._caller(1_000)
        while not self._answered:
            due = self._conversation.deadline_ms
            if self._queue and (due is None or self._queue[0][0] <= due):
                self.now_ms, _, event = heapq.heappop(self._queue)
            else:
                assert due is not None
                self.now_ms, event = max(self.now_ms, due), ev.TimePassed()
            for outgoing in self._conversation.handle(event, self.now_ms):
                self._carry_out(outgoing.effect)
        return max(b - a for a, b in itertools.pairwise(self.sounds))

    def _at(self, after_ms: int, *events: ev.Event) -> None:
        for event in events:
            heapq.heappush(self._queue, (self.now_ms + after_ms, next(self._order), event))

    def _caller(self, after_ms: int) -> None:
        utterance = UtteranceId(f"u{next(self._order)}")
        begun = self.now_ms + after_ms
        self._at(after_ms, ev.CallerStartedSpeaking(utterance, begun))
        self._at(after_ms + 900, ev.CallerPaused(utterance, begun + 900))

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.SwapPhase(epoch=epoch):
                self._at(0, ev.PhaseSwapped(epoch))
            case fx.Transcribe(utterance=utterance):
                self.sounds.append(self.now_ms)
                self._at(self._transcript_ms, ev.TranscriptFinal(utterance, next(self._words)))
            case fx.AskModel(reply=reply):
                self._replies.append(effect)
                events: list[ev.Event] = (
                    [ev.ToolRequested(reply, "q", "work", {}), ev.ReplyFinished(reply)]
                    if len(self._replies) == 1
                    else [ev.ReplyText(reply, "Done."), ev.ReplyFinished(reply)]
                )
                self._at(self._model_ms, *events)
            case fx.StartTool(call=call):
                self._at(self._tool_ms, ev.ToolFinished(call, {}))
            case fx.Speak(utterance=utterance, clause=clause, text=text, kind=kind, last=last):
                if text:
                    self.sounds.append(self.now_ms)
                self._answered = self._answered or text == "Done."
                self._at(0, ev.SpeechQueued(utterance, clause, 0), ev.PlayoutStarted(utterance, self.now_ms))
                self._at(0, ev.PlayoutReached(utterance, clause, 0, last))
                if kind == "read_back":
                    self._caller(500)
            case _:
                pass


def bound_ms(flow: Flow) -> int:
    longest = longest_wait(flow, flow.phase("desk"))
    assert longest is not None
    return longest.silence_ms


ONE = Filler(phrases=("One moment.",), later=())
ONE_AND_ONE = Filler(phrases=("One moment.",), later=("Still looking.",))


@pytest.mark.parametrize(
    ("flow", "model_ms", "tool_ms", "usual_ms", "longest_ms"),
    [
        # The first filler is put off by a phrase's length, since the answer was about to come…
        (desk(max_silence_ms=9_000), 1, 99_999, 1_500, 6_000),
        # …but never beyond the bound.
        (desk(), 1, 99_999, 1_500, 4_800),
        # The first filler comes at once; the second takes its time.
        (desk(filler=Filler(patience_ms=100, again_ms=9_000)), 499, 11_999, None, 9_000),
        # The tool has a filler of its own, which is more patient.
        (desk(own=Filler(patience_ms=4_000), timeout_ms=8_000, max_silence_ms=12_000), 1, 7_999, 4_500, 9_200),
        # The only phrase has been said before the read-back, so that it is passed over after the yes.
        (desk("irreversible", timeout_ms=20_000, filler=ONE), 4_999, 19_999, None, 24_000),
        # Both phrases have been said: nothing is left until the apology.
        (desk("irreversible", timeout_ms=15_000, filler=ONE_AND_ONE), 14_999, 14_999, None, 19_200),
    ],
)
def test_the_longest_silence_is_what_a_call_may_come_to(
    flow: Flow, model_ms: int, tool_ms: int, usual_ms: int | None, longest_ms: int
) -> None:
    slow = Slow(flow, transcript_ms=3_999, model_ms=model_ms, tool_ms=tool_ms, usual_ms=usual_ms)
    assert bound_ms(flow) == longest_ms
    assert slow.longest_ms() <= longest_ms
    assert slow.longest_ms() == pytest.approx(longest_ms, rel=0.3)


_fillers = st.builds(
    Filler,
    phrases=st.sampled_from([("One moment.",), ("One moment.", "Let me check."), ("A.", "B.", "C.")]),
    later=st.sampled_from([(), ("Still looking.",), ("Still looking.", "Nearly there.")]),
    patience_ms=st.sampled_from([100, 800, 3_000]),
    again_ms=st.sampled_from([1_000, 4_000, 9_000]),
    give_up_ms=st.sampled_from([4_000, 12_000, 20_000]),
)


@settings(deadline=None)
@given(
    effect=st.sampled_from(["read", "write", "irreversible"]),
    filler=_fillers,
    own=st.none() | _fillers,
    most=st.tuples(st.sampled_from([500, 4_000]), st.sampled_from([500, 6_000, 15_000]), st.sampled_from([500, 7_000])),
    used=st.tuples(*[st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])] * 4),
)
def test_no_call_is_silent_for_longer_than_is_proved(
    effect: str, filler: Filler, own: Filler | None, most: Sequence[int], used: Sequence[float]
) -> None:
    flow = desk(
        effect,
        filler=filler,
        own=own,
        recognizer_timeout_ms=most[0],
        model_timeout_ms=most[1],
        timeout_ms=most[2],
    )
    slow = Slow(
        flow,
        transcript_ms=int((most[0] - 1) * used[0]),
        model_ms=int((most[1] - 1) * used[1]),
        tool_ms=int((most[2] - 1) * used[2]),
        usual_ms=int(most[2] * used[3]),
    )
    assert slow.longest_ms() <= bound_ms(flow)


def test_every_wait_says_what_is_waited_for_and_what_ends_it() -> None:
    flow = desk(own=Filler(phrases=("Let me work.", "Working.")))
    assert [str(wait) for wait in waits_in(flow, flow.phase("desk"))] == [
        "4.0 s, waiting for the caller's words: until the agent asks again",
        "4.8 s, waiting for a reply: until the filler 'One moment.'",
        "4.0 s, waiting for a reply: from one filler until the next filler 'Still looking, thank you for waiting.'",
        "4.8 s, waiting for 'work': until the filler 'Let me work.'",
        "4.0 s, waiting for 'work': from one filler until the next filler 'Still looking, thank you for waiting.'",
    ]
    assert waits_in(flow, flow.phase("bye")) == ()


def test_the_tool_that_is_too_slow_is_named_with_its_line() -> None:
    flow = desk("write", own=ONE)
    (finding,) = verify(flow)
    work: Tool = flow.phases[0].tools[0]
    assert (finding.code, finding.source) == ("silence-too-long", work.source)
    assert "25.0 s, waiting for 'work': from 'I am sorry" in finding.message
    assert verify(desk("write", own=ONE, max_silence_ms=25_000)) == []
    assert verify(desk("write")) == []


def test_what_is_assumed_of_the_conversation_is_true_of_it() -> None:
    assert silence._PHRASE_MS == fillers._USUAL_PHRASE_MS
