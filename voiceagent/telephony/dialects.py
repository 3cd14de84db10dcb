"""The dialects: what each of them can do, who writes it and how somebody who speaks it is let in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from voiceagent.ports import LegFeatures
from voiceagent.telephony.browser import BROWSER_FEATURES, BrowserDialect
from voiceagent.telephony.cloudonix import CLOUDONIX_FEATURES, cloudonix_dialect
from voiceagent.telephony.codec import Dialect
from voiceagent.telephony.detecting import DETECTING_FEATURES, DetectingDialect
from voiceagent.telephony.fonoster import FONOSTER_FEATURES, fonoster_dialect
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signalwire import SIGNALWIRE_FEATURES, signalwire_dialect
from voiceagent.telephony.telnyx import TELNYX_FEATURES, TelnyxDialect
from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect

__all__ = ["DIALECTS", "DialectRow"]


@dataclass(frozen=True, slots=True)
class DialectRow:
    """One dialect."""

    features: LegFeatures
    codec: Callable[[TelephonySettings], Dialect]
    """Makes the codec of one connection."""
    socket_proof: Literal["signature", "bearer", "call_token"]
    """What lets its media sockets in: `signature` and `bearer` besides a call token, where one is required;
    `call_token` stands alone and always is."""
    webhook_proof: Literal["signature", "ed25519", "secret"]
    """What its webhooks prove themselves by; `signature` is HMAC-SHA1 as Twilio does it, `secret` Basic or Bearer."""
    answer: Literal["twiml", "telnyx", "json"]
    """How a webhook is answered: by a document, by commands to the carrier, or by the address itself."""

    @property
    def name(self) -> str:
        """The word in its paths."""
        return self.features.dialect


def _detecting(settings: TelephonySettings) -> Dialect:
    return DetectingDialect(
        {name: partial(row.codec, settings) for name, row in DIALECTS.items() if name != DETECTING_FEATURES.dialect}
    )


_ROWS = (
    DialectRow(TWILIO_FEATURES, lambda _: TwilioDialect(), "signature", "signature", "twiml"),
    DialectRow(
        SIGNALWIRE_FEATURES, lambda settings: signalwire_dialect(settings.l16_order), "bearer", "signature", "twiml"
    ),
    DialectRow(CLOUDONIX_FEATURES, lambda _: cloudonix_dialect(), "call_token", "secret", "twiml"),
    DialectRow(FONOSTER_FEATURES, lambda _: fonoster_dialect(), "call_token", "secret", "twiml"),
    DialectRow(
        TELNYX_FEATURES,
        lambda settings: TelnyxDialect(settings.telnyx_audio_out, l16_order=settings.l16_order),
        "call_token",
        "ed25519",
        "telnyx",
    ),
    DialectRow(BROWSER_FEATURES, lambda _: BrowserDialect(), "call_token", "secret", "json"),
    DialectRow(DETECTING_FEATURES, _detecting, "call_token", "secret", "json"),
)

DIALECTS: Mapping[str, DialectRow] = {row.name: row for row in _ROWS}
"""By the word in their paths. `auto` is whatever the first messages turn out to be."""
