"""Call control: what a provider does with a call when it is asked over its REST interface, the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["CallControl", "Dialled", "KnowsWhere", "Rings"]


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that is to be placed."""

    to: str
    caller: str
    """The number that is shown, one of ours."""
    webhook: str
    """What is asked how the call goes on once somebody, or something, has answered."""
    detect_machine: bool
    """Whether the provider, where it can, tells the call if it is a person or a machine, while it goes on."""
    agent: str
    """Who speaks with them, for a provider that asks no webhook."""

    @property
    def detected_at(self) -> str:
        """What is told who has answered, by a provider that has an address of its own for it."""
        return f"{self.webhook.rpartition('/')[0]}/machine"


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

    @property
    def consults(self) -> bool:
        """Whether somebody can be called for a caller, and be told something before the two are connected."""
        ...

    async def consult(self, call: str, dialled: Dialled) -> str:
        """Call whoever is to take the caller over; return that call's id. Its webhook sees to all that comes next."""
        ...

    async def send_digits(self, call: str, digits: str) -> None:
        """Press keys towards the caller."""
        ...

    async def start_recording(self, call: str) -> str:
        """Record the call at the provider, both sides apart; return the recording's id, empty where it has none."""
        ...

    async def pause_recording(self, call: str, recording: str) -> None:
        """Have nothing that is heard from now on in the recording."""
        ...

    async def resume_recording(self, call: str, recording: str) -> None:
        """Go on with it."""
        ...

    async def stop_recording(self, call: str, recording: str) -> None:
        """End it; the provider keeps what it has."""
        ...

    async def dial(self, dialled: Dialled) -> str:
        """Place a call; return its id."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class Rings(Protocol):
    """A provider whose callers hear nothing while it calls somebody for them, unless it is told to play them a tone."""

    async def ring(self, call: str, number: str) -> None:
        """Have a caller hear this number ring, from now on. Raises CallLost."""
        ...

    async def stop_ringing(self, call: str) -> None:
        """Have them hear it no longer. Raises CallLost, also where they heard nothing."""
        ...


@runtime_checkable
class KnowsWhere(Protocol):
    """An exchange which says where its callers are, since it accepts to move one before it has."""

    async def place_of(self, call: str) -> str | None:
        """Return where a caller is, in a word that is another one elsewhere; None where they have hung up.

        Raises CallLost where the exchange does not say.
        """
        ...
