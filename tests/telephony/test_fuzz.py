"""A little of what `make fuzz` does a lot of."""

from __future__ import annotations

import pytest

from tests.telephony.fuzz import fuzz
from tests.telephony.wire_examples import EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_damaged_messages_do_no_harm(name):
    outcomes = fuzz(EXAMPLES[name], mutations=6_000, seed=7)
    assert outcomes["media"], "some damage is none"
    assert sum(kind.startswith("refused") for kind in outcomes) > 5
