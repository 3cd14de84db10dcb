"""What the dial plan of an Asterisk asks over HTTP, by `CURL`.

When a connection has ended: is the call over, or does it go on? Asterisk cannot tell a connection that broke from an
agent who has hung up (both are cause 16), so it gets one word to branch on. Where it does not connect to us itself:
that we connect to it, for a caller who waits there. And where it connects by AudioSocket: an id that lets this one call
in.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.may_go_on import MayGoOn
from voiceagent.core.ids import CallId
from voiceagent.errors import StateUnavailable
from voiceagent.ports import Clock
from voiceagent.telephony.admission import Admission
from voiceagent.telephony.asterisk import ASTERISK_FEATURES, AsteriskDialect
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.query import query_parameters
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import asterisk_is_known

__all__ = ["AsteriskQuestions"]

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIALECT = ASTERISK_FEATURES.dialect
_HANDED_OVER_WITHIN_MS = 20_000
"""Three requests and `LEAVES_WITHIN_MS`, each of them to its end; the note that it is under way stays for longer."""
_LOOKED_EVERY_MS = 100

_Question = Callable[[str, Mapping[str, str]], Awaitable[Response]]
"""Asked for an agent, with what the query says."""


@dataclass(frozen=True, slots=True)
class AsteriskQuestions:
    """What is asked, and whoever knows the answers."""

    settings: TelephonySettings
    clock: Clock
    tokens: CallTokens
    """Is told which call it connects again, and makes ids."""
    may_go_on: MayGoOn
    is_leaving: Callable[[str], Awaitable[bool]]
    """Whether a caller is being handed over by a command, and nobody knows yet what comes of it."""
    connect: Callable[[str, Admission], bool]
    """Has the media server connect to an address; False where it takes no new call."""
    why_not: Callable[[str], str | None]
    """Says why an agent takes no new call."""

    def routes(self) -> list[Route]:
        """Return the routes of the questions."""
        questions = {"after": self._after, "connect": self._connect_to_it, "audiosocket": self._give_id}
        return [Route(f"/asterisk/{{agent}}/{name}", self._if_known(ask)) for name, ask in questions.items()]

    def _if_known(self, ask: _Question) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            shown = request.headers.getlist("Authorization")
            known = asterisk_is_known(shown[0] if len(shown) == 1 else None, self.settings.asterisk_password)
            agent = str(request.path_params["agent"])
            if not (self.settings.insecure or known):
                return _refused(HTTPStatus.UNAUTHORIZED, "no Asterisk that shows the right password")
            if agent not in self.settings.agents:
                return _refused(HTTPStatus.NOT_FOUND, "no such agent")
            said = query_parameters(request.url.query)
            if said is None:
                return _refused(HTTPStatus.BAD_REQUEST, "its query says something twice, or too much")
            try:
                return await ask(agent, said)
            except StateUnavailable as exc:
                return _refused(HTTPStatus.SERVICE_UNAVAILABLE, f"nobody knows or can be told of a call: {exc}")

        return answer

    async def _after(self, agent: str, said: Mapping[str, str]) -> Response:
        call = said.get("call", "")
        if not _ID.fullmatch(call):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no call")
        await self._handed_over(call)
        if not await self.may_go_on(agent, CallId(call)):
            return PlainTextResponse("over")
        await self.tokens.expect_again(call, agent=agent, dialect=_DIALECT)
        return PlainTextResponse("again")

    async def _handed_over(self, call: str) -> None:
        """Wait, in bounded time, while a caller is being handed over: an answer would have the dial plan hang up."""
        until_ms = self.clock.now_ms() + _HANDED_OVER_WITHIN_MS
        while await self.is_leaving(call) and self.clock.now_ms() < until_ms:
            await self.clock.sleep(_LOOKED_EVERY_MS)

    async def _connect_to_it(self, agent: str, said: Mapping[str, str]) -> Response:
        address, connection = self.settings.asterisk_url, said.get("connection", "")
        if address is None or not _ID.fullmatch(connection) or not connection.strip("."):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no connection, or --asterisk-url is not given")
        grant = await self.tokens.is_expected_again(said.get("call", ""), agent=agent, dialect=_DIALECT)
        admitted = Admission(agent, AsteriskDialect(said), grant, by_name=True)
        if not self.connect(f"{address.rstrip('/')}/{connection}", admitted):
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "no new call is taken")
        return PlainTextResponse("connecting")

    async def _give_id(self, agent: str, said: Mapping[str, str]) -> Response:
        call = said.get("call", "")
        if agent not in {line.agent for line in self.settings.audiosockets} or not _ID.fullmatch(call):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no call, or the agent has no --audiosocket")
        if (why := self.why_not(agent)) is not None:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, why)
        caller, called = said.get("caller") or None, said.get("called") or None
        grant = CallGrant(agent, call, "audiosocket", caller=caller, called=called)
        return PlainTextResponse(await self.tokens.mint_id(grant))


def _refused(status: HTTPStatus, why: str) -> Response:
    """Say so in our log; the far side is told the status only."""
    _log.warning("refused an Asterisk's question with %d: %s", status, why)
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)
