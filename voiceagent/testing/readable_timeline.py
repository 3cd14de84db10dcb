"""A call as somebody would tell it: who said what and when, which tools ran, where it went from there."""

from __future__ import annotations

import json
from collections.abc import Iterator

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing.observed_call import ObservedCall

__all__ = ["timeline_of"]

_WIDTH = 100


def timeline_of(call: ObservedCall, *, from_ms: int = 0) -> list[str]:
    """Return one line for everything worth telling from that instant on, in the order in which it happened."""
    told = [(at_ms, line) for at_ms, line in [*_spoken(call), *_done(call)] if at_ms >= from_ms]
    return [f"{at_ms / 1000:9.3f}  {_cut(line)}" for at_ms, line in sorted(told, key=lambda entry: entry[0])]


def _spoken(call: ObservedCall) -> Iterator[tuple[int, str]]:
    for clause in call.voice.said:
        heard = " ".join(word for word, _ in clause.words())
        who = {"filler": "filler", "backchannel": "listens"}.get(clause.kind, "agent")
        cut = "" if heard == clause.text else " — cut off"
        if clause.starts_ms <= call.now_ms:
            yield clause.starts_ms, f"{who:8} {heard}{cut}"


def _done(call: ObservedCall) -> Iterator[tuple[int, str]]:
    for now_ms, event, outgoing in call.journal:
        line = _event(event)
        if line is not None:
            yield now_ms, line
        for out in outgoing:
            line = _effect(out.effect)
            if line is not None:
                yield now_ms, line


def _event(event: ev.Event) -> str | None:  # noqa: C901 - a table: a row per event worth telling
    match event:
        case ev.CallerStartedSpeaking(utterance):
            return f"caller   starts to speak ({utterance})"
        case ev.TranscriptFinal(utterance, text):
            return f"caller   {text or '(no words)'} ({utterance})"
        case ev.TranscriptFailed(utterance, reason):
            return f"ear      fails: {reason} ({utterance})"
        case ev.TurnJudged(utterance, done):
            return f"ear      takes them to have finished with {done:.0%} ({utterance})"
        case ev.VoiceFoundFaint(utterance, below_db):
            return f"ear      finds the voice {below_db} dB fainter than a usual one ({utterance})"
        case ev.DigitsPressed(digits):
            return f"caller   presses {digits}"
        case ev.ToolRequested(name=name):
            return f"model    asks for {name}"
        case ev.ReplyFailed(reason=reason):
            return f"model    fails: {reason}"
        case ev.ToolFinished(call, result):
            return f"tool     {call} answers {json.dumps(result, ensure_ascii=False)}"
        case ev.ToolFailed(call, kind, reason):
            return f"tool     {call} {kind}: {reason}"
        case ev.PrefetchFinished(fetch):
            return f"fetch    {fetch} is there"
        case ev.PrefetchFailed(fetch, reason):
            return f"fetch    {fetch} failed: {reason}"
        case ev.ToneHeard(hz, lasted_ms):
            return f"line     a tone of {hz} Hz for {lasted_ms} ms"
        case ev.CarrierDetected(answered_by):
            return f"line     answered by {answered_by}"
        case ev.PlayoutStopped():
            return "agent    is silent"
        case ev.HostEvent(name):
            return f"host     {name}"
        case ev.AgentChanged(version):
            return f"host     the agent is changed to {version}"
        case ev.ServerStops():
            return "host     the server stops"
        case ev.LimitReached(limit):
            return f"host     {limit} is reached"
        case ev.LegLost(reason=reason):
            return f"line     {reason}"
        case ev.CallEnded(reason):
            return f"end      {reason}"
        case _:
            return None


def _effect(effect: fx.Effect) -> str | None:
    match effect:
        case fx.SwapPhase(phase=phase):
            return f"phase    {phase}"
        case fx.StartTool(call, tool, arguments):
            return f"tool     {call} is {tool} {json.dumps(dict(arguments), ensure_ascii=False)}"
        case fx.Reconcile(call, tool):
            return f"tool     {call} is looked up: what has become of {tool}"
        case fx.Fetch(fetch, tool, arguments):
            return f"fetch    {fetch} is {tool} {json.dumps(dict(arguments), ensure_ascii=False)}"
        case fx.ServeFromCache(call, fetch, how):
            return f"fetch    {fetch} serves {call} ({how})"
        case fx.CancelTool(call):
            return f"tool     {call} is called off"
        case fx.UseVersion(version):
            return f"phase    of {version} from here on"
        case fx.NoteDecision(what, reason, waited_ms):
            return f"floor    {what} after {waited_ms} ms: {reason}"
        case fx.ReportProblem(what, reason):
            return f"problem  {what}: {reason}"
        case fx.SendDigits(digits):
            return f"line     presses {digits}"
        case fx.Transfer(target):
            return f"line     transfer to {target}"
        case _:
            return None


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
