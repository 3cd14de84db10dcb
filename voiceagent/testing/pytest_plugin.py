"""The pytest plugin: collects `*.call.yaml`, and lends tests written in Python a scripted call.

Every conversation that either of them plays is replayed from its journal afterwards and must decide the same, byte for
byte. Options: `--call-schedules N` (default 5), `--call-runtime N` (default 0: on the core only) and `--call-seed N`.
What is marked `through_runtime` (by a `conftest.py`, say) is played through the runtime at least once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import pytest

from voiceagent.errors import VoiceAgentError
from voiceagent.ports import ReplyModel
from voiceagent.spec.flow import Flow
from voiceagent.testing.call_file import SUFFIX, CallFiles
from voiceagent.testing.call_results import NEEDS_A_MODEL, failure_text
from voiceagent.testing.call_script import CallScript
from voiceagent.testing.playing import CallFailure, CallPlayer
from voiceagent.testing.schedule import Schedule
from voiceagent.testing.scripted_call import ScriptedCall
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_world import Faults, ScriptedTool, Timing

__all__ = ["PlaceScriptedCall", "scripted_call"]

_files = pytest.StashKey[CallFiles]()
_players = pytest.StashKey[dict[int, CallPlayer]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("voiceagent", "scripted conversations")
    group.addoption(
        "--call-schedules", type=_from(1), default=5, help="under how many schedules *.call.yaml are played"
    )
    group.addoption("--call-runtime", type=_from(0), default=0, help="under how many through the whole runtime as well")
    group.addoption("--call-seed", type=_from(0), default=None, help="seed of the first schedule; 0 is the plain order")


def _from(least: int) -> Callable[[str], int]:
    """Return what reads a number: without any schedule nothing would be played, and everything pass."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what all files share."""
    config.stash[_files] = CallFiles()
    config.stash[_players] = {}
    config.addinivalue_line("markers", "through_runtime: a *.call.yaml that is played through the runtime as well")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect files of scripted conversations."""
    if not file_path.name.endswith(SUFFIX):
        return None
    return _CallFile.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType] - untyped


class _CallFile(pytest.File):
    def collect(self) -> Iterable[pytest.Item]:
        """Yield the conversations of the file."""
        stash = self.config.stash
        try:
            file = stash[_files].read(self.path)
        except VoiceAgentError as exc:
            raise self.CollectError(str(exc)) from exc
        player = stash[_players].setdefault(id(file.flow), CallPlayer(file.flow))
        for script in file.scripts:
            yield _CallItem.from_parent(  # pyright: ignore[reportUnknownMemberType] - pytest leaves it untyped
                self, name=script.name, script=script, player=player
            )


class _CallFailed(Exception):
    def __init__(self, failure: CallFailure) -> None:
        super().__init__(failure.act)
        self.failure = failure


class _ReplaysOtherwise(Exception):
    """Fails even a conversation that is known to fail."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(failure.act)
        self.failure = failure


class _CallItem(pytest.Item):
    def __init__(self, *, script: CallScript, player: CallPlayer, **more: object) -> None:
        super().__init__(**more)  # pyright: ignore[reportUnknownMemberType, reportArgumentType] - pytest's own
        self._script = script
        self._player = player
        if script.xfail is not None:
            self.add_marker(pytest.mark.xfail(reason=script.xfail, strict=True, raises=_CallFailed))

    def runtest(self) -> None:
        """Play the conversation; one in which a persona calls would need a model, and is skipped."""
        if self._script.persona is not None:
            pytest.skip(NEEDS_A_MODEL)
        seed = cast("int | None", self.config.getoption("--call-seed"))
        schedules = cast("int", self.config.getoption("--call-schedules"))
        runtime = cast("int", self.config.getoption("--call-runtime"))
        if self.get_closest_marker("through_runtime") is not None:
            runtime = max(runtime, 1)
        outcome = self._player.play(self._script, seed=seed, schedules=schedules, runtime=runtime)
        if outcome.failure is not None:
            raise (_CallFailed if outcome.failure.replays else _ReplaysOtherwise)(outcome.failure)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Tell a failure as somebody would who writes conversations."""
        if isinstance(excinfo.value, _CallFailed | _ReplaysOtherwise):
            return failure_text(excinfo.value.failure, path=self.path, name=self._script.name)
        if isinstance(excinfo.value, VoiceAgentError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the conversation stands."""
        line = self._script.source.line - 1 if self._script.source else None
        return self.path, line, self.name


class PlaceScriptedCall(Protocol):
    """Places a scripted call; see `ScriptedCall`."""

    def __call__(
        self,
        flow: Flow,
        *,
        model: ModelOfScript | ReplyModel,
        tools: Mapping[str, ScriptedTool] | None = None,
        timing: Timing | None = None,
        faults: Faults | None = None,
        schedule: Schedule | None = None,
    ) -> ScriptedCall:
        """Return a call that has come in and has been greeted."""
        ...


@pytest.fixture
def scripted_call() -> Iterator[PlaceScriptedCall]:
    """Lend a function that places a scripted call; every call it placed is replayed at the end of the test."""
    placed: list[ScriptedCall] = []

    def place(
        flow: Flow,
        *,
        model: ModelOfScript | ReplyModel,
        tools: Mapping[str, ScriptedTool] | None = None,
        timing: Timing | None = None,
        faults: Faults | None = None,
        schedule: Schedule | None = None,
    ) -> ScriptedCall:
        call = ScriptedCall(flow, model=model, tools=tools, timing=timing, faults=faults, schedule=schedule)
        placed.append(call)
        return call.start()

    yield place
    for call in placed:
        call.assert_replays()
