"""Call control: what a provider does with a call when it is asked over its REST interface, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, cast

import httpx

from voiceagent.errors import CallLost

__all__ = ["REST_DEADLINE_S", "CallControl", "Dialled", "Rest"]

REST_DEADLINE_S = 5.0
"""For any one request; a caller waits meanwhile."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that is to be placed."""

    to: str
    caller: str
    """The number that is shown, one of ours."""
    webhook: str
    """What is asked how the call goes on once somebody, or something, has answered."""
    detect_machine: bool
    """Whether the webhook is told if it is a person or an answering machine, a few seconds later."""


class CallControl(Protocol):
    """One provider's REST interface. Calls are named by the provider's own id.

    Every method raises CallLost where the provider does not do it. To end what has ended already is no failure.
    """

    async def hang_up(self, call: str) -> None:
        """End the call."""
        ...

    async def transfer(self, call: str, number: str) -> None:
        """Have the provider dial a number and connect the caller to it; the media stream ends."""
        ...

    async def send_digits(self, call: str, digits: str) -> None:
        """Press keys towards the caller."""
        ...

    async def start_recording(self, call: str) -> None:
        """Record the call at the provider, both sides apart."""
        ...

    async def stop_recording(self, call: str) -> None:
        """Stop that; the provider keeps what it has."""
        ...

    async def dial(self, dialled: Dialled) -> str:
        """Place a call; return its id."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Rest:
    """Requests to one provider, whose refusals are told in words."""

    def __init__(self, client: httpx.AsyncClient, *, provider: str, code_of: Callable[[object], str]) -> None:
        """`code_of` finds the provider's own error code in the body of a refusal; empty where there is none."""
        self._client = client
        self._provider = provider
        self._code_of = code_of

    async def post(
        self,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        ended: str = "",
    ) -> Mapping[str, object]:
        """Post a form or JSON; return the answer's fields.

        A refusal with the code `ended` is an empty answer: what was to be ended is over.
        """
        try:
            answer = await self._client.post(path, data=data, json=json)
        except httpx.HTTPError as exc:
            raise CallLost(f"{self._provider} cannot be reached: {type(exc).__name__}") from exc
        fields = _fields(answer)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return fields
        code = self._code_of(fields)
        if ended and code == ended:
            return {}
        said = f" ({code})" if code else ""
        raise CallLost(f"{self._provider} refused {path.rpartition('/')[2]} with HTTP {answer.status_code}{said}")

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()


def _fields(answer: httpx.Response) -> Mapping[str, object]:
    try:
        parsed: object = answer.json()
    except ValueError:
        return {}
    return cast("Mapping[str, object]", parsed) if isinstance(parsed, dict) else {}
