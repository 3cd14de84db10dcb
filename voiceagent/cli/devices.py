"""`voiceagent devices`: the microphones and loudspeakers of this machine, and whether they can be used."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from voiceagent.cli.plain_console import plain_console
from voiceagent.cli.talking.dashboard import meter
from voiceagent.cli.talking.sound import INPUT, OUTPUT, opened_sound, without_sound
from voiceagent.devices.echo import EchoHeard
from voiceagent.devices.portaudio import PortAudio, SoundDevice, quiet_libraries
from voiceagent.devices.sound_check import Level, look_for_echo, measure_level
from voiceagent.errors import OperatorError
from voiceagent.runtime.clock import SystemClock

__all__ = ["devices"]

_LISTEN_MS = 4_000


@dataclass(frozen=True, slots=True)
class _Checked:
    microphone: str
    loudspeaker: str
    level: Level
    echo: EchoHeard | None

    def plain(self) -> dict[str, object]:
        """Return it for machines."""
        return {
            "microphone": self.microphone,
            "loudspeaker": self.loudspeaker,
            "level_dbfs": round(self.level.dbfs, 1),
            "verdict": self.level.verdict,
            "echo": asdict(self.echo) if self.echo is not None else None,
        }


def devices(
    check: Annotated[bool, typer.Option("--check", help="Listen for four seconds, and play a short sound.")] = False,  # noqa: FBT002 - how Typer declares a flag
    microphone: Annotated[str | None, INPUT] = None,
    loudspeaker: Annotated[str | None, OUTPUT] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """List the microphones and loudspeakers that `talk` can use; with --check, find out how well they do.

    Exit code 0: there are both, and what was checked is good. 1: one is missing, or nobody would be understood.

    Example: voiceagent devices

    Example, how loud is the headset: voiceagent devices --check --input headset
    """
    with quiet_libraries():
        audio = PortAudio()
        found = audio.devices()
        audio.close()
        console = plain_console()
        if not as_json:
            _list(console, found)
        missing = _missing(found)
        checked = None
        if check and not missing:
            checked = asyncio.run(_check(microphone, loudspeaker, None if as_json else console))
        if as_json:
            plain = {"devices": [asdict(device) for device in found], "check": checked and checked.plain()}
            typer.echo(json.dumps(plain, ensure_ascii=False, indent=2))
        elif checked is not None:
            _tell(console, checked)
        if missing:
            raise OperatorError(
                f"there is no {' and no '.join(missing)} on this machine: connect one, or start its sound server\n"
                f"{without_sound('AGENT')}"
            )
    if checked is not None and not checked.level.good:
        raise typer.Exit(1)


def _missing(found: tuple[SoundDevice, ...]) -> list[str]:
    there = {
        "microphone": any(device.inputs for device in found),
        "loudspeaker": any(device.outputs for device in found),
    }
    return [what for what, is_there in there.items() if not is_there]


def _list(console: Console, found: tuple[SoundDevice, ...]) -> None:
    if not found:
        return
    table = Table("", "name", "microphone", "loudspeaker")
    for device in found:
        table.add_row(
            str(device.number),
            device.name,
            _use(device.inputs, default=device.default_input),
            _use(device.outputs, default=device.default_output),
        )
    console.print(table)


def _use(channels: int, *, default: bool) -> str:
    return "" if not channels else "yes, the default" if default else "yes"


async def _check(microphone: str | None, loudspeaker: str | None, console: Console | None) -> _Checked:
    clock = SystemClock()
    async with opened_sound(microphone, loudspeaker, agent="AGENT") as sound:
        streams = sound.streams
        if console is None:
            level = await measure_level(streams, clock, ms=_LISTEN_MS, show=lambda _: None)
        else:
            console.print(f"say something to {sound.microphone.name!r}, for four seconds")
            with Live(console=console, transient=True, auto_refresh=False) as live:
                level = await measure_level(
                    streams, clock, ms=_LISTEN_MS, show=lambda dbfs: live.update(meter(dbfs), refresh=True)
                )
        echo = await look_for_echo(streams, clock)
        return _Checked(sound.microphone.name, sound.loudspeaker.name, level, echo)


def _tell(console: Console, checked: _Checked) -> None:
    console.print(f"level: {checked.level.dbfs:.0f} dBFS, {checked.level.verdict}", highlight=False)
    echo = checked.echo
    if echo is None:
        console.print("echo: none, the agent can be interrupted at any time", highlight=False)
        return
    console.print(
        f"echo: the microphone hears the loudspeaker, {echo.level_db:+.0f} dB after {echo.after_ms} ms: "
        "the extra 'echo' takes it out, else you take turns (pip install 'voiceagent[echo]')",
        highlight=False,
    )
