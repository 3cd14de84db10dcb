"""The keyboard: a caller who types, and reads what they would have heard.

A typed line goes the way of a spoken one: it is the audio of an utterance, with the letters in place of samples, and
what hears the call finds them in it. What is said to the caller counts as heard the moment it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from voiceagent.audio import MULAW_SILENCE
from voiceagent.core import events as ev
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.language import LANGUAGES
from voiceagent.ports import (
    MULAW_8K,
    Announcement,
    AudioFormat,
    Clock,
    LegEvents,
    LegFeatures,
    SpeechOff,
    SpeechOn,
    Transcript,
)

__all__ = ["KEYBOARD_FEATURES", "LONGEST_LINE", "KeyboardLeg", "TypedRecognizer", "TypedVoiceActivity"]

KEYBOARD_FEATURES = LegFeatures(
    dialect="keyboard",
    clear=True,
    marks=True,
    marks_return_on_clear=False,
    digits_out="in_band",
    transfer="in_band",
    hang_up="close",
    digits_in="in_band",
    position="marks",
    stop_reason=False,
)
LONGEST_LINE = 1_000
"""Characters of one line; a recognizer gives no more of one utterance either."""

_SILENT = bytes([MULAW_SILENCE])
"""No byte of UTF-8."""
_SILENT_MS = _SILENT * MULAW_8K.bytes_per_ms
_DRAWN_OUT = b"\0"
"""What fills up an utterance of which all letters are said."""
_MS_PER_CHARACTER = 65
_SHORTEST_MS = 300
_LONGEST_MS = 4_000
"""Nobody who pastes a long line is taken for somebody who does not stop talking."""
_BEFORE_MS = 300
"""Silence before a line, so that nothing of the one before it is taken for its beginning."""
_MOST_SILENCE_MS = 1_000
"""A longer silence is not sent: it is a gap, and ears know that the line goes on behind it."""


class KeyboardLeg:
    """The connection to a caller who types; fulfils `Leg`."""

    def __init__(self, leg: LegId, clock: Clock) -> None:
        self.id = leg
        self.features = KEYBOARD_FEATURES
        self.audio_in = self.audio_out = MULAW_8K
        self._clock = clock
        self._events: LegEvents | None = None
        self._told_until_ms = clock.now_ms()
        self._heard_ms: dict[UtteranceId, int] = {}
        """How much has been said of every utterance that is not over."""
        self._rest = b""

    # --- what the caller does ---

    def begin_line(self, line: str) -> int:
        """The caller begins to say a line; returns after how many milliseconds they have said it."""
        line = line[:LONGEST_LINE]
        lasting_ms = min(max(len(line) * _MS_PER_CHARACTER, _SHORTEST_MS), _LONGEST_MS)
        letters = line.replace("\0", "").encode(errors="replace").ljust(lasting_ms * MULAW_8K.bytes_per_ms, _DRAWN_OUT)
        since_ms = self._clock.now_ms() - self._told_until_ms
        self._tell(_SILENT_MS * (since_ms if _BEFORE_MS <= since_ms <= _MOST_SILENCE_MS else _BEFORE_MS))
        self._tell(letters[: MULAW_8K.bytes_per_ms])
        self._rest = letters[MULAW_8K.bytes_per_ms :]
        return lasting_ms

    def end_line(self) -> None:
        """The caller has said it."""
        self._tell(self._rest + _SILENT_MS)
        self._rest = b""
        self._told_until_ms = self._clock.now_ms()

    def press(self, key: str) -> None:
        """The caller presses a key of the telephone."""
        self._post(ev.DigitsPressed(key))

    def leave(self) -> None:
        """The caller hangs up."""
        self._post(ev.LegLost(self.id, "the caller hung up"))

    # --- what the session does ---

    def attach(self, events: LegEvents) -> None:
        """Start reporting."""
        self._events = events

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """It is heard at once."""
        if utterance not in self._heard_ms:
            self._heard_ms[utterance] = 0
            self._post(ev.PlayoutStarted(utterance, self._clock.now_ms()))
        self._heard_ms[utterance] += len(audio) // MULAW_8K.bytes_per_ms

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """It has been heard."""
        self._post(ev.PlayoutReached(utterance, clause, self._heard_ms.get(utterance, 0), last))
        if last:
            self._heard_ms.pop(utterance, None)

    def clear(self) -> None:
        """What was begun is not gone on with."""
        for utterance, heard_ms in self._heard_ms.items():
            self._post(ev.PlayoutStopped(utterance, heard_ms, exact=True))
        self._heard_ms.clear()

    def send_digits(self, digits: str) -> None:
        """Nobody is there who would hear them; whoever looks on sees that they were pressed."""

    def record(self, *, on: bool) -> None:
        """Nothing can be recorded."""

    async def transfer(
        self, target: str, announcement: Announcement | None = None, *, sorry: Announcement | None = None
    ) -> bool:
        """The caller would be somebody else's from now on."""
        return False

    async def hang_up(self, *, drain: bool) -> None:
        """Everything has been heard already."""

    def _tell(self, audio: bytes) -> None:
        if self._events is not None:
            self._events.audio_arrived(audio)

    def _post(self, event: ev.Event) -> None:
        if self._events is not None:
            self._events.post(event)


class TypedVoiceActivity:
    """There is a voice wherever there is no silence; fulfils `VadEngine`."""

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> _Activity:
        """Return a handle for one call. Nothing is left for later."""
        del later
        return _Activity(audio.bytes_per_ms)

    def close(self) -> None:
        """Nothing is held."""


class _Activity:
    def __init__(self, bytes_per_ms: int) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._heard_bytes = 0
        self._on_since_ms: int | None = None

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take silence, the beginning of a line, or the rest of one with silence behind it."""
        begins_ms = self._heard_bytes // self._bytes_per_ms
        self._heard_bytes += len(audio)
        if self._on_since_ms is None and audio.strip(_SILENT):
            self._on_since_ms = begins_ms
            return (SpeechOn(begins_ms),)
        if self._on_since_ms is not None and audio.endswith(_SILENT):
            self._on_since_ms = None
            return (SpeechOff(self._heard_bytes // self._bytes_per_ms - 1),)
        return ()

    @property
    def audible_since_ms(self) -> int | None:
        """Since when a line is being said; None where none is."""
        return self._on_since_ms

    def close(self) -> None:
        """Nothing is held."""


class TypedRecognizer:
    """Finds the letters in what was heard; fulfils `RecognizerEngine`."""

    healthy = True
    languages = LANGUAGES
    """Letters are the same in all."""

    def open(self, audio: AudioFormat, *, locale: str) -> TypedRecognizer:
        """Return what hears every call."""
        del audio, locale
        return self

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the line that was typed."""
        del hints
        return Transcript(audio.strip(_SILENT).strip(_DRAWN_OUT).decode(errors="ignore").strip(), confidence=1.0)

    def close(self) -> None:
        """Nothing is held."""
