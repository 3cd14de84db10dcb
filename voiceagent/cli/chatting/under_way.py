"""What is under way: all that a call has asked of its world, and that has not been answered yet."""

from __future__ import annotations

from voiceagent.core import effects as fx
from voiceagent.core import events as ev

__all__ = ["UnderWay"]

_Key = tuple[str, object]


class UnderWay:
    """Follows the events and effects of one call."""

    def __init__(self) -> None:
        self._open: dict[_Key, None] = {("leg", None): None}
        self._fetches: dict[object, None] = {}

    @property
    def anything(self) -> bool:
        """Whether an answer has to come that somebody waits for; fetches ahead of their use left out."""
        return bool(self._open)

    @property
    def fetches(self) -> bool:
        """Whether something is being fetched ahead."""
        return bool(self._fetches)

    def happened(self, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        """Take an event and the effects it has caused."""
        answered = _answered_by(event)
        if answered is not None:
            self._open.pop(answered, None)
        if isinstance(event, ev.PrefetchFinished | ev.PrefetchFailed):
            self._fetches.pop(event.fetch, None)
        for out in outgoing:
            self._asked(out.effect)

    def _asked(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Fetch(fetch):
                self._fetches[fetch] = None
            case fx.CancelReply(reply):
                self._open.pop(("reply", reply), None)
            case fx.CancelTool(call):
                self._open.pop(("tool", call), None)
            case _:
                asked = _asked_by(effect)
                if asked is not None:
                    self._open[asked] = None


def _asked_by(effect: fx.Effect) -> _Key | None:
    match effect:
        case fx.AskModel(reply):
            return ("reply", reply)
        case fx.StartTool(call) | fx.Reconcile(call):
            return ("tool", call)
        case fx.SwapPhase():
            return ("swap", effect.epoch)
        case fx.Speak(utterance):
            return ("speech", utterance)
        case fx.Transcribe(utterance):
            return ("words", utterance)
        case fx.HangUp() | fx.Transfer():
            return ("end", None)
        case _:
            return None


def _answered_by(event: ev.Event) -> _Key | None:
    match event:
        case ev.LegAttached():
            return ("leg", None)
        case ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
            return ("reply", reply)
        case ev.ToolFinished(call) | ev.ToolFailed(call):
            return ("tool", call)
        case ev.PhaseSwapped(epoch) | ev.SwapFailed(epoch):
            return ("swap", epoch)
        case ev.PlayoutReached(utterance, finished=True) | ev.PlayoutStopped(utterance):
            return ("speech", utterance)
        case ev.TranscriptFinal(utterance) | ev.TranscriptFailed(utterance):
            return ("words", utterance)
        case ev.TransferFailed():
            return ("end", None)
        case _:
            return None
