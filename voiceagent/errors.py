"""What can go wrong, by who must act.

VoiceAgentError
├── AuthorError            whoever wrote the flow, a prompt or a script: found before a call
│   ├── PhaseError         a flow that cannot be loaded or does not hold together
│   └── ScriptError        a scripted conversation that cannot be read
├── OperatorError          whoever runs the server: settings, ports, missing extras
│   ├── MissingExtra       an optional library is not installed; names the extra
│   └── WeightsError       a model file is missing or is not the one that was measured
├── ToolFailed             a tool said no; the model reads the reason
│   └── OutcomeUnknown     a tool that writes cannot say whether it was done
├── VoiceFailed            an engine or a model failed; the call looks for another way to speak
├── CallLost               the connection to the caller is gone; the call ends or waits for another leg
├── JournalError           a journal that cannot be read, or that another version of the flow wrote
│   └── LeaseLost          another worker owns the call: what this one still writes of it is refused
└── StateUnavailable       what workers share does not answer; whoever asked is refused
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "AuthorError",
    "CallLost",
    "JournalError",
    "LeaseLost",
    "MissingExtra",
    "OperatorError",
    "OutcomeUnknown",
    "PhaseError",
    "ScriptError",
    "Source",
    "StateUnavailable",
    "ToolFailed",
    "VoiceAgentError",
    "VoiceFailed",
    "WeightsError",
    "nearest",
]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an author wrote something: a file and a line, 1-based; line 0 is the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class VoiceAgentError(Exception):
    """Root of everything this package raises on purpose."""


class AuthorError(VoiceAgentError):
    """A mistake in what an author wrote, with the place where it stands and the code of the rule that it breaks."""

    def __init__(self, message: str, *, source: Source | None = None, code: str = "unloadable") -> None:
        super().__init__(f"{source}: {message}" if source else message)
        self.message = message
        self.source = source
        self.code = code


class PhaseError(AuthorError):
    """A flow, phase, tool, prompt or guard that cannot be used as written."""


class ScriptError(AuthorError):
    """A scripted conversation that cannot be used as written."""


class OperatorError(VoiceAgentError):
    """A setting, a port or an installation that the person who runs the server must mend."""


class MissingExtra(OperatorError):
    """An optional library is needed; the message names the extra that brings it."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: pip install 'voiceagent[{extra}]'")
        self.extra = extra


class WeightsError(OperatorError):
    """A model file that is missing or whose sha256 is not the measured one."""


class ToolFailed(VoiceAgentError):
    """Raised by a tool to tell the model, in words it may repeat, why nothing came of it."""


class OutcomeUnknown(ToolFailed):
    """Raised by a tool that writes where nobody knows whether it was done: a lost answer, a server error."""

    def __init__(self) -> None:
        super().__init__("it is not known whether it was done")


class VoiceFailed(VoiceAgentError):
    """A recognizer, synthesizer or model failed in a way that its adapter could not mend."""

    permanent: bool = False
    """Trying again will not help until somebody mends a key, a name or a bill."""


class CallLost(VoiceAgentError):
    """The far side of a leg is gone."""


class JournalError(VoiceAgentError):
    """A journal that cannot be read or does not belong to this flow."""


class LeaseLost(JournalError):
    """The call belongs to another worker, or is over: this one may record nothing more of it."""


class StateUnavailable(VoiceAgentError):
    """What the workers share does not answer, or has no room: nobody knows what may be done."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest known name, or an empty string."""
    import difflib  # here and not above: nobody who makes no mistake waits for it

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
