"""Where an OpenAI Realtime session is opened: at OpenAI, at Azure, or at a server that speaks the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from voiceagent.errors import OperatorError

__all__ = ["RealtimeEndpoint", "azure_endpoint", "openai_endpoint"]

_OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class RealtimeEndpoint:
    """Where sessions are opened."""

    name: str
    """The provider, for capabilities."""
    model: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    """They hold the key."""


def openai_endpoint(model: str, *, api_key: str | None, base_url: str | None = None) -> RealtimeEndpoint:
    """Return OpenAI's own endpoint, or that of another server which may need no key. Raises OperatorError."""
    if not api_key and base_url is None:
        raise OperatorError(f"the model {model!r} needs a key: set OPENAI_API_KEY, or name another server")
    url = f"{_socket_url(base_url or _OPENAI_URL)}/realtime?model={quote(model, safe='')}"
    return RealtimeEndpoint("openai_realtime", model, url, {"Authorization": f"Bearer {api_key}"} if api_key else {})


def azure_endpoint(resource_url: str, *, deployment: str, api_key: str) -> RealtimeEndpoint:
    """Return the endpoint of a deployment at Azure, e.g. of https://NAME.openai.azure.com. Raises OperatorError.

    A model that transcribes is a deployment of its own there.
    """
    if not api_key:
        raise OperatorError(f"the deployment {deployment!r} needs a key: set AZURE_OPENAI_API_KEY")
    url = f"{_socket_url(resource_url)}/openai/v1/realtime?model={quote(deployment, safe='')}"
    return RealtimeEndpoint("azure_realtime", deployment, url, {"api-key": api_key})


def _socket_url(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"https": "wss", "wss": "wss", "http": "ws", "ws": "ws"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.query or parts.fragment:
        raise OperatorError(f"not the address of a realtime server: {url!r}; write it as in 'https://host/v1'")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
