"""Amazon Nova Sonic 2 for all calls of the process: opens sessions, and says what can be expected of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from voiceagent.errors import OperatorError
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova.frames import Sensitivity
from voiceagent.models.nova.protocol import NovaProtocol
from voiceagent.models.nova.session import NovaSession, Pace
from voiceagent.models.nova.stream import AwsCredentials, BedrockStreams, NovaStream
from voiceagent.ports import AudioFormat, Clock, SessionSetup, SpeechCapabilities, SpeechModelEvent

__all__ = ["NOVA_2_SONIC", "NOVA_CAPABILITIES", "NovaSonicModels"]

NOVA_2_SONIC = "amazon.nova-2-sonic-v1:0"
_NEEDS_SPEECH_FIRST = "amazon.nova-sonic-v1:0"
_PCM_8K, _PCM_16K, _PCM_24K = (AudioFormat("pcm16", rate_hz) for rate_hz in (8_000, 16_000, 24_000))

NOVA_CAPABILITIES = SpeechCapabilities(
    name="nova",
    swap="new_session",
    audio_in=(_PCM_16K, _PCM_8K),
    # A telephone's own rate first: what is spoken at it is not resampled on its way to the caller.
    audio_out=(_PCM_8K, _PCM_16K, _PCM_24K),
    transcribes=True,
    session_limit_ms=8 * 60_000,
    idle_limit_ms=175_000,
)
"""What Nova 2 Sonic can do, from its user guide, AWS's samples and those who use it."""


class NovaSonicModels:
    """One Nova model in one region; fulfils `SpeechModelEngine`."""

    def __init__(
        self,
        model: str = NOVA_2_SONIC,
        *,
        region: str,
        clock: Clock,
        credentials: AwsCredentials | Callable[[], Awaitable[AwsCredentials]] | None = None,
        endpoint: str | None = None,
        sensitivity: Sensitivity | None = None,
        connect_ms: int = 3_000,
        confirm_ms: int = 500,
        expiry_notice_ms: int = 60_000,
        pace: Pace | None = None,
    ) -> None:
        """Load the SDK, which blocks for a second or so; nothing is sent.

        Without `credentials` the SDK looks for them where AWS's tools do; a callable is asked anew for each session.
        `endpoint` is another address than the region's. `sensitivity` is how soon a pause ends the caller's turn.
        A session that cannot be had within `connect_ms` is not had. The provider is given `confirm_ms` of that to
        refuse a setup that it has taken whole: nothing confirms one, so silence does. A session whose credentials
        expire before the session does says so `expiry_notice_ms` ahead. Raises OperatorError, MissingExtra.
        """
        if model == _NEEDS_SPEECH_FIRST:
            raise OperatorError(f"{model} speaks only once it has been spoken to; use {NOVA_2_SONIC}")
        if not region:
            raise OperatorError(f"{model} needs the AWS region where it is to be found, e.g. us-east-1")
        self._model = model
        self._clock = clock
        self._sensitivity: Sensitivity | None = sensitivity
        self._connect_ms = connect_ms
        self._confirm_ms = confirm_ms
        self._expiry_notice_ms = expiry_notice_ms
        self._pace = pace or Pace()
        self._streams = BedrockStreams(model, region=region, credentials=credentials, endpoint=endpoint)

    @property
    def capabilities(self) -> SpeechCapabilities:
        """Nova's row."""
        return NOVA_CAPABILITIES

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> NovaSession:
        """Return a session that has been given its prompt and tools. Raises ModelUnavailable."""
        try:
            async with asyncio.timeout(self._connect_ms / 1_000):
                credentials = await self._streams.identity()
                ends_at_ms = self._ends_at_ms(credentials)
                stream = await self._streams.open(credentials)
                try:
                    session = await self._set_up(stream, setup, post)
                except BaseException:  # cancellation too: a connection left open goes on costing
                    await stream.abort()
                    raise
        except TimeoutError as exc:
            raise ModelUnavailable(f"{self._model} could not be reached within {self._connect_ms} ms") from exc
        if ends_at_ms is not None:
            session.expires(self._clock, ends_at_ms=ends_at_ms, notice_ms=self._expiry_notice_ms)
        return session

    async def _set_up(
        self, stream: NovaStream, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]
    ) -> NovaSession:
        protocol = NovaProtocol(setup, session=uuid.uuid4(), sensitivity=self._sensitivity)
        for frame in protocol.take_frames():
            await stream.send(frame.payload)
        await stream.opened(patience_ms=self._confirm_ms)
        return NovaSession(protocol, stream, post, model=self._model, pace=self._pace)

    def _ends_at_ms(self, credentials: AwsCredentials) -> int | None:
        """Return when the credentials end the session, on the clock, unless the provider does so before."""
        if credentials.expires_at is None:
            return None
        left_ms = int(credentials.expires_at.timestamp() * 1_000) - self._clock.unix_ms()
        if left_ms <= 0:
            raise ModelUnavailable(f"the credentials for {self._model} have expired", permanent=self._streams.fixed)
        limit_ms = NOVA_CAPABILITIES.session_limit_ms or left_ms
        return self._clock.now_ms() + left_ms if left_ms < limit_ms else None

    async def close(self) -> None:
        """Release connections that are still being let go."""
        await self._streams.close()
