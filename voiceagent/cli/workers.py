"""Workers: several processes that take calls from one port, and one that sees to it that they do.

The port is opened once and handed to every worker, so a connection goes to whoever is free, and none is lost with a
worker that dies: another one is started in its place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voiceagent.errors import OperatorError
from voiceagent.telephony.port import port_errors

__all__ = ["Inherited", "Supervisor", "inherited", "listening_socket"]

_log = logging.getLogger(__name__)

if sys.platform != "win32":
    _DRAIN, _CUT_OFF = signal.SIGUSR1, signal.SIGUSR2
    """What a supervisor sends its workers: take no new calls; cut off those there are. A worker that does not listen
    yet has no calls, and is ended by either."""

_VARIABLE = "VOICEAGENT_WORKER"
"""In a worker's environment: its number, the listening socket, and two pipes of the supervisor's."""
_RESTART_S = 1.0
_MOST_RESTART_S = 30.0
_STEADY_S = 60.0
"""A worker that has run for so long did not die of how it was started."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a worker was given by its supervisor."""

    number: int
    listening_fd: int
    ready_fd: int
    """To be written to, once, when calls are taken."""
    alive_fd: int
    """It can be read from when the supervisor is gone."""

    def is_ready(self) -> None:
        """Tell the supervisor that calls are taken."""
        os.write(self.ready_fd, b"+")
        os.close(self.ready_fd)

    def heeds_the_supervisor_alone(self) -> None:
        """Let what is sent to the whole group of processes have no effect here: the supervisor hands it on.

        systemd sends SIGTERM to all of them at once; a worker that counted it would take what the supervisor sends
        for the second one, and cut its calls off.
        """
        for sent in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sent, _nothing)  # not ignored: that would be handed on to programs that are started here

    def when_told(self, *, drain: Callable[[], None], cut_off: Callable[[], None]) -> None:
        """Call these, on the running event loop, when the supervisor says so; it needs an answer to neither."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(_DRAIN, drain)
        loop.add_signal_handler(_CUT_OFF, cut_off)

    def __str__(self) -> str:
        return f"{self.number},{self.listening_fd},{self.ready_fd},{self.alive_fd}"


def _nothing(_sent: int, _frame: object) -> None:
    """Do nothing about a signal."""


def inherited() -> Inherited | None:
    """Return what this process was given as a worker; None where it is none."""
    given = os.environ.get(_VARIABLE)
    return Inherited(*map(int, given.split(","))) if given else None


def listening_socket(host: str, port: int) -> socket.socket:
    """Open the port that the workers share. Raises OperatorError where that is not possible."""
    with port_errors(host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=socket.SOMAXCONN)


class Supervisor:
    """Starts the workers, restarts those that die, and hands signals on to them."""

    def __init__(self, command: Sequence[str], *, workers: int, listening: socket.socket) -> None:
        """`command` starts one worker, which finds out by `inherited` that it is one."""
        if sys.platform == "win32":
            raise OperatorError("--workers needs a system on which processes can share a port; Windows is none")
        self._command = command
        self._workers = workers
        self._listening = listening
        self._alive, self._held = os.pipe()
        """The second end is open for as long as this process is: when it is gone, the workers stop taking calls."""
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._signalled = False
        self._ready: set[int] = set()
        self._failure: str | None = None

    async def run(self, *, ready: Callable[[], None]) -> None:
        """Run until a signal has stopped all workers; `ready` is called once when all take calls.

        Raises OperatorError where a worker ends before it has ever taken calls: so would all that follow.
        """
        loop = asyncio.get_running_loop()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(wanted, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._hand_on, signal.SIGHUP)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(1, self._workers + 1):
                    tasks.create_task(self._keep(number, ready))
        finally:
            os.close(self._held)
            os.close(self._alive)
        if self._failure is not None:
            raise OperatorError(self._failure)

    def _on_signal(self) -> None:
        """The first signal lets running calls finish, the second does not."""
        if self._signalled:
            self._hand_on(_CUT_OFF)
        else:
            self._signalled = True
            self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        self._hand_on(_DRAIN)

    def _hand_on(self, sent: int) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(sent)

    async def _keep(self, number: int, ready: Callable[[], None]) -> None:
        """Have this worker running for as long as nobody stops the server."""
        pause_s, loop = _RESTART_S, asyncio.get_running_loop()
        while not self._stopping.is_set():
            began_s = loop.time()
            code = await self._run_one(number, ready)
            if self._stopping.is_set():
                return
            if code is not None and number not in self._ready:
                self._failure = f"worker {number} ended with {code} before it took calls"
                self._stop()
                return
            pause_s = _RESTART_S if loop.time() - began_s >= _STEADY_S else min(2 * pause_s, _MOST_RESTART_S)
            how = "is not there" if code is None else f"ended with {code}"
            _log.error("worker %d %s: another one is started in %.0f s", number, how, pause_s)
            await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _run_one(self, number: int, ready: Callable[[], None]) -> int | None:
        """Run this worker once; return its exit code, or None where the system has no room for it."""
        try:
            process, told = await self._started(number)
        except OSError as exc:
            _log.error("worker %d cannot be started: %s", number, exc.strerror or exc)
            return None
        self._running[number] = process
        if self._stopping.is_set():
            process.send_signal(_DRAIN)
        loop = asyncio.get_running_loop()
        loop.add_reader(told, self._told, number, told, ready)
        try:
            return await process.wait()
        finally:
            loop.remove_reader(told)
            os.close(told)
            del self._running[number]

    async def _started(self, number: int) -> tuple[asyncio.subprocess.Process, int]:
        """Start this worker; return it, and where it says that it is ready. Raises OSError, and leaves nothing open."""
        told, telling = os.pipe()
        os.set_blocking(told, False)
        try:
            given = Inherited(number, self._listening.fileno(), telling, self._alive)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, _VARIABLE: str(given)},
                pass_fds=(given.listening_fd, given.ready_fd, given.alive_fd),
                start_new_session=True,  # Ctrl-C goes to this process alone, which hands it on
            )
        except BaseException:
            os.close(told)
            raise
        finally:
            os.close(telling)
        return process, told

    def _told(self, number: int, told: int, ready: Callable[[], None]) -> None:
        """This worker takes calls, or has gone without ever doing so."""
        asyncio.get_running_loop().remove_reader(told)
        if os.read(told, 1) and number not in self._ready:
            self._ready.add(number)
            if len(self._ready) == self._workers:
                ready()
