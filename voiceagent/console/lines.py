"""The telephone lines of a server: media sockets and the control plane, put together behind one port or in one app."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from voiceagent.console.access import console_access
from voiceagent.console.app import control_plane
from voiceagent.console.call_records import CallRecords
from voiceagent.console.call_watch import CallWatch
from voiceagent.console.host import HostAccess
from voiceagent.console.may_go_on import MayGoOn
from voiceagent.console.web import Console
from voiceagent.core.ids import CallId
from voiceagent.ports import CallHandler, Clock, SharedState, SpentLately
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.admission import Admission
from voiceagent.telephony.asgi import media_route
from voiceagent.telephony.call_control import CallControl
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.telnyx_calls import TelnyxCalls
from voiceagent.telephony.transfers import Transfers

__all__ = ["open_lines"]


async def _never(agent: str, call: CallId) -> bool:
    del agent, call
    return False


@asynccontextmanager
async def open_lines(
    settings: TelephonySettings,
    *,
    handler: CallHandler,
    healthy: Callable[[], bool],
    clock: Clock,
    state: SharedState | None = None,
    may_go_on: MayGoOn = _never,
    controls: Mapping[str, CallControl] | None = None,
    proven: Callable[[], bool] = lambda: True,
    host: HostAccess | None = None,
    console_token: str | None = None,
    records: CallRecords | None = None,
    spent: SpentLately | None = None,
    mount: Callable[[ASGIApp], None] | None = None,
) -> AsyncGenerator[tuple[MediaServer, int]]:
    """Listen until the block is left; gives the media server and the port bound.

    With `mount` no port is opened, and 0 is given for it: `mount` gets the app that somebody else is to serve.
    `handler` is awaited for every call; no new one is taken unless the engines are `healthy`, and none is asked for
    unless it is `proven` that calls are answered; `host` may tell calls something. Whoever shows `console_token` sees
    the pages, as `console_access` says, with the calls of `records` on them; who serves the app has pages of their
    own. `state` is what this worker shares with others; without it there are none. A call whose connection broke is
    connected again where it `may_go_on`. `controls` are the providers' REST interfaces, by dialect; Telnyx' answers
    its calls. None is begun for whoever has `spent` too much. Raises OperatorError where the port cannot be opened.
    """
    state = state or MemoryStore(clock)
    tokens = CallTokens(state)
    transfers = Transfers(settings.transfer_targets, clock, state)
    limits = CallLimits(settings, state=state, clock=clock, spent=spent)

    def takes(agent: str) -> bool:
        return media.takes(agent)

    def connect(url: str, admitted: Admission) -> bool:
        return media.connect(url, admitted)

    access = console_access(settings, console_token) if mount is None else None
    console = Console(access, records) if access is not None else None
    detections = Detections(state, clock)
    controls = controls or {}
    telnyx = controls.get("telnyx")
    app = control_plane(
        settings,
        clock=clock,
        tokens=tokens,
        transfers=transfers,
        limits=limits,
        detections=detections,
        ready=lambda: media.ready and healthy(),
        takes=takes,
        may_go_on=may_go_on,
        connect=connect,
        telnyx=telnyx if isinstance(telnyx, TelnyxCalls) else None,
        proven=proven,
        host=host,
        console=console,
    )
    media = MediaServer(
        settings,
        handler=handler,
        clock=clock,
        tokens=tokens,
        transfers=transfers,
        limits=limits,
        detections=detections,
        controls=controls,
        shared=state,
    )
    if mount is None:
        pages = CallWatch(records, access) if records is not None and access is not None else None
        async with media.serving(app, pages) as port:
            yield media, port
    else:
        app.router.routes.append(media_route(media, clock=clock))
        async with media.taking_calls():
            mount(app)
            yield media, 0
