"""The desks of one call: who keeps what. Those that decide are given all of them."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.core.closing import Closing
from voiceagent.core.doing import Doing
from voiceagent.core.hearing import Hearing
from voiceagent.core.hints import Hints
from voiceagent.core.phasing import Phasing
from voiceagent.core.saying import Saying
from voiceagent.core.silence import SilenceLadder
from voiceagent.core.state import CallState, Outbox
from voiceagent.core.transcript import Transcript

__all__ = ["Desks"]


@dataclass(frozen=True, slots=True)
class Desks:
    """Everything that a call consists of. A desk changes its own things only; what spans several is decided above."""

    state: CallState
    out: Outbox
    transcript: Transcript
    saying: Saying
    doing: Doing
    hearing: Hearing
    phasing: Phasing
    closing: Closing
    silence: SilenceLadder

    @classmethod
    def of(cls, state: CallState) -> Desks:
        """Set up the desks of a call that has not begun."""
        out = Outbox(state)
        transcript = Transcript()
        saying = Saying(state, out, transcript)
        doing = Doing(state, out, transcript)
        hearing = Hearing(state, out, Hints(state, doing.prefetch), reads_back=lambda: doing.confirmation is not None)
        return cls(
            state=state,
            out=out,
            transcript=transcript,
            saying=saying,
            doing=doing,
            hearing=hearing,
            phasing=Phasing(state, out, transcript, saying=saying, doing=doing, hearing=hearing),
            closing=Closing(state, out, saying=saying, doing=doing, hearing=hearing),
            silence=SilenceLadder(),
        )
