"""A sound server of this machine's own, and calls that go through it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mic.room import PROJECT, Room, Talk


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> None:
    """There is no loop here: both sides are processes of their own."""


@pytest.fixture
def no_room() -> Iterator[Room]:
    """A machine without a sound server."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is too long a path for a socket
        yield Room(Path(folder))


@pytest.fixture
def room(no_room: Room) -> Iterator[Room]:
    """A machine with a microphone and a loudspeaker."""
    try:
        no_room.open()
        yield no_room
    finally:
        no_room.close()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent that `voiceagent new` writes."""
    folder = tmp_path_factory.mktemp("agents")
    command = [sys.executable, "-m", "voiceagent.cli", "new", "workshop"]
    subprocess.run(
        command, cwd=folder, capture_output=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    return folder / "workshop"


@pytest.fixture
def begin(no_room: Room, workshop: Path, tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    """Start `voiceagent` with these arguments, where an agent of the name `workshop` is."""
    talks: list[Talk] = []
    shutil.copytree(workshop, tmp_path / "workshop")

    def begun(*arguments: str) -> Talk:
        talks.append(Talk(sys.executable, no_room, ["-m", "voiceagent.cli", *arguments], tmp_path))
        return talks[-1]

    yield begun
    for talk in talks:
        talk.stop()
