"""The body of a request, read within bounds."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

__all__ = ["read_body"]


async def read_body(request: Request, *, at_most_bytes: int) -> bytes | None:
    """Return the whole body; None where it is too long or does not come to its end."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > at_most_bytes:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)
