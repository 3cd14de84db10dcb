"""The laboratory's journals stand in for the real ones: a session finds in them whatever it asks of those."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from voiceagent.core.ids import CallId
from voiceagent.runtime.journal import JournalStore, JournalWriter
from voiceagent.testing.simulated_journals import SimulatedJournals

OF_THE_STORE = {"opened"}
"""What only who makes a journal asks of it."""
OF_SERVERS = {"close", "left_behind", "is_broken_off"}
"""What is asked of a directory of journals, and not by a call."""


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_a_journal_has_what_a_call_asks_of_it(tmp_path: Path) -> None:
    async def opened() -> Any:
        return await SimulatedJournals(tmp_path).open(CallId("CA1"), on_broken=pytest.fail)

    journal = asyncio.run(opened())
    assert [name for name in public(JournalWriter) - OF_THE_STORE if not hasattr(journal, name)] == []
    assert not journal.taken_over
    assert journal.broken is None


def test_a_store_has_what_a_call_asks_of_it() -> None:
    assert public(JournalStore) - OF_SERVERS <= public(SimulatedJournals)
