"""What the person who runs the server decides about its telephone lines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from voiceagent.errors import OperatorError
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.telephony.byte_order import L16Order
from voiceagent.telephony.telnyx import TELNYX_RATES_HZ, TelnyxCodec, telnyx_audio

__all__ = ["AudioSocketLine", "CarrierKeys", "SignalWireCodec", "TelephonySettings", "is_this_machine"]

SignalWireCodec = Literal["PCMU@8000h", "L16@16000h", "L16@24000h"]

_MOST_PORT = 65_535
_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}")  # E.164


_VERIFYING = (
    "signalwire_signing_key",
    "telnyx_public_key",
    "cloudonix_secret",
    "fonoster_secret",
    "browser_secret",
    "auto_secret",
)


@dataclass(frozen=True, slots=True, repr=False)
class CarrierKeys:
    """What carriers other than Twilio prove themselves by, and we to them. What is not set lets nobody in."""

    signalwire_signing_key: str | None = None
    """Signs SignalWire's webhooks (its dashboard, "API Credentials")."""
    signalwire_bearer: str | None = None
    """What its media sockets bring along, because our answer tells them to (`authBearerToken`)."""
    telnyx_public_key: str | None = None
    """Verifies Telnyx's webhooks: 32 bytes in base64 (Mission Control, "Keys & Credentials")."""
    telnyx_api_key: str | None = None
    """Lets us answer, end and hand over calls at Telnyx."""
    telnyx_connection_id: str | None = None
    """The Call Control application that places calls there."""
    twilio_account_sid: str | None = None
    """Whose calls we place and record at Twilio, with the account's secret."""
    signalwire_space: str | None = None
    """`example` of `example.signalwire.com`: where SignalWire's REST interface is."""
    signalwire_project_id: str | None = None
    signalwire_api_token: str | None = None
    """Let us place and record calls there."""
    cloudonix_secret: str | None = None
    """Password or Bearer token of Cloudonix' webhooks: it stands in the address they are sent to."""
    fonoster_secret: str | None = None
    """Signs the sockets of Fonoster's stream (its "signing secret")."""
    browser_secret: str | None = None
    """Password or Bearer token of whoever asks for the address of a softphone's socket."""
    auto_secret: str | None = None
    """The same of whoever asks for an address that takes any dialect."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> CarrierKeys:
        """Return the keys that stand in an environment, under their names in capital letters: TELNYX_API_KEY."""
        return cls(**{key.name: environment.get(key.name.upper()) or None for key in fields(cls)})

    @property
    def let_somebody_in(self) -> bool:
        """Whether any of them verifies a webhook."""
        return any(getattr(self, name) for name in _VERIFYING)


@dataclass(frozen=True, slots=True)
class AudioSocketLine:
    """A port whose calls go to one agent."""

    agent: str
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class TelephonySettings:
    """Where the server listens, which agents it has, and whom it lets in. Raises OperatorError for what cannot be."""

    agents: frozenset[str]
    """Names that may stand in a path: small letters, digits, `_` and `-`."""
    public_url: str | None = None
    """The address under which carriers reach this server, `https://voice.example.com`, with a path if a proxy
    takes one away. Signatures are checked against it and against nothing that a request says of itself.
    `http` will do for this machine (`http://127.0.0.1:8080`): there a signed call can be tried without a proxy."""
    twilio_auth_token: str | None = field(default=None, repr=False)
    """The account's secret. Without it nothing that claims to come from Twilio is let in."""
    asterisk_password: str | None = field(default=None, repr=False)
    """What an Asterisk shows as the password of the user `asterisk`. Without it none is let in."""
    asterisk_url: str | None = None
    """Where an Asterisk waits for us, `ws://10.0.0.2:8088/media`: it may ask us to connect there, and nowhere else."""
    ari_url: str | None = None
    """Where an Asterisk's REST interface begins, `http://10.0.0.2:8088/ari`: it presses keys and hands callers over."""
    ari_user: str | None = None
    ari_password: str | None = field(default=None, repr=False)
    keys: CarrierKeys = CarrierKeys()
    telnyx_codec: TelnyxCodec = "PCMU"
    """How we speak to Telnyx; it speaks as the caller's network does."""
    telnyx_rate_hz: int = 8_000
    """8,000 but for L16."""
    signalwire_codec: SignalWireCodec = "PCMU@8000h"
    l16_order: L16Order = "measured"
    """Byte order of 16-bit audio at SignalWire and Telnyx, whose documents leave it open."""
    insecure: bool = False
    """Let anybody in: for trying things out on one's own machine."""
    require_call_token: bool = True
    """Whether a media socket must carry the token that our own answer to the carrier's webhook gave it.
    Without that (the address stands in the carrier's console), a recorded upgrade request can be replayed."""
    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes any free one."""
    listening_fd: int | None = None
    """A socket that listens there already, which this process shares with others."""
    tls_cert: Path | None = None
    """Certificate of this server, in PEM, and those above it: nothing but TLS is spoken on its port then."""
    tls_key: Path | None = None
    """The certificate's key, in PEM and not encrypted."""
    max_calls: int = 100
    """Media sockets at a time, until nothing is left of their calls; the next one is refused with 503."""
    max_calls_per_agent: int | None = None
    """Of these, calls to one agent; None for as many as there are."""
    max_calls_per_caller: int = 5
    """Calls at a time from one number, as far as callers show theirs: the next one hears that it is busy."""
    max_caller_calls_per_minute: int = 10
    """Calls that one number may begin within a minute."""
    max_lag_ms: int = 50
    """How late the beat of all calls may typically be before no new one is taken, so that none of them stutters."""
    max_http_connections: int = 256
    """Other connections at a time, and half as many from one address that is no proxy's. One more takes the place of
    the one that has been idle for longest, and is told 503 where none is."""
    lead_ms: int = 400
    """How far speech may run ahead of the ear: less stutters on bad lines, more is harder to take back."""
    audiosockets: tuple[AudioSocketLine, ...] = ()
    """Ports for Asterisk's AudioSocket, besides."""
    audiosocket_ids: frozenset[UUID] = field(default=frozenset(), repr=False)
    """Ids that let AudioSocket calls in, besides those that an Asterisk with the password asks for, one a call."""
    transfer_targets: Mapping[str, str] = field(default_factory=dict[str, str])
    """What flows call a target of a transfer → the telephone number, `+15551234567`. The carrier dials it because our
    answer document goes on with `<Redirect>`; a document of one's own has to do so too."""

    def __post_init__(self) -> None:
        for agent in sorted(self.agents):
            if not _AGENT.fullmatch(agent):
                raise OperatorError(f"{agent!r} cannot be an agent's name in a path: use a-z, 0-9, '_' and '-'")
        if not 0 <= self.port <= _MOST_PORT:
            raise OperatorError(f"port is {self.port}, but must be 0 to {_MOST_PORT}")
        for name in ("max_calls", "max_calls_per_agent", "max_calls_per_caller", "max_caller_calls_per_minute"):
            if (most := getattr(self, name)) is not None and most < 1:
                raise OperatorError(f"{name} is {most}, but must be 1 or more")
        if not 200 <= self.lead_ms <= 500:
            raise OperatorError(f"lead_ms is {self.lead_ms}, but must be 200 to 500")
        for target, number in self.transfer_targets.items():
            if not _NUMBER.fullmatch(number):
                raise OperatorError(f"target {target!r} is {number!r}; give a telephone number: support=+15551234567")
        if telnyx_audio(self.telnyx_codec, self.telnyx_rate_hz) is None:
            rates = ", ".join(str(rate) for rate in TELNYX_RATES_HZ)
            raise OperatorError(
                f"Telnyx has no {self.telnyx_codec} at {self.telnyx_rate_hz} Hz: PCMU and PCMA have 8000, L16 {rates}"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise OperatorError("TLS needs a certificate and its key: give --tls-cert and --tls-key")
        self._check_exchanges()
        if self.public_url is not None:
            self._check_public_url(self.public_url)

    def _check_exchanges(self) -> None:
        if self.keys.signalwire_signing_key and not self.keys.signalwire_bearer:
            raise OperatorError("SignalWire's calls would be refused: set SIGNALWIRE_BEARER to any secret of yours")
        for line in self.audiosockets:
            self._check_audiosocket(line)
        if self.ari_url is not None:
            parts = _parts(self.ari_url)
            if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
                raise OperatorError(f"ari_url is {self.ari_url!r}, but must look like 'http://10.0.0.2:8088/ari'")
            if not (self.ari_user and self.ari_password):
                raise OperatorError("set VOICEAGENT_ARI_USER and VOICEAGENT_ARI_PASSWORD for the Asterisk at ari_url")
        if self.asterisk_url is None:
            return
        parts = _parts(self.asterisk_url)
        if parts is None or parts.scheme not in {"ws", "wss"} or not parts.hostname or parts.query:
            raise OperatorError(f"asterisk_url is {self.asterisk_url!r}, but must look like 'ws://10.0.0.2:8088/media'")

    def _check_audiosocket(self, line: AudioSocketLine) -> None:
        if line.agent not in self.agents:
            raise OperatorError(f"AudioSocket calls are to go to {line.agent!r}, which is not served")
        if not 1 <= line.port <= _MOST_PORT:
            raise OperatorError(f"AudioSocket's port is {line.port}, but must be 1 to {_MOST_PORT}")
        if not (self.insecure or self.audiosocket_ids or self.asterisk_password):
            raise OperatorError(
                "every AudioSocket call would be refused: set VOICEAGENT_ASTERISK_PASSWORD, with which the dial plan "
                "asks for an id, or give --audiosocket-id, or try --insecure"
            )

    def _check_public_url(self, public_url: str) -> None:
        parts = _parts(public_url)
        if parts is None or not parts.hostname or parts.query or parts.fragment:
            right = False
        else:
            plain = self.insecure or is_this_machine(parts.hostname)
            right = parts.scheme in ({"https", "http"} if plain else {"https"})
        if not right:
            raise OperatorError(f"public_url is {public_url!r}, but must look like 'https://voice.example.com'")

    @property
    def telnyx_audio_out(self) -> AudioFormat:
        """How we speak to Telnyx."""
        audio = telnyx_audio(self.telnyx_codec, self.telnyx_rate_hz)
        assert audio is not None, "settings are checked when they are made"  # noqa: S101 - says itself why
        return audio

    def is_proxy(self, address: str) -> bool:
        """Whether everybody may come from there: the world speaks TLS, we do not, and the address is none of theirs."""
        if self.public_url is None or not self.public_url.startswith("https:") or self.tls_cert is not None:
            return False
        try:
            return not ipaddress.ip_address(address).is_global
        except ValueError:  # a socket of this machine
            return True

    @property
    def spoken(self) -> tuple[AudioFormat, ...]:
        """The audio in which calls are going to be spoken to: what is rendered ahead is rendered in all of these.

        A page names its own rate, and an Asterisk's dial plan its format: 16 kHz is what both are told to use.
        """
        formats = [MULAW_8K]
        if self.keys.telnyx_public_key:
            formats.append(self.telnyx_audio_out)
        if self.keys.signalwire_signing_key and self.signalwire_codec != "PCMU@8000h":
            formats.append(AudioFormat("pcm16", 16_000 if self.signalwire_codec == "L16@16000h" else 24_000))
        if self.keys.browser_secret or self.asterisk_password or self.audiosockets:
            formats.append(AudioFormat("pcm16", 16_000))
        if self.audiosockets:
            formats.append(AudioFormat("pcm16", 8_000))
        return tuple(dict.fromkeys(formats))

    @property
    def webhook_base(self) -> str | None:
        """The public address for HTTP, without a slash at its end."""
        return self.public_url.rstrip("/") if self.public_url is not None else None

    @property
    def media_base(self) -> str | None:
        """The public address for WebSockets, without a slash at its end."""
        base = self.webhook_base
        return "ws" + base.removeprefix("http") if base is not None else None


def _parts(url: str) -> SplitResult | None:
    """Return the parts of a URL; None where brackets or port could stand in none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address is the loopback interface's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
