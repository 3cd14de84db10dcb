"""A caller with a ready-made SIP telephone, baresip: it says what is in a file and writes down what it hears."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.peers.exchange import Exchange, free_port
from tests.peers.recordings import spoken, write_wav

__all__ = ["call_with_baresip"]

_MOST_S = 70
_LISTENS_MS = 20_000
"""After the last word: baresip hangs up where its file ends."""


async def call_with_baresip(
    exchange: Exchange, extension: str, folder: Path, *, says: Sequence[tuple[int, str]]
) -> Path:
    """Call an extension, say these files, each so long after the one before; return what was heard, once it is over."""
    await asyncio.to_thread(_configure, folder, says)
    target = f"d sip:{extension}@127.0.0.1:{exchange.sip_port}"
    baresip = await asyncio.create_subprocess_exec(
        *("baresip", "-f", str(folder), "-e", target, "-t", str(_MOST_S)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=1_000_000,
    )
    try:
        async with asyncio.timeout(_MOST_S + 15):
            assert baresip.stdout is not None
            with suppress(asyncio.IncompleteReadError):
                await baresip.stdout.readuntil(b"terminated")
        await asyncio.sleep(1)  # for the recording to be written
    finally:
        with suppress(ProcessLookupError):
            os.killpg(baresip.pid, signal.SIGKILL)
        await baresip.wait()
    return await asyncio.to_thread(_only, folder, "dump-*-dec.wav")


def _configure(folder: Path, says: Sequence[tuple[int, str]]) -> None:
    folder.mkdir()
    words = b"".join(bytes(16 * pause_ms) + spoken(name) for pause_ms, name in says)
    write_wav(folder / "caller.wav", words + bytes(16 * _LISTENS_MS))
    rtp = free_port(socket.SOCK_DGRAM) // 2 * 2
    settings = {
        "module_path": "/usr/lib/baresip/modules",
        "audio_source": f"aufile,{folder}/caller.wav",
        "audio_player": "aubridge,nowhere",
        "snd_path": str(folder),
        "sip_listen": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
        "rtp_ports": f"{rtp}-{rtp + 20}",
        "ausrc_srate": "8000",
        "auplay_srate": "8000",
        "ausrc_channels": "1",
        "auplay_channels": "1",
    }
    modules = [f"module {name}.so\n" for name in ("g711", "aufile", "aubridge", "sndfile")]
    modules += [f"module_app {name}.so\n" for name in ("account", "menu")]
    text = "".join(modules) + "".join(f"{name}\t{value}\n" for name, value in settings.items())
    (folder / "config").write_text(text)
    (folder / "accounts").write_text("<sip:+493012345678@127.0.0.1>;regint=0;audio_codecs=pcmu\n")
    (folder / "contacts").write_text("")


def _only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file
