"""What a page is told of calls: the list of them, and one that is looked at, as they go on.

A viewer is told what has changed since it was told last, when it has taken that. So one message waits for each of them
at most: whoever is slow misses what was in between, and is up to date with the next.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from http import HTTPStatus
from threading import Event
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import cookie_parser
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import MultipleValuesError
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from voiceagent.console.access import ConsoleAccess, NotLetIn
from voiceagent.console.call_file import Resting
from voiceagent.console.call_records import CallRecords, Listed
from voiceagent.json_reader import JsonReader
from voiceagent.logs import log_failure

__all__ = ["CallWatch"]

_log = logging.getLogger(__name__)

PATH = "/console/events"
_MOST_VIEWERS = 32
_MOST_LISTED = 200
_MOST_AT_ONCE = 400
"""Rows of a call in one message: the next ones follow when it is taken."""
_LOOKED_AT_EVERY_S = 0.25
_RESTS = 4
"""Times as long as it took to look: a call of hours is looked at less often."""
_GONE_AFTER_S = 30
"""A viewer who has not taken a message by then looks at nothing."""
_LISTS = ("spans", "points", "turns", "silences")


class _Watch(BaseModel):
    """Look at a call, with its words or with dots in their place; at none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    watch: str | None = Field(max_length=128)
    shown: bool = False
    number: int = 0
    """Comes back with what is told: a page that has asked for something else by then passes it over."""


class _Search(BaseModel):
    """Look for words in all calls."""

    model_config = ConfigDict(extra="forbid", strict=True)

    search: str = Field(max_length=200)
    shown: bool = False


_watch, _search = JsonReader(_Watch), JsonReader(_Search)


@dataclass(slots=True)
class _Told:
    """What one viewer has of one call."""

    record: str
    shown: bool
    number: int
    head: dict[str, object] = field(default_factory=dict[str, object])
    rows: dict[str, list[object]] = field(default_factory=dict[str, list[object]])
    left: bool = True
    """There is more to be told at once."""
    seen: tuple[object, ...] = ()
    """What the call looked like when it was looked at last."""
    waiting: Mapping[str, list[object]] | None = None
    """What did not fit into the last message."""


@dataclass(slots=True, eq=False)
class _Viewer:
    """A page that looks."""

    address: str
    watching: _Told | None = None
    searching: _Search | None = None
    """What is to be searched for next."""
    found: asyncio.Future[str] | None = None
    """The answer to what was searched for last, until it is told."""
    stop: Event = field(default_factory=Event)
    """Ends the search that goes on."""
    listed: Listed | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)


class CallWatch:
    """Serves the sockets of the pages. Fulfils `PageSockets`."""

    def __init__(self, records: CallRecords, access: ConsoleAccess) -> None:
        self._records = records
        self._access = access
        self._viewers: dict[_Viewer, ServerConnection] = {}

    @property
    def path(self) -> str:
        """Where they come in."""
        return PATH

    def admit(self, request: Request) -> HTTPStatus | None:
        """Return why a socket is refused: it is let in by what lets the pages in."""
        no = self._why_not(request)
        if no is None:
            return None
        _log.warning("refused %s with %d: %s", PATH, *no)
        return no.status

    def _why_not(self, request: Request) -> NotLetIn | None:
        try:
            headers = cast("Mapping[str, str]", request.headers)
            cookies = cookie_parser(headers.get("cookie", ""))
            no = self._access.why_not_asked_here(headers) or self._access.why_not_known(cookies)
        except MultipleValuesError:
            return NotLetIn(HTTPStatus.BAD_REQUEST, "says something twice")
        if no is None and len(self._viewers) >= _MOST_VIEWERS:
            return NotLetIn(HTTPStatus.SERVICE_UNAVAILABLE, f"{_MOST_VIEWERS} pages look already")
        return no

    async def close(self) -> None:
        """Close all of them: the server is about to stop."""
        closing = [connection.close(1001, "server is going away") for connection in self._viewers.values()]
        await asyncio.gather(*closing, return_exceptions=True)

    async def serve(self, connection: ServerConnection) -> None:
        """Tell a page what it asks for until it goes."""
        peer = cast("tuple[str, int] | None", connection.remote_address)
        viewer = _Viewer(peer[0] if peer else "unknown")
        self._viewers[viewer] = connection
        telling = asyncio.ensure_future(self._tell(viewer, connection))
        try:
            async for message in connection:
                self._asked(viewer, message)
        except ConnectionClosed:
            return
        finally:
            viewer.stop.set()
            telling.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await telling
            del self._viewers[viewer]
            if not self._viewers:
                self._records.reader.submit(self._records.forget)

    # --- what it asks for --------------------------------------------------------------------------------------------

    def _asked(self, viewer: _Viewer, message: str | bytes) -> None:
        for reader in (_watch, _search):
            with suppress(ValidationError):
                asked = reader.read(message)
                if asked.shown:
                    what = f"of call {asked.watch}" if isinstance(asked, _Watch) else "to be searched"
                    _log.warning("personal data %s is shown to a viewer at %s", what, viewer.address)
                if isinstance(asked, _Watch):
                    viewer.watching = _Told(asked.watch, asked.shown, asked.number) if asked.watch is not None else None
                else:
                    viewer.stop.set()
                    viewer.searching, viewer.found = asked, None
                viewer.asked.set()
                return
        _log.warning("a viewer at %s has asked for nothing that there is", viewer.address)

    # --- what it is told ---------------------------------------------------------------------------------------------

    async def _tell(self, viewer: _Viewer, connection: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                viewer.asked.clear()
                looked_s = 0.0
                for look in (self._list, self._found, self._call):
                    began_s = loop.time()
                    message = await look(viewer)
                    looked_s += loop.time() - began_s
                    if message is not None:
                        async with asyncio.timeout(_GONE_AFTER_S):
                            await connection.send(message)
                if viewer.watching is None or not viewer.watching.left:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(max(_LOOKED_AT_EVERY_S, _RESTS * looked_s)):
                            await viewer.asked.wait()
        except TimeoutError:
            _log.warning("a viewer at %s takes nothing any more", viewer.address)
            connection.transport.abort()
        except ConnectionClosed:
            return
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a viewer, who is told so and may come again
            log_failure(_log, exc, "a viewer could not be told of calls")
            await connection.close(1011, "internal error")

    async def _read(self, look: Callable[[], str | None]) -> str | None:
        """Look at records in their thread."""
        return await asyncio.get_running_loop().run_in_executor(self._records.reader, look)

    async def _list(self, viewer: _Viewer) -> str | None:
        def look() -> str | None:
            listed = self._records.listed()
            if listed is viewer.listed or listed == viewer.listed:
                return None
            viewer.listed = listed
            live = [row for row in listed.rows if row.state == "live"]
            past = [row for row in listed.rows if row.state != "live"]
            return _json(
                {
                    "live": [asdict(row) for row in live],
                    "past": [asdict(row) for row in past[:_MOST_LISTED]],
                    "not_listed": len(past[_MOST_LISTED:]) + len(listed.older),
                    "where": self._records.where,
                }
            )

        return await self._read(look)

    async def _found(self, viewer: _Viewer) -> str | None:
        """Have searched what was asked for, and return what has been found meanwhile: nobody waits for a search."""
        wanted, viewer.searching = viewer.searching, None
        if wanted is not None:
            stop, listed = Event(), viewer.listed or Listed()
            search = partial(self._searched, wanted, listed, stop.is_set)
            viewer.stop = stop
            viewer.found = asyncio.get_running_loop().run_in_executor(self._records.searcher, search)
            viewer.found.add_done_callback(lambda _: viewer.asked.set())
        if viewer.found is None or not viewer.found.done():
            return None
        found, viewer.found = viewer.found, None
        return found.result()

    def _searched(self, wanted: _Search, listed: Listed, stopped: Callable[[], bool]) -> str:
        found = self._records.search(wanted.search, listed, shown=wanted.shown, stopped=stopped)
        return _json({"search": wanted.search, "shown": wanted.shown, "found": [asdict(each) for each in found]})

    async def _call(self, viewer: _Viewer) -> str | None:
        told = viewer.watching
        return await self._read(lambda: self._changes(told)) if told is not None else None

    def _changes(self, told: _Told) -> str | None:
        """Return what is to be told of a call; None where all has been."""
        if told.waiting is None:
            return self._looked_at(told)
        return self._piece(told, {}, told.waiting)

    def _looked_at(self, told: _Told) -> str | None:
        file, row = self._records.opened(told.record), self._records.row(told.record)
        seen = (file.read_bytes, file.wrong, row.state) if file is not None and row is not None else ("gone",)
        told.left = file is not None and file.behind
        if seen == told.seen:
            return None
        told.seen = seen
        if file is None or row is None:
            return _json({"call": told.record, "number": told.number, "gone": True})
        view = file.view(shown=told.shown, live=row.state == "live")
        view["recorded"] = not file.behind and row.state != "live" and self._records.recording(told.record) is not None
        rows = {name: cast("list[object]", view.pop(name, [])) for name in _LISTS}
        head = {name: value for name, value in view.items() if told.head.get(name) != value}
        told.head = view
        return self._piece(told, head, rows)

    @staticmethod
    def _piece(told: _Told, head: Mapping[str, object], rows: Mapping[str, list[object]]) -> str:
        """Return as much as fits into a message; what does not waits for the next one."""
        changed, more = _changed_rows(told.rows, rows)
        told.waiting = rows if more else None
        told.left = told.left or more
        return _json({"call": told.record, "number": told.number, "head": head, "rows": changed, "more": more})


def _changed_rows(told: dict[str, list[object]], now: Mapping[str, list[object]]) -> tuple[dict[str, object], bool]:
    """Return which rows are other ones, at most so many at once, and whether some are left; `told` has them then."""
    changed: dict[str, object] = {}
    room, rest = _MOST_AT_ONCE, Resting()
    for name, rows in now.items():
        had = told.setdefault(name, [])
        del had[len(rows) :]
        at: dict[int, object] = {}
        for number, row in enumerate(rows):
            rest()
            if room and (number >= len(had) or had[number] != row):
                had[number : number + 1] = [row]
                at[number] = row
                room -= 1
        changed[name] = {"length": len(had), "at": at}
    return changed, room == 0


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
