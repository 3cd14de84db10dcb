"""How a command is told that an exchange may call by AudioSocket: on which ports, for whom, with which ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from voiceagent.errors import OperatorError
from voiceagent.telephony.settings import AudioSocketLine

__all__ = ["audiosocket_ids", "audiosocket_lines"]

_LINE = re.compile(r"(?:(?P<agent>[^=]+)=)?(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):)?(?P<port>[0-9]{1,5})")


def audiosocket_lines(given: Sequence[str], agents: Collection[str]) -> tuple[AudioSocketLine, ...]:
    """Read `[AGENT=][HOST:]PORT`; the agent may be left out where only one is served. Raises OperatorError."""
    return tuple(_line(one, agents) for one in given)


def _line(given: str, agents: Collection[str]) -> AudioSocketLine:
    parts = _LINE.fullmatch(given)
    if parts is None:
        raise OperatorError(
            f"--audiosocket is {given!r}, but must look like '9092', 'bank=9092' or 'bank=10.0.0.5:9092'"
        )
    agent = parts["agent"]
    if agent is None:
        if len(agents) != 1:
            raise OperatorError(f"--audiosocket {given} must say whose port it is: {sorted(agents)[0]}={given}")
        (agent,) = agents
    return AudioSocketLine(agent, int(parts["port"]), (parts["host"] or "127.0.0.1").strip("[]"))


def audiosocket_ids(given: Sequence[str]) -> frozenset[UUID]:
    """Read the ids that let a connection in. Raises OperatorError."""
    try:
        return frozenset(UUID(one) for one in given)
    except ValueError as exc:
        raise OperatorError("--audiosocket-id takes a UUID, like the ones that `uuidgen` prints") from exc
