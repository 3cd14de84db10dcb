"""The small things that happen fifty times a second in every call, and a few that happen in every turn, one by one."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from time import process_time_ns

from benchmarks.figures import Figure
from benchmarks.full.table import Row
from voiceagent import Prefetch, tool
from voiceagent.audio import mulaw_energy
from voiceagent.core.events import Event
from voiceagent.core.ids import ToolCallId, UtteranceId
from voiceagent.core.prefetch import PrefetchPlan
from voiceagent.ports import MULAW_8K
from voiceagent.spec.facts import Facts
from voiceagent.speech import EnergyVad
from voiceagent.telephony.asterisk import AsteriskDialect
from voiceagent.telephony.browser import BrowserDialect
from voiceagent.telephony.codec import Command, Dialect, Media, PlayAudio, SetMark
from voiceagent.telephony.pacing import BURST_MS, Pacer
from voiceagent.telephony.signalwire import signalwire_dialect
from voiceagent.telephony.telnyx import TelnyxDialect
from voiceagent.telephony.twilio import TwilioDialect

__all__ = ["micro"]

_BATCHES = 15
_BATCH_NS = 20_000_000
_MULAW = bytes(range(0x40, 0xE0))
"""20 ms at 8 kHz, not silence."""
_PCM_16K = b"".join(round(1_000 * math.sin(math.tau * n / 80)).to_bytes(2, "little", signed=True) for n in range(320))
"""20 ms of 200 Hz: of silence nobody could tell in which order its bytes are."""


def micro(*, quick: bool) -> Iterator[Row]:
    """Time each in batches of some 20 ms of CPU time."""
    batches = 3 if quick else _BATCHES
    for name, (dialect, message) in _dialects().items():
        (event,) = dialect.receive(message)
        assert isinstance(event, Media), f"{name}: {event}"
        yield _timed(f"receive 20 ms, {name}", lambda d=dialect, m=message: d.receive(m), batches)
    for name, (dialect, message) in _dialects().items():
        frame = PlayAudio((_PCM_16K if _is_wide(name) else _MULAW) * (BURST_MS // 20))
        assert dialect.send(frame), name
        yield _timed(f"send {BURST_MS} ms, {name}", lambda d=dialect, f=frame: d.send(f), batches)
        del message
    yield _timed("energy of 20 ms of µ-law", lambda: mulaw_energy(_MULAW), batches)
    vad = EnergyVad().open(MULAW_8K)
    yield _timed("energy VAD, 20 ms", lambda: vad.feed(_MULAW), batches)
    yield _timed("a step of pacer and ledger", _Steps().step, batches)
    yield _timed("an answer from the cache", _cache_hit(), batches)


def _timed(what: str, work: Callable[[], object], batches: int) -> Figure:
    count = 1
    while _spent_ns(work, count) < _BATCH_NS:
        count *= 4
    each_us = [_spent_ns(work, count) / count / 1000 for _ in range(batches)]
    return Figure(
        what,
        median(each_us),
        "µs",
        None,
        spread=f"{min(each_us):.3g}–{max(each_us):.3g}",
        how=f"median of {batches} batches of {count}, CPU time",
    )


def _spent_ns(work: Callable[[], object], count: int) -> int:
    began_ns = process_time_ns()
    for _ in range(count):
        work()
    return process_time_ns() - began_ns


# --- codecs ---


def _is_wide(dialect: str) -> bool:
    return dialect in ("signalwire L16", "browser")


def _dialects() -> Mapping[str, tuple[Dialect, str | bytes]]:
    """Return every dialect that has words of its own, its stream begun, and 20 ms of a caller's as it sends them."""
    begun: dict[str, tuple[Dialect, Sequence[str], str | bytes]] = {
        "twilio": (TwilioDialect(), (_twilio_start("audio/x-mulaw", 8_000),), _twilio_media(_MULAW)),
        "signalwire L16": (
            signalwire_dialect("measured"),
            (_twilio_start("audio/x-L16", 16_000),),
            _twilio_media(_PCM_16K),
        ),
        "telnyx": (TelnyxDialect(), (_TELNYX_START,), _TELNYX_MEDIA),
        "browser": (BrowserDialect(), ('{"type":"start","call":"c1","rate_hz":16000,"parameters":{}}',), _PCM_16K),
        "asterisk": (AsteriskDialect({"caller": "+4930"}), (_ASTERISK_START,), _MULAW),
    }
    for dialect, opening, _ in begun.values():
        for message in opening:
            dialect.receive(message)
    return {name: (dialect, message) for name, (dialect, _, message) in begun.items()}


def _twilio_start(encoding: str, rate_hz: int) -> str:
    start = {
        "streamSid": "MZ" + "0" * 32,
        "accountSid": "AC" + "0" * 32,
        "callSid": "CA" + "0" * 32,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": encoding, "sampleRate": rate_hz, "channels": 1},
        "customParameters": {},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": start["streamSid"], "start": start})


def _twilio_media(audio: bytes) -> str:
    media = {"track": "inbound", "chunk": "2", "timestamp": "20", "payload": base64.b64encode(audio).decode()}
    return json.dumps(
        {"event": "media", "sequenceNumber": "3", "streamSid": "MZ" + "0" * 32, "media": media}, separators=(",", ":")
    )


_TELNYX_START = json.dumps(
    {
        "event": "start",
        "sequence_number": "1",
        "stream_id": "S1",
        "start": {
            "user_id": "u",
            "call_control_id": "v3:c",
            "from": "+1",
            "to": "+2",
            "media_format": {"encoding": "PCMU", "sample_rate": 8_000, "channels": 1},
        },
    }
)
_TELNYX_MEDIA = json.dumps(
    {
        "event": "media",
        "sequence_number": "4",
        "stream_id": "S1",
        "media": {
            "track": "inbound",
            "chunk": "2",
            "timestamp": "20",
            "payload": base64.b64encode(_MULAW).decode(),
        },
    },
    separators=(",", ":"),
)
_ASTERISK_START = (
    '{"event":"MEDIA_START","connection_id":"bank","channel":"WebSocket/bank/0x1","channel_id":"179.2",'
    '"format":"ulaw","optimal_frame_size":160,"ptime":20,"channel_variables":{}}'
)


# --- pacing and cache ---


class _Steps:
    """Two seconds of speech after the other, in steps of 20 ms, with the marks coming back."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._marks: list[str] = []
        self._utterances = 0
        self._pacer = Pacer(MULAW_8K, lead_ms=400, marks=True, send=self._sent, post=self._posted)

    def step(self) -> None:
        self._now_ms += 20
        if not self._pacer.busy:
            self._utterances += 1
            utterance = UtteranceId(f"u{self._utterances}")
            self._pacer.play(utterance, _MULAW * 100)
            self._pacer.end_clause(utterance, 0, last=True)
        self._pacer.advance(self._now_ms)
        if self._marks and self._now_ms % 2_500 == 0:
            self._pacer.mark_returned(self._marks.pop(0), self._now_ms)

    def _sent(self, command: Command) -> None:
        if isinstance(command, SetMark):
            self._marks.append(command.name)

    def _posted(self, event: Event) -> None:
        del event


@tool
async def balance(account: str) -> dict[str, object]:
    """Tell the balance."""
    return {"account": account}


def _cache_hit() -> Callable[[], object]:
    plan = PrefetchPlan()
    plan.identity_established()
    (fetch,) = plan.plan([Prefetch(tool=balance, arguments={"account": "C-1"})], Facts(), 0)
    plan.finished(fetch.fetch, {"balance": "1234.50"}, Facts(), 100)
    call = ToolCallId("t1")
    return lambda: plan.look_up(call, balance, {"account": "C-1"}, 200)
