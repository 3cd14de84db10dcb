"""SignalWire's cXML streams: Twilio's messages, with wide-band audio and keys that can be pressed towards the far side.

Facts from SignalWire's documentation (`cxml/voice/stream`): `PCMU@8000h`, `L16@16000h` or `L16@24000h`; `streamSid` may
be absent on messages other than dtmf and mark; `customParameters` only where there are any; `stop` has a sequence
number and no more; an outgoing `dtmf` carries one digit; marks come back on a clear.
"""

from __future__ import annotations

from dataclasses import replace

from voiceagent.telephony.byte_order import ByteOrder, L16Order
from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect, TwilioVariant

__all__ = ["SIGNALWIRE_FEATURES", "signalwire_dialect"]

SIGNALWIRE_FEATURES = replace(
    TWILIO_FEATURES,
    dialect="signalwire",
    digits_out="in_band",
    key_ms=350,  # no document says; others take so long
)

_VARIANT = TwilioVariant(SIGNALWIRE_FEATURES, l16_rates_hz=frozenset({16_000, 24_000}))


def signalwire_dialect(l16_order: L16Order) -> TwilioDialect:
    """Return the codec of one stream."""
    return TwilioDialect(_VARIANT, l16_order=ByteOrder(l16_order))
