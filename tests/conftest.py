"""What holds for every test: nothing may block the event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    """A call that blocks, made by the package on an event loop, fails the test that made it."""
    with blockbuster_ctx("voiceagent") as watching:
        yield watching
