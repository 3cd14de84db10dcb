"""A live model session of one call: what it was given to begin with, what it was told, and what it has asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from voiceagent.audio import ALAW_SILENCE, MULAW_SILENCE
from voiceagent.core.effects import Message, ModelRequest, PrimePhase
from voiceagent.core.ids import Epoch, ReplyId
from voiceagent.ports import (
    AudioFormat,
    OfferedTool,
    SessionSetup,
    SpeechCapabilities,
    SpeechModelEngine,
    SpeechModelEvent,
    SpeechSession,
)
from voiceagent.runtime.conversion import Converter
from voiceagent.spec.flow import Flow
from voiceagent.spec.manner import Manner
from voiceagent.spec.phase import Requested
from voiceagent.spec.tool import Tool
from voiceagent.zones import date_at

__all__ = ["SILENCE", "LiveSession", "Setups"]

SILENCE = {"mulaw": bytes([MULAW_SILENCE]), "alaw": bytes([ALAW_SILENCE]), "pcm16": b"\0"}
"""A byte of it, by encoding."""
_NO_PARAMETERS: Mapping[str, JsonValue] = {"type": "object", "properties": {}, "additionalProperties": False}


class Setups:
    """Says for one call what a model session is given: a phase's prompt and tools, in formats that both sides speak."""

    def __init__(
        self,
        flow: Flow,
        capabilities: SpeechCapabilities,
        *,
        audio_in: AudioFormat,
        audio_out: AudioFormat,
        time_zone: str,
    ) -> None:
        """The formats are the leg's; `time_zone` is where the caller's days begin."""
        self._flow = flow
        self._audio_in = audio_in if audio_in in capabilities.audio_in else capabilities.audio_in[0]
        self._audio_out = audio_out if audio_out in capabilities.audio_out else capabilities.audio_out[0]
        self._time_zone = time_zone

    def of(self, request: ModelRequest, manner: Manner) -> SessionSetup:
        """Return what is to be in force for this request."""
        setup = self._setup(request.phase, request.epoch, request.prompt, self.late(request), request.tools, manner)
        return replace(setup, known=request.known)

    def ahead_of(self, prime: PrimePhase) -> SessionSetup:
        """Return what a session can be given before anybody knows more: no late facts, and an epoch that is none."""
        return self._setup(prime.phase, Epoch(0), prime.prompt, "", prime.tools, prime.manner)

    def late(self, request: ModelRequest) -> str:
        """Return what day it is, which was not known when the prompt was written."""
        today = date_at(request.unix_ms, self._time_zone)
        return f"Today is {today:%A}, {today.isoformat()}."

    def _setup(
        self, phase: str, epoch: Epoch, prompt: str, late_facts: str, tools: Sequence[str], manner: Manner
    ) -> SessionSetup:
        declared = self._flow.by_name[phase]
        offered: dict[str, Tool | Requested] = {
            **self._flow.requests_of(declared),
            **{tool.name: tool for tool in self._flow.tools_of(declared)},
        }
        return SessionSetup(
            epoch=epoch,
            prompt=prompt,
            late_facts=late_facts,
            tools=tuple(_offered(offered[name]) for name in tools),
            voice=manner.voice,
            language=manner.language,
            speaking_rate=manner.speaking_rate,
            audio_in=self._audio_in,
            audio_out=self._audio_out,
        )


def _offered(tool: Tool | Requested) -> OfferedTool:
    return OfferedTool(tool.name, tool.description, tool.parameters if isinstance(tool, Tool) else _NO_PARAMETERS)


class LiveSession:
    """A connected session, and what this call has done with it."""

    def __init__(self, phase: str, setup: SessionSetup, audio_in: AudioFormat) -> None:
        self.phase = phase
        self.session: SpeechSession
        self.setup = setup
        """What is in force."""
        self.asked: ReplyId | None = None
        """The reply that was asked for last and has not begun: nobody wants one that was asked for before it."""
        self.since_ms = 0
        """When it was connected."""
        self.over = False
        """The provider has ended it."""
        self.requests: dict[str, None] = {}
        """Ids of what the model has asked for in it."""
        self.told = 0
        """Number of the last message that it knows."""
        self._known = ""
        """What it has been told of what tools have found out."""
        self._gaps: dict[int, None] = {}
        """Numbers of messages of the caller whose words were not known when it began."""
        self._to_model = Converter(audio_in, setup.audio_in)

    @classmethod
    async def connect(
        cls,
        engine: SpeechModelEngine,
        phase: str,
        setup: SessionSetup,
        *,
        audio_in: AudioFormat,
        heard: Callable[[LiveSession, SpeechModelEvent], None],
    ) -> LiveSession:
        """Return a session in which the setup is in force; `heard` is told what happens in it. Raises VoiceFailed."""
        live = cls(phase, setup, audio_in)
        live.session = await engine.connect(setup, lambda event: heard(live, event))
        return live

    def hear(self, audio: bytes) -> None:
        """Let it hear the caller, in the leg's format."""
        self.session.hear(self._to_model.feed(audio))

    def tell(self, messages: Sequence[Message]) -> None:
        """Let it know what has happened since it was last told, but for what it has heard, said or asked for itself."""
        self._send([*self._unknown(), *(message for message in messages if self._is_news(message))])
        self.told = max((message.number for message in messages), default=self.told)

    def tell_all(self, late_facts: str, messages: Sequence[Message]) -> None:
        """Let it know what another session knew; `late_facts` where it was opened before they were known."""
        self.told = max((message.number for message in messages), default=self.told)
        late = [Message(0, "note", late_facts, self.setup.epoch)] if late_facts else []
        self._gaps = {message.number: None for message in messages if _is_gap(message)}
        self._send([*late, *self._unknown(), *(message for message in messages if not _is_gap(message))])

    def tell_late(self, late_facts: str) -> None:
        """Let it know what was not known when it was opened, as it is by now."""
        self._send([Message(0, "note", late_facts, self.setup.epoch)])

    def _unknown(self) -> list[Message]:
        """Return what tools have found out, if that is not what it has been told of them."""
        if self.setup.known == self._known:
            return []
        self._known = self.setup.known
        return [Message(0, "note", self._known, self.setup.epoch)] if self._known else []

    def _is_news(self, message: Message) -> bool:
        if message.number in self._gaps and message.text:
            del self._gaps[message.number]
            return True
        own = message.in_audio or (message.role == "tool_request" and message.request in self.requests)
        return message.number > self.told and not own

    def _send(self, messages: list[Message]) -> None:
        if messages:
            self.session.tell(messages)


def _is_gap(message: Message) -> bool:
    """Whether it stands for words of the caller that are not known yet."""
    return message.role == "caller" and not message.text
