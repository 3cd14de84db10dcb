"""Expectations: whether a stretch of a scripted call went as its author expected, and if not, what came instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.errors import Source
from voiceagent.models.chat_messages import functions_for
from voiceagent.spec.flow import Flow
from voiceagent.testing.agent_voice import plain_words
from voiceagent.testing.call_script import Expect, ExpectedCall
from voiceagent.testing.observed_call import ObservedCall
from voiceagent.testing.tool_answers import same_value

__all__ = ["Mismatch", "Stretch", "mismatches"]

_CHARACTERS_PER_TOKEN = 4
_AT_ONCE_MS = 200
"""Two who begin to speak so shortly one after the other begin at once: a voice is not noticed at its first sound."""
_NOT_ASKED = "the model was not asked"
_EffectT = TypeVar("_EffectT")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An expectation that was not met."""

    what: str
    """Its key."""
    expected: str
    got: str
    source: Source | None


class Stretch:
    """A part of a call: one turn, or all of it."""

    def __init__(self, call: ObservedCall, *, from_ms: int, from_entry: int) -> None:
        """Look at everything from this instant and this entry of the journal up to now."""
        self.call = call
        self.from_ms = from_ms
        self.until_ms = call.now_ms
        self.entries = call.journal[from_entry:]
        self.voice_ends_ms = max(call.caller.ends_ms, from_ms)
        """Since when the caller waits."""

    def effects(self, kind: type[_EffectT]) -> Iterator[_EffectT]:
        """Yield every effect of one class."""
        return (out.effect for _, _, outgoing in self.entries for out in outgoing if isinstance(out.effect, kind))

    @cached_property
    def heard(self) -> str:
        """What the caller has heard in this stretch, fillers included."""
        return self.call.voice.heard(self.from_ms, self.until_ms)

    def calls(self) -> list[ExpectedCall]:
        """Return every tool that the model got, answered by the tool or by a prefetch."""
        fetches = {fetch.fetch: fetch for fetch in self.call.record.effects(fx.Fetch)}
        calls: list[ExpectedCall] = []
        for _, _, outgoing in self.entries:
            for out in outgoing:
                if isinstance(out.effect, fx.StartTool):
                    calls.append(ExpectedCall(out.effect.tool, out.effect.arguments))
                elif isinstance(out.effect, fx.ServeFromCache) and out.effect.fetch in fetches:
                    fetch = fetches[out.effect.fetch]
                    calls.append(ExpectedCall(fetch.tool, fetch.arguments))
        return calls

    def served(self, how: str) -> int:
        """Return how often the model was answered by a prefetch: `hit`, or `joined` while it was under way."""
        return sum(1 for served in self.effects(fx.ServeFromCache) if served.how == how)

    def answer_after_ms(self, *, filler: bool) -> int | None:
        """Return how soon after the caller's last word a filler, or anything else, begins; None: it does not.

        What was being said when they began to speak answers nothing, however much of it follows.
        """
        return next(
            (
                clause.starts_ms - self.voice_ends_ms
                for clause in self.call.voice.said
                if self.voice_ends_ms <= clause.starts_ms <= self.until_ms
                and not clause.clause
                and (clause.kind == "filler") == filler
                and clause.kind != "backchannel"
            ),
            None,
        )

    @property
    def fillers(self) -> list[str]:
        """The fillers that began, by their first clause."""
        return [
            clause.text
            for clause in self.call.voice.said
            if clause.kind == "filler" and not clause.clause and self.from_ms <= clause.starts_ms <= self.until_ms
        ]

    @property
    def longest_silence_ms(self) -> int | None:
        """The longest time in which the caller, done speaking, hears nothing before the agent's last word.

        None where there is no such word: whoever has spoken is left in silence for good. A caller who has not waits
        for nothing but the time they stay silent.
        """
        silent_ms, quiet_since_ms = 0, self.voice_ends_ms
        heard = [
            clause
            for clause in self.call.voice.said
            if clause.ends_ms > quiet_since_ms and clause.starts_ms <= self.until_ms
        ]
        if not heard and not self.call.ended:
            return None if self.call.caller.ends_ms >= self.from_ms else self.until_ms - self.from_ms
        for clause in heard:
            silent_ms = max(silent_ms, clause.starts_ms - quiet_since_ms)
            quiet_since_ms = max(quiet_since_ms, clause.ends_ms)
        return silent_ms

    @property
    def talked_over(self) -> list[str]:
        """What the agent began to say while the caller's voice was on, by the first clause as it was heard."""
        return [
            " ".join(word for word, _ in clause.words()) or "(a sound)"
            for clause in self.call.voice.said
            if not clause.before_ms
            and self.from_ms <= clause.starts_ms <= self.until_ms
            and any(
                begins_ms + _AT_ONCE_MS < clause.starts_ms < ends_ms for begins_ms, ends_ms in self.call.caller.spells
            )
        ]

    @property
    def tokens(self) -> int | None:
        """An estimate of what the model is shown for one reply, the largest of this stretch; None: it was not asked."""
        return max((_tokens(self.call.flow, ask.request) for ask in self.effects(fx.AskModel)), default=None)

    @property
    def offered(self) -> tuple[str, ...] | None:
        """What the model could ask for when it was last asked; None where it was not asked at all."""
        asked = list(self.effects(fx.AskModel))
        return asked[-1].request.tools if asked else None

    @property
    def history(self) -> list[str]:
        """The model's history as it is now."""
        messages = self.call.conversation.transcript.messages()
        return [f"{message.role.replace('_', ' ')}: {message.text}" for message in messages]


def mismatches(expect: Expect, stretch: Stretch) -> list[Mismatch]:
    """Return what did not come as expected."""
    found: list[Mismatch] = []

    def compare(what: str, expected: object, got: object, *, met: bool) -> None:
        if not met:
            found.append(Mismatch(what, str(expected), str(got), expect.lines.get(what, expect.source)))

    _compare_words(expect, stretch, compare)
    _compare_state(expect, stretch, compare)
    _compare_tools(expect, stretch, compare)
    _compare_times(expect, stretch, compare)
    _compare_shown(expect, stretch, compare)
    return found


_Compare = Callable[..., None]


def _compare_words(expect: Expect, stretch: Stretch, compare: _Compare) -> None:
    heard = repr(stretch.heard) if stretch.heard else "silence"
    for phrase in expect.hears:
        compare("hears", repr(phrase), heard, met=_contains(stretch.heard, phrase))
    for phrase in expect.hears_not:
        compare("hears_not", f"nothing like {phrase!r}", heard, met=not _contains(stretch.heard, phrase))
    for pattern in expect.hears_matching:
        met = re.search(pattern, stretch.heard, re.IGNORECASE) is not None
        compare("hears_matching", pattern, heard, met=met)


def _compare_state(expect: Expect, stretch: Stretch, compare: _Compare) -> None:
    call = stretch.call
    if expect.phase is not None:
        compare("phase", expect.phase, call.phase, met=call.phase == expect.phase)
    if expect.phases is not None:
        entered = tuple(swap.phase for swap in stretch.effects(fx.SwapPhase))
        compare("phases", ", ".join(expect.phases), ", ".join(entered) or "none", met=entered == expect.phases)
    for fact, value in expect.facts.items():
        known = call.facts.get(fact)
        compare("facts", f"{fact}: {_json(value)}", f"{fact}: {_json(known)}", met=same_value(value, known))
    if expect.ended is not None:
        got = _ending(call) if call.ended else f"the call goes on, in phase {call.phase}"
        wanted = "the call is over" if expect.ended else "the call goes on"
        compare("ended", wanted, got, met=call.ended == expect.ended)
    if expect.presses is not None:
        keys = "".join(pressed.digits for pressed in stretch.effects(fx.SendDigits))
        compare("presses", expect.presses, keys or "no keys", met=keys == expect.presses)
    if expect.transferred_to is not None:
        targets = [transfer.target for transfer in stretch.effects(fx.Transfer)]
        got = ", ".join(targets) or "no transfer"
        compare("transferred_to", expect.transferred_to, got, met=targets[-1:] == [expect.transferred_to])


def _compare_tools(expect: Expect, stretch: Stretch, compare: _Compare) -> None:
    calls = stretch.calls() if expect.calls or expect.calls_not else []
    got = "; ".join(map(str, calls)) or "no calls"
    left = list(calls)
    for wanted in expect.calls:
        fitting = next((call for call in left if _fits(wanted, call)), None)
        compare("calls", wanted, got, met=fitting is not None)
        if fitting is not None:
            left.remove(fitting)
    for tool in expect.calls_not:
        compare("calls_not", f"no {tool}", got, met=all(call.tool != tool for call in calls))
    if expect.prefetch_hits is not None:
        hits = stretch.served("hit")
        compare("prefetch_hits", expect.prefetch_hits, hits, met=hits in expect.prefetch_hits)
    if expect.prefetch_joins is not None:
        joins = stretch.served("joined")
        compare("prefetch_joins", expect.prefetch_joins, joins, met=joins in expect.prefetch_joins)


def _compare_times(expect: Expect, stretch: Stretch, compare: _Compare) -> None:
    if expect.fillers is not None:
        fillers = stretch.fillers
        got = f"{len(fillers)}: {'; '.join(fillers)}" if fillers else "0"
        compare("fillers", expect.fillers, got, met=len(fillers) in expect.fillers)
    if expect.filler_after_ms is not None:
        onset_ms = stretch.answer_after_ms(filler=True)
        met = onset_ms is not None and onset_ms in expect.filler_after_ms
        got = "no filler" if onset_ms is None else f"{onset_ms} ms"
        compare("filler_after_ms", f"{expect.filler_after_ms} ms", got, met=met)
    if expect.within_ms is not None:
        waited_ms = stretch.answer_after_ms(filler=False)
        got = "no answer" if waited_ms is None else f"{waited_ms} ms"
        met = waited_ms is not None and waited_ms <= expect.within_ms
        compare("within_ms", f"an answer within {expect.within_ms} ms", got, met=met)
    if expect.longest_silence_ms is not None:
        silent_ms = stretch.longest_silence_ms
        met = silent_ms is not None and silent_ms <= expect.longest_silence_ms
        got = "nothing is heard" if silent_ms is None else f"{silent_ms} ms"
        compare("longest_silence_ms", f"at most {expect.longest_silence_ms} ms", got, met=met)
    if expect.interrupts_caller is not None:
        over = stretch.talked_over
        got = f"begins over the caller's voice: {'; '.join(over)}" if over else "no"
        met = bool(over) == expect.interrupts_caller
        compare("interrupts_caller", "yes" if expect.interrupts_caller else "no", got, met=met)


def _compare_shown(expect: Expect, stretch: Stretch, compare: _Compare) -> None:
    if expect.tokens_at_most is not None:
        tokens = stretch.tokens
        got = _NOT_ASKED if tokens is None else str(tokens)
        met = tokens is not None and tokens <= expect.tokens_at_most
        compare("tokens_at_most", f"at most {expect.tokens_at_most}", got, met=met)
    history = stretch.history if expect.history or expect.history_not else []
    shown = "\n" + "\n".join(history)
    for words in expect.history:
        compare("history", repr(words), shown, met=any(_contains(entry, words) for entry in history))
    for words in expect.history_not:
        met = not any(_contains(entry, words) for entry in history)
        compare("history_not", f"nothing like {words!r}", shown, met=met)
    offered = stretch.offered
    got = _NOT_ASKED if offered is None else ", ".join(offered) or "nothing"
    for name in expect.offered:
        compare("offered", name, got, met=offered is not None and name in offered)
    for name in expect.offered_not:
        compare("offered_not", f"no {name}", got, met=offered is not None and name not in offered)


def _fits(wanted: ExpectedCall, call: ExpectedCall) -> bool:
    return call.tool == wanted.tool and same_value(wanted.arguments, call.arguments)


def _contains(text: str, phrase: str) -> bool:
    """Whether these words stand in the text in a row, capitals and punctuation aside."""
    words, wanted = plain_words(text), plain_words(phrase)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def _ending(call: ObservedCall) -> str:
    reasons = [event.reason for _, event, _ in call.journal if isinstance(event, ev.CallEnded)]
    return f"the call is over: {reasons[-1]}" if reasons else "the call is over"


def _tokens(flow: Flow, request: fx.ModelRequest) -> int:
    functions = json.dumps(functions_for(flow, request), ensure_ascii=False) if request.tools else ""
    history: Iterable[str] = (message.text for message in request.history)
    characters = sum(map(len, (request.prompt, request.late_facts, functions, *history)))
    return -(-characters // _CHARACTERS_PER_TOKEN)


def _json(value: JsonValue | Sequence[JsonValue] | Mapping[str, JsonValue]) -> str:
    return json.dumps(value, ensure_ascii=False)
