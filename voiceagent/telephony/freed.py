"""What the `websockets` library keeps of a connection that is over, and that would keep all of it: let go of here."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from websockets.asyncio.connection import Connection
from websockets.protocol import Protocol

__all__ = ["FreedConnection", "forget_failures"]


class FreedConnection(Connection):
    """A connection that refers to itself in no circle any more once it is lost."""

    __slots__ = ()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        super().connection_lost(exc)
        forget_failures(self.protocol)
        # It waits at its end for ever, and has the protocol, which has it. Nothing is read after this.
        with suppress(AttributeError):
            cast("Any", self.protocol).parser.close()


def forget_failures(protocol: Protocol) -> None:
    """Forget where in the program a handshake or a frame was found to be wrong; what was wrong stays known.

    To be called again when nobody can raise it any more: where it was raised is then noted in it anew.
    """
    for name in ("handshake_exc", "parser_exc"):  # none of them is documented; another version may be without
        failure: BaseException | None = getattr(protocol, name, None)
        while failure is not None:
            failure.__traceback__ = None
            failure = failure.__cause__ or failure.__context__
