"""A simulated caller: a model plays somebody who calls with a goal, and hears what a caller would hear."""

from __future__ import annotations

from dataclasses import dataclass, field

from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.errors import ScriptError
from voiceagent.ports import ReplyModel, SentText, ToolRequest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Transition
from voiceagent.testing.scripted_model import ModelOfScript, pieces_of

__all__ = ["CALLER_FLOW", "Persona", "PersonaCaller", "PersonaTurn"]

_HANG_UP = "hang_up"
_EPOCH = Epoch(1)

CALLER_FLOW = Flow(
    name="simulated caller",
    initial="caller",
    phases=(
        Phase(
            name="caller",
            transitions=(
                Transition(
                    on=Requested(
                        name=_HANG_UP,
                        description="Put the telephone down: you have what you called for, or have given it up.",
                    ),
                    to="hung_up",
                ),
            ),
        ),
        Phase(name="hung_up", ends=HangUpAfter()),
    ),
)
"""What a model that plays a caller may do: speak, and hang up."""

_PROMPT = """\
You are calling somebody on the telephone. You are not an assistant: you are the caller, and you never say otherwise.

Who you are: {who}
What you want: {goal}

Say what this person would say next: one or two short spoken sentences, no more than was asked for, no stage directions,
no quotation marks. Make up nothing that is not written above; what you do not know, you do not know.
When you have what you want, or see that you will not get it, say goodbye and call hang_up."""


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody who calls."""

    who: str
    """Name, manner, and all that they know: numbers, dates."""
    goal: str
    """What they call for."""
    intent: str
    """What the agent is to do about it: by this the call is judged."""
    at_most_turns: int = 20
    """How often they speak before they hang up in any case."""


@dataclass(frozen=True, slots=True)
class PersonaTurn:
    """What the caller does next: say something, hang up, or one and then the other."""

    words: str
    hangs_up: bool


@dataclass(slots=True)
class PersonaCaller:
    """One persona in one call."""

    persona: Persona
    model: ModelOfScript | ReplyModel
    """Opened for `CALLER_FLOW`."""
    unix_ms: int
    """Wall clock of the call."""
    _history: list[Message] = field(default_factory=list[Message], init=False)

    def answer(self, heard: str) -> PersonaTurn:
        """Return what the caller does, having heard this of the agent; nothing heard is silence.

        Raises VoiceFailed where the model fails, ScriptError where it neither speaks nor hangs up.
        """
        self._add("caller", heard or "[Silence.]")
        words, hangs_up = "", False
        for piece in pieces_of(self.model, self._request()):
            match piece:
                case SentText(text):
                    words += text
                case ToolRequest(name=name):
                    hangs_up = hangs_up or name == _HANG_UP
                case _:
                    pass
        words = " ".join(words.split())
        if not words and not hangs_up:
            raise ScriptError("the simulated caller neither said anything nor hung up")
        self._add("agent", words)
        return PersonaTurn(words, hangs_up)

    def _add(self, role: str, text: str) -> None:
        """Remember what was said: to the model that plays the caller, the agent is who calls upon it."""
        self._history.append(Message(len(self._history) + 1, "caller" if role == "caller" else "agent", text, _EPOCH))

    def _request(self) -> ModelRequest:
        return ModelRequest(
            phase="caller",
            epoch=_EPOCH,
            prompt=_PROMPT.format(who=self.persona.who, goal=self.persona.goal),
            late_facts="",
            tools=(_HANG_UP,),
            history=tuple(self._history),
            facts={},
            unix_ms=self.unix_ms,
        )
