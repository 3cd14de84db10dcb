"""Cloudonix' media streams: Twilio's messages on a WebSocket, to the letter as far as anybody has said."""

from __future__ import annotations

from dataclasses import replace

from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect, TwilioVariant

__all__ = ["CLOUDONIX_FEATURES", "cloudonix_dialect"]

CLOUDONIX_FEATURES = replace(TWILIO_FEATURES, dialect="cloudonix", announce="no", record="no")

_VARIANT = TwilioVariant(CLOUDONIX_FEATURES)


def cloudonix_dialect() -> TwilioDialect:
    """Return the codec of one stream."""
    return TwilioDialect(_VARIANT)
