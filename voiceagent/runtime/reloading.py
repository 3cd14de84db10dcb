"""Reloading: whoever writes an agent saves a file, and the call that they are in goes on with what it says now.

For development only, whatever the caller's device is: on the telephone a call keeps the agent that answered it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from voiceagent.core.events import AgentChanged
from voiceagent.errors import OperatorError, PhaseError
from voiceagent.in_time import within
from voiceagent.logs import log_failure
from voiceagent.ports import Clock
from voiceagent.runtime.agent_versions import AgentFiles, KeptVersions, files_of, read_files
from voiceagent.runtime.loader import agent_folder, load_on_trial
from voiceagent.spec.difference import Change, differences
from voiceagent.spec.flow import Flow
from voiceagent.spec.verify import verify

__all__ = ["NewVersion", "NotTaken", "Reloading", "Saved"]

_log = logging.getLogger(__name__)
_LOOKS_EVERY_MS = 300
_WRITTEN_WITHIN_MS = 100
"""Editors write a file in several steps, and several files one after the other."""
_LOADED_WITHIN_MS = 5_000
_STILL_LOADING = (
    "it is still being loaded, and taken when that is done; what a module does while it is imported takes its time, "
    "and if it never ends no other save is seen in this call"
)
_FOR_THE_NEXT_CALL = "it holds for the next call; this one goes on as it was"

T = TypeVar("T")
_Stamps = dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What was saved is taken: the call goes on with it from the next entry into a phase."""

    flow: Flow
    event: AgentChanged
    files: tuple[str, ...]
    """Those that have changed."""
    changes: tuple[Change, ...]
    """What they say otherwise; none where only code did change, of which a flow says the names."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """What was saved is not taken: the agent is as it was."""

    reasons: tuple[str, ...]
    """Each with its file and line."""


Saved = NewVersion | NotTaken


class Reloading:
    """Follows the files of one agent during one call."""

    def __init__(
        self,
        agent: str | Path,
        flow: Flow,
        *,
        kept: KeptVersions,
        clock: Clock,
        require: Callable[[Flow], None] = lambda _: None,
    ) -> None:
        """The call begins with `flow`; `require` raises PhaseError for a flow that cannot be spoken here.

        Raises OperatorError where that version cannot be kept.
        """
        self._folder = agent_folder(agent)
        self._flow = flow
        self._kept = kept
        self._clock = clock
        self._require = require
        self._stamps = self._now() or {}
        self._unread: _Stamps | None = None
        """What was seen when a file could not be read."""
        self._loading: asyncio.Future[Saved | None] | None = None
        """What comes of the last save."""
        self._told_to_wait = False
        self._files = read_files(self._folder)
        kept.keep(self._files)

    @asynccontextmanager
    async def following(
        self, take: Callable[[Flow, AgentChanged], bool], tell: Callable[[Saved], None]
    ) -> AsyncGenerator[None]:
        """Follow for as long as the block lasts."""
        following = asyncio.create_task(self.follow(take, tell))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait((following,))

    async def follow(self, take: Callable[[Flow, AgentChanged], bool], tell: Callable[[Saved], None]) -> None:
        """Have every change taken and told, until this is cancelled; `take` says whether the call has begun."""
        while True:
            try:
                saved = await self.next()
                if isinstance(saved, NewVersion):
                    while not take(saved.flow, saved.event):
                        await self._clock.sleep(_LOOKS_EVERY_MS)
                tell(saved)
            except Exception as exc:  # noqa: BLE001 - an author's code may raise anything, and saves again
                log_failure(_log, exc, "what was saved could not be taken")
                tell(NotTaken((f"{self._folder}: it could not be taken: {type(exc).__name__}: {exc}",)))

    async def next(self) -> Saved:
        """Return what comes of the next change that makes a difference, or that it is still waited for.

        All in threads: an author's modules and disks may take their time, and somebody may be speaking.
        """
        while True:
            if self._loading is None:
                await self._change()
                self._loading, self._told_to_wait = _aside(self._saved), False
            saved = await self._loaded(self._loading)
            if saved is not None:
                return saved

    async def _change(self) -> None:
        """Wait until something has been saved, and nothing more is being written."""
        while True:
            await self._clock.sleep(_LOOKS_EVERY_MS)
            stamps = await _aside(self._now)
            if stamps is None or stamps == self._stamps:
                continue
            await self._clock.sleep(_WRITTEN_WITHIN_MS)
            if await _aside(self._now) == stamps:
                self._stamps = stamps
                return

    async def _loaded(self, loading: asyncio.Future[Saved | None]) -> Saved | None:
        if self._told_to_wait:
            await asyncio.wait((loading,))
        else:
            try:
                async with within(_LOADED_WITHIN_MS, self._clock):
                    await asyncio.wait((loading,))
            except TimeoutError:
                self._told_to_wait = True
                return NotTaken((f"{self._folder}: {_STILL_LOADING}",))
        self._loading = None
        try:
            return loading.result()
        except OSError as exc:
            if self._unread != self._stamps:  # gone in between, as editors do it: with the next look it is seen again
                self._unread, self._stamps = self._stamps, {}
                return None
            return NotTaken((f"{exc.filename or self._folder}: it cannot be read: {exc.strerror}",))

    def _saved(self) -> Saved | None:
        try:
            files = read_files(self._folder)
            if files.version == self._files.version:
                return None
            flow, forget = load_on_trial(self._folder)
        except PhaseError as exc:
            return NotTaken((str(exc),))
        taken = None
        try:
            taken = self._passed(flow, files)
        finally:
            if not isinstance(taken, NewVersion):
                forget()
        return taken

    def _passed(self, flow: Flow, files: AgentFiles) -> Saved | None:
        if read_files(self._folder).version != files.version:
            return None  # it goes on being written: that is seen with the next look
        reasons = (*(str(found) for found in verify(flow) if found.severity == "error"), *self._for_good(flow))
        if reasons:
            return NotTaken(reasons)
        try:
            self._require(flow)
            self._kept.keep(files)
        except (PhaseError, OperatorError) as exc:
            return NotTaken((str(exc),))
        return self._taken(flow, files)

    def _taken(self, flow: Flow, files: AgentFiles) -> NewVersion:
        changes = tuple(differences(self._flow, flow))
        changed = files.changed_since(self._files)
        said = tuple(dict.fromkeys(f"{change.of} {change.name}: {change.what or 'as a whole'}" for change in changes))
        event = AgentChanged(
            files.version, self._files.version, flow.sha256, flow.prompt_hashes, said or tuple(changed)
        )
        self._flow, self._files = flow, files
        return NewVersion(flow, event, changed, changes)

    def _for_good(self, flow: Flow) -> list[str]:
        """Return what cannot be otherwise in a call that has begun."""
        now = (("name", self._flow.name, flow.name), ("locale", self._flow.locale, flow.locale))
        return [
            f"{flow.source}: the flow's {what} was {before!r} and is {after!r}: {_FOR_THE_NEXT_CALL}"
            for what, before, after in now
            if before != after
        ]

    def _now(self) -> _Stamps | None:
        """Return what the files look like; None where one of them, or a folder, goes in this moment."""
        stamps: _Stamps = {}
        try:
            for name, file in files_of(self._folder):
                found = file.stat()
                stamps[name] = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            return None
        return stamps


def _aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """Do this in a thread that nobody waits for when the call is over: an author's module may never return."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, failure: Exception | None) -> None:
        if done.done():
            return  # nobody waits for it any more
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001 - whoever waits for it is told
            failure = exc
        with suppress(RuntimeError):  # the call is over, and so is its loop
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="reloading", daemon=True).start()
    return done
