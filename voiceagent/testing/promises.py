"""Promises: what holds in every call, whatever its script expects of it.

A script looks at what its author thought of. These are looked at in all of them, under every schedule, on both levels:
so a defect that no author thought of is found in whatever conversation happens to meet it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import ToolCallId
from voiceagent.testing.agent_voice import SpokenClause, plain_words
from voiceagent.testing.expectations import Mismatch
from voiceagent.testing.observed_call import ObservedCall

__all__ = ["broken_promises", "history_as_heard"]

_AT_ONCE_MS = 200
"""A voice is not noticed at its first sound."""
_NEARLY_HEARD_MS = 600
"""Whoever answers over the last syllable knows the question; the core's own measure, and what a schedule is late."""


_ESTIMATED_MS = 650
"""A long word: what an estimate may be off by."""


def history_as_heard(call: ObservedCall, *, from_entry: int, within_ms: int = 0) -> list[Mismatch]:
    """Return where the model's history has other words of the agent than the caller has heard, to the word.

    It is looked at where something was cut off since that entry of the journal, and once the agent has finished. A word
    that ends within so many ms of the cut may be in it or not: a carrier tells no more exactly what was heard, and of
    a speech model nobody tells when its words end.
    """
    if call.conversation.state.voice_speaks:
        within_ms += _ESTIMATED_MS
    cut = any(isinstance(event, ev.PlayoutStopped) for _, event, _ in call.journal[from_entry:])
    if not cut or call.ended or call.conversation.is_working:
        return []
    messages = call.conversation.transcript.messages()
    kept = plain_words(" ".join(message.text for message in messages if message.role == "agent"))
    # How far it has been followed: where a word may be in it or not there are several ways to go on.
    places: set[int] = {0}
    for clause in call.voice.said:
        if clause.kind == "backchannel":
            continue
        if clause.kind == "filler" and not call.conversation.state.voice_speaks:  # a speech model is told of them
            continue
        left_off: set[int] = set()
        for spoken, ends_ms in clause.all_words():
            words = plain_words(spoken)
            if ends_ms > clause.ends_ms + within_ms or not places:
                break
            there: set[int] = {at + len(words) for at in places if kept[at : at + len(words)] == words}
            if ends_ms > clause.ends_ms - within_ms:
                left_off |= places
            elif not there:
                return [_not_as_heard(f"{spoken!r}, heard at {ends_ms} ms", kept, max(places))]
            places = there
        places |= left_off
    return [] if len(kept) in places else [_not_as_heard("nothing more", kept, max(places))]


def _not_as_heard(expected: str, kept: Sequence[str], at: int) -> Mismatch:
    before, after = " ".join(kept[max(0, at - 3) : at]), " ".join(kept[at : at + 3])
    return Mismatch("the history", f"what was heard: after {before!r} {expected}", repr(after), None)


def broken_promises(call: ObservedCall) -> list[Mismatch]:
    """Return what did not hold in a call that is over, or has nothing under way."""
    return [*_fillers(call), *_irreversible(call)]


def _fillers(call: ObservedCall) -> Iterator[Mismatch]:
    """Never the same twice in a row, and never over the caller."""
    last = ""
    for clause in call.voice.said:
        if clause.kind != "filler":
            continue
        if not clause.clause:
            if clause.text == last:
                yield Mismatch("fillers", "never the same twice in a row", f"{clause.text!r} again", None)
            last = clause.text
        if any(begins + _AT_ONCE_MS < clause.starts_ms < ends for begins, ends in call.caller.spells):
            yield Mismatch("fillers", "none over the caller's voice", repr(clause.text), None)


def _irreversible(call: ObservedCall) -> Iterator[Mismatch]:
    """What cannot be undone is done after a word to its read-back, which was heard, and under a key of its own.

    What nobody knows whether it was done is, asked for again, the same: it keeps its key.
    """
    tools = {tool.name: tool for phase in call.flow.phases for tool in call.flow.tools_of(phase)}
    keys: dict[str, fx.StartTool] = {}
    in_doubt: dict[ToolCallId, None] = {}
    answered_ms: int | None = None
    for now_ms, event, outgoing in call.journal:
        if isinstance(event, ev.TranscriptFinal | ev.DigitsPressed):
            answered_ms = now_ms
        elif isinstance(event, ev.ToolFailed) and event.kind == "unknown":
            in_doubt[event.call] = None
        for out in outgoing:
            start = out.effect
            if not isinstance(start, fx.StartTool) or tools[start.tool].effect != "irreversible":
                continue
            asked = [clause for clause in call.voice.said if clause.kind == "read_back" and clause.starts_ms <= now_ms]
            if not asked or answered_ms is None or not _heard_by(asked[-1], answered_ms):
                yield Mismatch(start.tool, "a yes to its read-back, heard to the end", f"done at {now_ms} ms", None)
            key = start.idempotency_key
            before = keys.get(key) if key is not None else None
            again = before is not None and before.call in in_doubt and _same(before, start)
            if key is None or (before is not None and not again):
                yield Mismatch(start.tool, "an idempotency key of its own", str(key), None)
            else:
                keys[key] = start


def _same(one: fx.StartTool, other: fx.StartTool) -> bool:
    return (one.tool, one.arguments) == (other.tool, other.arguments)


def _heard_by(asked: SpokenClause, answered_ms: int) -> bool:
    """Whether nearly all of it had been heard, wherever it was cut off then."""
    *_, (_, over_ms) = asked.all_words()
    return answered_ms >= over_ms - _NEARLY_HEARD_MS
