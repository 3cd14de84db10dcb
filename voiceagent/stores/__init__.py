"""Stores: what the workers of a server have to agree on, and what of a call outlives the worker that has it."""

from __future__ import annotations

from voiceagent.stores.choose import open_store, require_store

__all__ = ["open_store", "require_store"]
