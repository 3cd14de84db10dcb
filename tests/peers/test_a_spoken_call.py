"""A person calls the bank from a SIP telephone: through Asterisk, to the real agent, and hears the right balance."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import wave
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from bank_api import BankApi
from ear import hears, what_the_agent_said

from tests.peers.exchange import Exchange, free_port
from voiceagent.cli.agent_server import ServerSettings, ServiceSettings, agent_server
from voiceagent.errors import VoiceFailed
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import AudioSocketLine, TelephonySettings

pytestmark = [pytest.mark.peers, pytest.mark.engines, pytest.mark.anyio, pytest.mark.timeout(150)]

PROJECT = Path(__file__).parents[2]
SAYS = [(6_000, "01_greeting_balance"), (7_000, "03_account_number"), (6_000, "04_pin"), (20_000, "20_goodbye")]
"""So long after what was said before."""
ACCOUNT = "4519227"
CALL_S = 70


def voice(to: Path) -> None:
    """Write what the caller says, with the pauses between, at the telephone's rate."""
    spoken = bytearray()
    for pause_ms, name in SAYS:
        with wave.open(str(PROJECT / "demo" / "speech" / f"{name}.wav")) as recorded:
            samples = np.frombuffer(recorded.readframes(recorded.getnframes()), "<i2").astype(float)
            step = recorded.getframerate() // 8_000
        spoken += bytes(pause_ms * 16)
        spoken += samples[: len(samples) // step * step].reshape(-1, step).mean(axis=1).astype("<i2").tobytes()
    with wave.open(str(to), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8_000)
        written.writeframes(bytes(spoken) + bytes(20_000 * 16))


def only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def as_the_ear_wants_it(folder: Path, to: Path) -> None:
    """Put what baresip has decoded, which the caller heard, on the agent's side of a stereo recording."""
    with wave.open(str(only(folder, "dump-*-dec.wav"))) as mono:
        agent = np.frombuffer(mono.readframes(mono.getnframes()), "<i2")
    with wave.open(str(to), "wb") as stereo:
        stereo.setnchannels(2)
        stereo.setsampwidth(2)
        stereo.setframerate(8_000)
        stereo.writeframes(np.stack([np.zeros_like(agent), agent], axis=1).tobytes())


async def heard_in(recording: Path) -> tuple[str, ...]:
    """Return what the ear makes of it: a machine that has much else to do may keep it from that once."""
    with suppress(VoiceFailed):
        return await what_the_agent_said(recording)
    return await what_the_agent_said(recording)


async def call(exchange: Exchange, extension: str, folder: Path) -> None:
    """Call with baresip, which says what is in a file and writes down what it hears."""
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
    target = f"d sip:{extension}@127.0.0.1:{exchange.sip_port}"
    baresip = await asyncio.create_subprocess_exec(
        *("baresip", "-f", str(folder), "-e", target, "-t", str(CALL_S)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=1_000_000,
    )
    try:
        async with asyncio.timeout(CALL_S + 15):
            assert baresip.stdout is not None
            with suppress(asyncio.IncompleteReadError):
                await baresip.stdout.readuntil(b"terminated")
        await asyncio.sleep(1)  # for the recording to be written
    finally:
        with suppress(ProcessLookupError):
            os.killpg(baresip.pid, signal.SIGKILL)
        await baresip.wait()


@pytest.mark.parametrize("extension", ["ws-json-ulaw", "as8"])
async def test_a_caller_hears_the_balance_that_the_bank_has(exchange: Exchange, tmp_path: Path, extension: str):
    voice(tmp_path / "caller.wav")
    with BankApi() as bank:
        settings = ServerSettings(
            telephony=TelephonySettings(
                agents=frozenset({"desk"}),
                asterisk_password="s3cret",
                port=exchange.agent_port,
                audiosockets=(AudioSocketLine("desk", port=exchange.audiosocket_port),),
            ),
            journals=tmp_path / "journals",
            service=ServiceSettings(
                url=bank.url,
                token_url=f"{bank.url}/oauth/token",
                client_id=bank.settings.client_id,
                client_secret=bank.settings.client_secret,
            ),
        )
        flow = await asyncio.to_thread(load_flow, PROJECT / "phases" / "bank")
        async with agent_server(settings, {"desk": flow}) as server:
            await call(exchange, extension, tmp_path)
            await server.drain(at_most_s=20)
        balance = bank.balance_of(ACCOUNT, "checking")
    journal = await asyncio.to_thread(read_journal, only(tmp_path / "journals", "*.jsonl"))
    phases = [seen.phase for seen in inspect_journal(journal).phases]
    assert phases[:3] == ["greeting", "authentication", "account_inquiry"]
    as_the_ear_wants_it(tmp_path, tmp_path / "stereo.wav")
    assert any(hears(balance, words) for words in await heard_in(tmp_path / "stereo.wav"))
