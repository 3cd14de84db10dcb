"""A room without walls: a sound server with two devices that are none, somebody who speaks, and an ear."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SPEECH = PROJECT / "demo" / "speech"
RATE_HZ = 8_000
_LOUD = 300
_PAUSE_MS = 900
"""The agent makes none of this length, between two sentences either."""
_LOOK_EVERY_S = 0.05


class Room:
    """PulseAudio, with the agent's loudspeaker as one device and the caller's microphone as the other."""

    def __init__(self, folder: Path) -> None:
        runtime, home = folder / "runtime", folder / "home"
        for place in (runtime, home):
            place.mkdir(mode=0o700)
        client = folder / "client.conf"
        client.write_text("autospawn = no\n")
        unwanted = {"PULSE_SERVER", "PULSE_RUNTIME_PATH"}
        self.environment: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if name not in unwanted},
            "XDG_RUNTIME_DIR": str(runtime),
            "HOME": str(home),
            "PULSE_CLIENTCONFIG": str(client),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'demo'}",
            "COLUMNS": "120",
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._ear: subprocess.Popen[bytes] | None = None
        self.heard = bytearray()
        """The agent's loudspeaker since the beginning, 16-bit samples at 8 kHz."""
        self._last_loud = 0

    def open(self) -> None:
        """Start the server, connect both devices, and begin to listen."""
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "-L", "module-native-protocol-unix"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        within(10, self._pactl_works, "the sound server does not answer")
        for name in ("agent", "caller"):
            self.load("module-null-sink", f"sink_name={name}")
        self.pactl("set-default-sink", "agent")
        self.pactl("set-default-source", "caller.monitor")
        listening = ("parec", "--device=agent.monitor", "--raw", "--format=s16le", f"--rate={RATE_HZ}", "--channels=1")
        self._ear = subprocess.Popen([*listening, "--latency-msec=20"], env=self.environment, stdout=subprocess.PIPE)
        self._listening = threading.Thread(target=self._listen, args=(self._ear,), daemon=True)
        self._listening.start()

    def close(self) -> None:
        """Stop what was started."""
        for process in (self._ear, self._server):
            if process is not None:
                process.terminate()
                process.wait(10)
        if self._ear is not None and self._ear.stdout is not None:
            self._listening.join(5)
            self._ear.stdout.close()

    # --- devices ---

    def load(self, *module: str) -> str:
        return self.pactl("load-module", *module).strip()

    def echoes(self) -> None:
        """Let the microphone hear the loudspeaker, a moment later."""
        self.load("module-loopback", "source=agent.monitor", "sink=caller", "latency_msec=40", "adjust_time=0")

    def unplug(self) -> None:
        """Pull both devices out."""
        self.pactl("unload-module", "module-null-sink")

    def pactl(self, *command: str) -> str:
        done = subprocess.run(
            ["pactl", *command], env=self.environment, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout

    def _pactl_works(self) -> bool:
        asked = subprocess.run(["pactl", "info"], env=self.environment, capture_output=True, timeout=10, check=False)
        return asked.returncode == 0

    # --- the caller ---

    def says(self, name: str) -> None:
        """Speak into the microphone, to the end of it."""
        wav = next(SPEECH.glob(f"{name}*.wav"))
        subprocess.run(["paplay", "--device=caller", str(wav)], env=self.environment, timeout=30, check=True)

    def begins_to_say(self, name: str) -> subprocess.Popen[bytes]:
        wav = next(SPEECH.glob(f"{name}*.wav"))
        return subprocess.Popen(["paplay", "--device=caller", str(wav)], env=self.environment)

    # --- the ear ---

    @property
    def quiet_ms(self) -> int:
        """For how long nothing has been heard of the agent."""
        return (len(self.heard) - self._last_loud) // (RATE_HZ // 1_000 * 2)

    def until_the_agent_is_done(self, *, quiet_ms: int = 1_000, seconds: float = 30) -> None:
        """Wait until something has been heard from now on, and then nothing for so long."""
        from_here = len(self.heard)
        within(seconds, lambda: self._last_loud > from_here, "nothing is heard of the agent")
        within(seconds, lambda: self.quiet_ms >= quiet_ms, "the agent does not stop talking")

    def until_the_agent_speaks(self, seconds: float = 30) -> None:
        from_here = len(self.heard)
        within(seconds, lambda: self._last_loud > from_here, "nothing is heard of the agent")

    def sounded_ms(self, from_byte: int) -> int:
        """Return how long the agent was heard, from there to when it was silent for a while."""
        frame_ms = 10
        size = RATE_HZ // 1_000 * frame_ms
        samples = array("h", bytes(self.heard[from_byte // 2 * 2 :]))
        loud = [at for at in range(0, len(samples), size) if max(map(abs, samples[at : at + size])) > _LOUD]
        last = loud[0]
        for at in loud:
            if at - last > size * _PAUSE_MS // frame_ms:
                break
            last = at
        return (last - loud[0]) // size * frame_ms + frame_ms

    def _listen(self, ear: subprocess.Popen[bytes]) -> None:
        assert ear.stdout is not None
        rest = b""
        while piece := os.read(ear.stdout.fileno(), 4_096):
            audio = rest + piece
            rest = audio[len(audio) // 2 * 2 :]
            samples = array("h", audio[: len(audio) // 2 * 2])
            self.heard += samples.tobytes()
            if samples and (max(samples) > _LOUD or min(samples) < -_LOUD):
                self._last_loud = len(self.heard)


class Talk:
    """`voiceagent talk`, or another command, in a process of its own, and what it prints."""

    def __init__(self, python: str, room: Room, command: Sequence[str], folder: Path) -> None:
        self.lines: list[str] = []
        self._errors = folder / "stderr"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [python, *command], cwd=folder, env=room.environment, stdout=subprocess.PIPE, stderr=errors
            )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.decode().rstrip())

    def until(self, pattern: str, seconds: float = 40) -> None:
        """Wait until a line is printed that has this in it."""
        within(seconds, lambda: bool(self.found(pattern)) or self.over, f"no line has {pattern!r}", self._told)
        assert self.found(pattern), f"it has ended without {pattern!r}: {self._told()}"

    def found(self, pattern: str) -> list[str]:
        return [line for line in tuple(self.lines) if re.search(pattern, line)]

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def until_it_ends(self, seconds: float = 40) -> int:
        within(seconds, lambda: self.over, "it does not end", self._told)
        self._reading.join(5)
        return self._process.returncode

    def stop(self) -> None:
        """Have it gone, whatever it does."""
        if not self.over:
            self._process.kill()
        self._process.wait(10)
        self._reading.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def journal(self) -> Path:
        (line,) = self.found("^journal: ")
        return Path(line.removeprefix("journal: "))

    def _told(self) -> str:
        return "\n".join([*self.lines[-12:], self.errors])


def within(seconds: float, holds: Callable[[], bool], otherwise: str, told: Callable[[], str] = str) -> None:
    """Wait until something holds: what goes on is sound, which takes its time."""
    until_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until_s, f"{otherwise} within {seconds} s\n{told()}"
        time.sleep(_LOOK_EVERY_S)
