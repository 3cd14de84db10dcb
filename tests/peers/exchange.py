"""A telephone exchange: a real Asterisk, run for as long as some tests need it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Exchange", "free_port", "peers_root", "running_exchange"]

_CONFIGURATION = Path(__file__).parent / "asterisk"
_BOOTS_WITHIN_S = 30


def peers_root() -> Path | None:
    """Return the folder in which Asterisk is; None where there is none."""
    root = Path(os.environ.get("VOICEAGENT_PEERS", Path.home() / ".cache" / "voiceagent-peers")) / "sid"
    return root if (root / ".peers").exists() else None


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that nobody listens on, nor will be given to a connection that is made meanwhile."""
    for _ in range(50):
        port = random.randrange(15_000, 32_000)  # noqa: S311 - below those that Linux gives out (ip_local_port_range)
        if _is_free(port, kind):
            return port
    raise RuntimeError("there is no free port")


def _free_rtp_ports(count: int = 40) -> int:
    """Return the first of so many free ports, an even one."""
    for _ in range(50):
        first = free_port(socket.SOCK_DGRAM) // 2 * 2
        if first + count < 60_000 and all(_is_free(first + n) for n in range(count)):
            return first
    raise RuntimeError("there is no row of free ports")


def _is_free(port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@dataclass
class Exchange:
    """Where it listens, and where it finds the agent."""

    root: Path
    name: str
    agent_port: int = field(default_factory=free_port)
    audiosocket_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    sip_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    rtp_port: int = field(default_factory=_free_rtp_ports)

    @property
    def home(self) -> Path:
        return self.root / "peers" / self.name

    def lay_out(self) -> None:
        for folder in ("etc", "log", "run", "spool"):
            (self.home / folder).mkdir(parents=True)
        values = {
            "HOME": f"/peers/{self.name}",
            "HTTP_PORT": self.http_port,
            "SIP_PORT": self.sip_port,
            "RTP_START": self.rtp_port,
            "RTP_END": self.rtp_port + 39,
            "AGENT_PORT": self.agent_port,
            "AUDIOSOCKET_PORT": self.audiosocket_port,
        }
        for template in _CONFIGURATION.glob("*.conf"):
            text = template.read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            (self.home / "etc" / template.name).write_text(text)

    def asterisk(self, *arguments: str) -> list[str]:
        return ["chroot", str(self.root), "asterisk", "-C", f"/peers/{self.name}/etc/asterisk.conf", *arguments]

    def says(self, command: str) -> str:
        """Return what Asterisk answers to a command."""
        asked = subprocess.run(self.asterisk("-rx", command), capture_output=True, text=True, timeout=20, check=False)
        return asked.stdout

    def hang_up_all(self) -> None:
        """End every call; returns when there is none."""
        for _ in range(50):
            if "0 active channels" in self.says("core show channels count"):
                return
            self.says("channel request hangup all")
            time.sleep(0.1)
        raise RuntimeError(f"there are calls that do not end:\n{self.says('core show channels')}")

    @property
    def log(self) -> str:
        return (self.home / "log" / "messages").read_text(errors="replace")


@contextmanager
def running_exchange(root: Path) -> Generator[Exchange]:
    """Run an Asterisk of its own ports and folders."""
    exchange = Exchange(root, f"{os.getpid()}-{time.monotonic_ns()}")
    exchange.lay_out()
    with (exchange.home / "log" / "output").open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *exchange.asterisk("-U", "root", "-G", "root", "-f", "-vvv")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _wait_until_up(exchange, process)
            yield exchange
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            shutil.rmtree(exchange.home, ignore_errors=True)


def _wait_until_up(exchange: Exchange, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _BOOTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        if "fully booted" in exchange.says("core waitfullybooted"):
            return
        time.sleep(0.2)
    raise RuntimeError(f"Asterisk does not start:\n{exchange.log[-2000:]}")
