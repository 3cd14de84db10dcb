"""What holds for every test: nothing may block the event loop, and no test is about how long it takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

# A machine that does something else meanwhile is no counterexample; how long things take is for benchmarks to say.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    """A call that blocks, made by the package on an event loop, fails the test that made it."""
    with blockbuster_ctx("voiceagent") as watching:
        yield watching
