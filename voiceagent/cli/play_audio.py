"""`voiceagent test --audio`: scripted conversations as spoken calls, in real time."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from voiceagent.cli.folders import require_writable
from voiceagent.cli.less_logged import less_logged
from voiceagent.cli.progress import progress
from voiceagent.speech import open_engines
from voiceagent.testing.audio_player import AudioOutcome, AudioPlayer
from voiceagent.testing.audio_results import READING_NOTES, audio_result
from voiceagent.testing.call_file import SUFFIX, CallFile
from voiceagent.testing.call_results import CallResult, Summary
from voiceagent.testing.call_script import CallScript

__all__ = ["audio_notes", "play_in_audio"]

_UNSAFE = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 100


async def play_in_audio(
    files: Sequence[CallFile], *, jobs: int, record: Path | None, tell: Callable[[CallResult], None]
) -> None:
    """Place a call per conversation, `jobs` at a time; `tell` has the results in the order of the files.

    Raises MissingExtra and WeightsError where the local engines are not there, OperatorError where nothing can be
    written to `record`.
    """
    if record is not None:
        await asyncio.to_thread(require_writable, record)
    async with AsyncExitStack() as closing:
        closing.enter_context(less_logged())
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory)
        closing.push_async_callback(asyncio.to_thread, folder.cleanup)
        with progress("loading the speech engines"):
            engines = await asyncio.to_thread(open_engines, "local")
        closing.push_async_callback(asyncio.to_thread, engines.close)
        players = {id(file.flow): AudioPlayer(file.flow, engines, Path(folder.name)) for file in files}
        await _play(files, players, jobs=jobs, record=record, tell=tell)


async def _play(
    files: Sequence[CallFile],
    players: Mapping[int, AudioPlayer],
    *,
    jobs: int,
    record: Path | None,
    tell: Callable[[CallResult], None],
) -> None:
    at_a_time = asyncio.Semaphore(jobs)

    async def play(file: CallFile, script: CallScript) -> AudioOutcome:
        async with at_a_time:
            return await players[id(file.flow)].play(
                script, record_to=record and record / _recording_name(file, script)
            )

    async with asyncio.TaskGroup() as calls:
        placed = [(file.path, calls.create_task(play(file, script))) for file in files for script in file.scripts]
        for path, call in placed:
            tell(audio_result(await call, path))


def _recording_name(file: CallFile, script: CallScript) -> str:
    name = _UNSAFE.sub("_", f"{file.path.name.removesuffix(SUFFIX)} {script.name}".casefold()).strip("_")
    return f"{name[:_LONGEST_NAME]}.wav"


def audio_notes(summary: Summary) -> str:
    """Return the sums over spoken calls, and how their results are to be read."""
    spoken = f"{summary.runtime.simulated_s:,.0f} s of calls in {summary.took_s:,.0f} s"
    return "\n".join([f"{summary.counts}, {spoken}", *(f"  {note}" for note in READING_NOTES)])
