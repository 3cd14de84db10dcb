"""The exchange of the runtime's tests, for calls whose engines fail."""

from __future__ import annotations

from tests.runtime.conftest import exchange

__all__ = ["exchange"]
