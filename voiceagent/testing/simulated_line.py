"""The far side of a simulated call: the caller's mouth and ear, and the carrier between them and the agent.

It speaks the carrier's protocol message by message, in memory: a frame every 20 ms, silence as well; audio is played
as it comes in, and marks go back when what is before them has been heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from voiceagent.audio import FRAME_MS
from voiceagent.errors import ScriptError
from voiceagent.ports import MULAW_8K, Clock
from voiceagent.testing.heard_speech import HeardSpeech
from voiceagent.testing.simulated_speech import SILENT_FRAME, SpokenAudio
from voiceagent.testing.simulated_world import Faults
from voiceagent.testing.twilio_stream import Clear, Mark, Media, TwilioStream

__all__ = ["SimulatedLine"]

_FRAME_BYTES = len(SILENT_FRAME)
_MARK_LATE_MS = 700


class SimulatedLine:
    """One caller's line; fulfils `LegSocket` on the agent's side."""

    def __init__(self, clock: Clock, *, caller: SpokenAudio, heard: HeardSpeech, faults: Faults | None = None) -> None:
        """`caller` has the words that the caller says; `heard` is told of all audio that they are going to hear.

        `faults` are those of the carrier's marks.
        """
        self._clock = clock
        self._caller = caller
        self._stream = TwilioStream()
        self._ear = _Ear(clock, heard, self._mark_heard)
        self._to_say = bytearray()
        self._began_ms = 0
        self._next_frame: Callable[[], None] | None = None
        self._messages: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._end: str | None = None
        self._faults = faults or Faults()
        self.marks_heard = 0

    # --- the caller --------------------------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Whether the caller says nothing and has heard everything that was sent."""
        return not self._to_say and not self._ear.expects_more

    @property
    def heard(self) -> bytes:
        """All of the agent's audio that has been played by now, without the pauses."""
        return self._ear.heard()

    def dial(self) -> None:
        """Be connected: the stream begins, and with it the frames."""
        self._began_ms = self._clock.now_ms()
        self._send(self._stream.connected())
        self._send(self._stream.start({}))
        self._arm()

    def say(self, text: str, lasting_ms: int) -> None:
        """Begin to say this, after what is being said."""
        audio = self._caller.say(text, lasting_ms)
        if self._end is not None:
            return  # said into a telephone that nobody listens to any more
        self._to_say += audio
        self._to_say += SILENT_FRAME[: -len(self._to_say) % _FRAME_BYTES]

    def pause(self, ms: int) -> None:
        """Say nothing for so long, after what is being said."""
        if self._end is None:
            self._to_say += SILENT_FRAME * (ms // FRAME_MS)

    def press(self, key: str) -> None:
        """Press a key."""
        self._send(self._stream.digit(key))

    def hang_up(self) -> None:
        """Be gone."""
        self._send(self._stream.stop())
        self._over("connection closed (1000)")

    def break_off(self) -> None:
        """Lose the connection: nobody has hung up, and the carrier does not say so."""
        self._over("connection lost (1006)")

    # --- the carrier -------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        # The next frame is armed by the one before: audio may come late, but never in another order.
        frames = (self._clock.now_ms() - self._began_ms) // FRAME_MS + 1
        self._next_frame = self._clock.call_at(self._began_ms + frames * FRAME_MS, self._send_frame)

    def _send_frame(self) -> None:
        frame = SILENT_FRAME
        if self._to_say:
            frame = bytes(self._to_say[:_FRAME_BYTES])
            del self._to_say[:_FRAME_BYTES]
        self._send(self._stream.media(frame, self._clock.now_ms() - self._began_ms))
        self._arm()

    def _mark_heard(self, mark: str) -> None:
        self.marks_heard += 1
        number, faults, message = self.marks_heard, self._faults, self._stream.mark(mark)
        if number in faults.marks_lost:
            return
        if number in faults.marks_late:
            self._clock.call_at(self._clock.now_ms() + _MARK_LATE_MS, lambda: self._send(message))
        else:
            self._send(message)
        if number in faults.marks_twice:
            self._send(message)

    def _send(self, message: str) -> None:
        if self._end is None:
            self._messages.append(message)
            self._arrived.set()

    def _over(self, end: str) -> None:
        if self._end is None:
            self._end = end
            self._arrived.set()
            self._ear.close()
            if self._next_frame is not None:
                self._next_frame()
                self._to_say.clear()

    # --- the agent's end of the socket -------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield the messages until the line is over, those that were sent before included."""
        while self._messages or self._end is None:
            if self._messages:
                yield self._messages.popleft()
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def write(self, message: str | bytes) -> None:
        """Take a message of the agent's. Raises ScriptError for one that no carrier would understand."""
        if self._end is not None:
            return
        match self._stream.read(message):
            case Media(audio):
                self._ear.play(audio)
            case Mark(name):
                self._ear.set_mark(name)
            case Clear():
                self._ear.clear()
            case other:
                raise ScriptError(f"the agent has sent {other}")

    @property
    def unsent_bytes(self) -> int:
        """Everything is taken at once."""
        return 0

    @property
    def end(self) -> str:
        """Why it is over."""
        return self._end or ""

    async def close(self, code: int, reason: str) -> None:
        """End the line from the agent's side."""
        self._over(f"connection closed ({code}) {reason}".rstrip())

    def abort(self) -> None:
        """End the line at once."""
        self._over("connection lost (1006)")


class _Ear:
    """What the caller hears: audio one after the other, marks when all before them was heard, dropped or not."""

    def __init__(self, clock: Clock, heard: HeardSpeech, mark_heard: Callable[[str], None]) -> None:
        self._clock = clock
        self._heard = heard
        self._mark_heard = mark_heard
        self._pieces: list[tuple[int, bytes]] = []
        """When each begins to be heard."""
        self._free_ms = 0
        self._marks: deque[tuple[int, str]] = deque()
        self._cancel: Callable[[], None] | None = None

    @property
    def expects_more(self) -> bool:
        return self._free_ms > self._clock.now_ms() or bool(self._marks)

    def heard(self) -> bytes:
        now_ms = self._clock.now_ms()
        return b"".join(audio[: max(0, now_ms - at_ms) * MULAW_8K.bytes_per_ms] for at_ms, audio in self._pieces)

    def play(self, audio: bytes) -> None:
        at_ms = max(self._free_ms, self._clock.now_ms())
        self._pieces.append((at_ms, audio))
        self._heard.played(audio, at_ms)
        self._free_ms = at_ms + len(audio) // MULAW_8K.bytes_per_ms

    def set_mark(self, name: str) -> None:
        self._marks.append((self._free_ms, name))
        if self._cancel is None:
            self._arm()

    def clear(self) -> None:
        self._fall_silent()
        self._marks = deque((self._free_ms, name) for _, name in self._marks)
        self._tell()

    def close(self) -> None:
        self._fall_silent()
        self._marks.clear()

    def _fall_silent(self) -> None:
        now_ms = self._clock.now_ms()
        begun = [(at_ms, audio) for at_ms, audio in self._pieces if at_ms < now_ms]
        self._pieces = [(at_ms, audio[: (now_ms - at_ms) * MULAW_8K.bytes_per_ms]) for at_ms, audio in begun]
        self._free_ms = min(self._free_ms, now_ms)
        self._heard.cut(now_ms)
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _tell(self) -> None:
        self._cancel = None
        while self._marks and self._marks[0][0] <= self._clock.now_ms():
            self._mark_heard(self._marks.popleft()[1])
        if self._marks:
            self._arm()

    def _arm(self) -> None:
        # Even a mark that is due at once takes its way to the carrier and back.
        self._cancel = self._clock.call_at(max(self._marks[0][0], self._clock.now_ms()), self._tell)
