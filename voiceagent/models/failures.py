"""Why a model did not answer, told apart by what to do next: wait, give it up, or ask another one."""

from __future__ import annotations

from voiceagent.errors import VoiceFailed

__all__ = ["ModelUnavailable", "ReplyRefused"]


class ModelUnavailable(VoiceFailed):
    """A model cannot be reached, is overloaded, or does not let us in: other calls would fare the same."""

    def __init__(self, reason: str, *, permanent: bool = False, retry_after_ms: int | None = None) -> None:
        super().__init__(reason)
        self.permanent = permanent
        """Asking again will not help until somebody mends a key, a name or a bill."""
        self.retry_after_ms = retry_after_ms
        """How long to wait before asking again; 0 is at once, None is unknown."""


class ReplyRefused(VoiceFailed):
    """A model works, and yet will not answer this one request: it does not fit, or nothing came of it."""
