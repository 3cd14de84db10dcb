"""The dialects: what each of them can do, who writes it and how somebody who speaks it is let in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from voiceagent.ports import LegFeatures
from voiceagent.telephony.asterisk import ASTERISK_FEATURES, AsteriskDialect
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
    codec: Callable[[TelephonySettings, Mapping[str, str]], Dialect]
    """Makes the codec of one connection, from what the query string of its path says."""
    socket_proof: Literal["signature", "bearer", "call_token", "basic", "hmac"]
    """What lets its media sockets in: `signature` and `bearer` besides a call token, where one is required;
    `call_token` stands alone and always is. `basic` and `hmac` stand alone as well: no answer of ours has given them a
    token."""
    webhook_proof: Literal["signature", "ed25519", "secret"] | None
    """What its webhooks prove themselves by; `signature` is HMAC-SHA1 as Twilio does it, `secret` Basic or Bearer.
    None: it sends none before a call."""
    answer: Literal["twiml", "telnyx", "json"] | None
    """How a webhook is answered: by a document, by commands to the carrier, or by the address itself."""
    speaks_in_query: bool = False
    """Whether its carrier says in the query string what it knows of the call. Others have none."""

    @property
    def has_no_token(self) -> bool:
        """Whether it connects without having asked us for an address."""
        return self.socket_proof in ("basic", "hmac")

    @property
    def name(self) -> str:
        """The word in its paths."""
        return self.features.dialect


_NEVER_DETECTED = frozenset({DETECTING_FEATURES.dialect, ASTERISK_FEATURES.dialect})
"""Itself, and what needs the query string to know its call."""


def _detecting(settings: TelephonySettings, _: Mapping[str, str]) -> Dialect:
    return DetectingDialect(
        {name: partial(row.codec, settings, {}) for name, row in DIALECTS.items() if name not in _NEVER_DETECTED}
    )


_ROWS = (
    DialectRow(TWILIO_FEATURES, lambda _, __: TwilioDialect(), "signature", "signature", "twiml"),
    DialectRow(
        SIGNALWIRE_FEATURES, lambda settings, _: signalwire_dialect(settings.l16_order), "bearer", "signature", "twiml"
    ),
    DialectRow(CLOUDONIX_FEATURES, lambda _, __: cloudonix_dialect(), "call_token", "secret", "twiml"),
    DialectRow(FONOSTER_FEATURES, lambda _, __: fonoster_dialect(), "hmac", None, None),
    DialectRow(
        TELNYX_FEATURES,
        lambda settings, _: TelnyxDialect(settings.telnyx_audio_out, l16_order=settings.l16_order),
        "call_token",
        "ed25519",
        "telnyx",
    ),
    DialectRow(BROWSER_FEATURES, lambda _, __: BrowserDialect(), "call_token", "secret", "json"),
    DialectRow(ASTERISK_FEATURES, lambda _, said: AsteriskDialect(said), "basic", None, None, speaks_in_query=True),
    DialectRow(DETECTING_FEATURES, _detecting, "call_token", "secret", "json"),
)

DIALECTS: Mapping[str, DialectRow] = {row.name: row for row in _ROWS}
"""By the word in their paths. `auto` is whatever the first messages turn out to be."""
