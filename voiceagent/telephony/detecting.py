"""Detection: whose messages these are, found out from the first ones, for callers who are let in already.

Nothing is lost by it: what has come before is read again by the codec that is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from voiceagent.ports import LegFeatures
from voiceagent.telephony.codec import Command, Dialect, Ignored, Refused, WireEvent
from voiceagent.telephony.wire_json import as_mapping, read_object

__all__ = ["DETECTING_FEATURES", "DetectingDialect", "dialect_of"]

DETECTING_FEATURES = LegFeatures(
    dialect="auto",
    clear=False,
    marks=False,
    marks_return_on_clear=False,
    digits_out="no",
    transfer="no",
    hang_up="close",
    digits_in="in_band",
    position="clock",
    stop_reason=False,
)
"""As long as nothing is known."""

_BUFFER_MS = 60_000  # what the least of them keeps
_MAX_FIRST = 4
"""Messages that may come before a start; every dialect has one at most."""


def dialect_of(start: Mapping[str, object]) -> str | None:
    """Return the name of the dialect in which a message opens a stream; None where it opens none.

    Relatives of Twilio's that send what Twilio sends are taken for Twilio.
    """
    if start.get("type") == "start":
        return "browser"
    body = as_mapping(start.get("start"))
    if start.get("event") != "start" or body is None:
        return None
    if "stream_id" in start or "call_control_id" in body:
        return "telnyx"
    if "streamSid" not in start and "streamSid" not in body:
        return None
    encoding = (as_mapping(body.get("mediaFormat")) or {}).get("encoding")
    return "signalwire" if encoding == "audio/x-L16" else "twilio"


class DetectingDialect:
    """The codec of a connection whose dialect is not known yet, and then the one that it turns out to be."""

    __slots__ = ("_codecs", "_first", "_found")

    def __init__(self, codecs: Mapping[str, Callable[[], Dialect]]) -> None:
        """`codecs` are those that it may turn out to be, by name."""
        self._codecs = codecs
        self._first: list[str] = []
        self._found: Dialect | None = None

    @property
    def features(self) -> LegFeatures:
        """The row of the dialect found."""
        return self._found.features if self._found is not None else DETECTING_FEATURES

    @property
    def buffer_ms(self) -> int:
        """What any of them keeps."""
        return self._found.buffer_ms if self._found is not None else _BUFFER_MS

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return what a message says; what came before the dialect was known is said once it is."""
        if self._found is not None:
            return self._found.receive(message)
        if isinstance(message, bytes):
            return (Refused("before start"),)
        fields = read_object(message)
        if isinstance(fields, Refused):
            return (fields,)
        name = dialect_of(fields)
        if name is None or name not in self._codecs:
            return self._keep(message, fields)
        self._found = self._codecs[name]()
        return [event for each in (*self._first, message) for event in self._found.receive(each)]

    def _keep(self, message: str, fields: Mapping[str, object]) -> Sequence[WireEvent]:
        if fields.get("event") == "start" or len(self._first) >= _MAX_FIRST:
            return (Refused("no dialect that is known", fatal=True),)
        self._first.append(message)
        return (Ignored("before the dialect was known"),)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Return the messages that carry a command out; none before the dialect is known."""
        return self._found.send(command) if self._found is not None else ()
