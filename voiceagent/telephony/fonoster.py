"""Fonoster's streams with `protocol=twilio`: Twilio's messages, and what neither side knows is passed over.

Facts from Fonoster's documentation (`reference/twilio-compatibility`, `streams/bring-your-app`): the `streamSid` of
what we send is not looked at; binary messages, what is no JSON and unknown events are ignored; marks come back when
played and when a clear drops them. It connects to the address that stands in its stream, asks for no document, and
hands nobody over: closing the socket hangs up.
"""

from __future__ import annotations

from dataclasses import replace

from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect, TwilioVariant

__all__ = ["FONOSTER_FEATURES", "fonoster_dialect"]

FONOSTER_FEATURES = replace(TWILIO_FEATURES, dialect="fonoster", transfer="no", announce="no", record="no")

_VARIANT = TwilioVariant(FONOSTER_FEATURES, ignores_the_unknown=True)


def fonoster_dialect() -> TwilioDialect:
    """Return the codec of one stream."""
    return TwilioDialect(_VARIANT)
