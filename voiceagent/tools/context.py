"""What a tool is given besides its arguments: a way to reach its service, never the secrets themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

if TYPE_CHECKING:
    from voiceagent.tools.tool_http import ToolHttp

__all__ = ["ToolContext"]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Handed to a tool's parameter `ctx` for one run."""

    call: str
    """Id of the call."""
    tool: str
    http: ToolHttp
    """The agent's service: `await ctx.http.get("/path")`; the credential of this run is added to every such request.
    A whole URL may be asked where the tool's `egress` declares it, without that credential."""
    deadline_ms: int
    """When the run is given up, requests under way included, on the clock of `now_ms`."""
    now_ms: int
    """The clock when the run began."""
    idempotency_key: str | None
    """For a tool that writes: send it along, so that a second attempt does nothing."""
    facts: Mapping[str, JsonValue]
    """The facts known when the run began."""
