"""A little of what `make fuzz` does a lot of."""

from __future__ import annotations

import pytest

from tests.telephony.fuzz import FUZZED, fuzz
from voiceagent.telephony.dialects import DIALECTS


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_messages_do_no_harm(name):
    outcomes = fuzz(FUZZED[name], mutations=6_000, seed=7)
    assert outcomes["media"], "some damage is none"
    assert sum(kind.startswith("refused") for kind in outcomes) > 5


def test_every_dialect_is_among_them():
    assert {*DIALECTS, "audiosocket"} <= set(FUZZED)
