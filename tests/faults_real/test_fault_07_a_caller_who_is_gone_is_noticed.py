"""Fault 7: the client is stopped in the middle of a call; its kernel goes on acknowledging, nobody reads or answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.faults_real.processes import ROOT, ServerProcess, write_shop
from voiceagent.core.events import CallEnded, LegLost
from voiceagent.runtime.journal_file import read_journal

RESUME_WITHIN_MS = 2_000
"""Whoever broke off may be connected again for so long; then the record is closed."""
CLIENT = """
import asyncio, sys
from websockets.asyncio.client import connect
from voiceagent.testing.twilio_stream import TwilioStream

async def main():
    stream = TwilioStream()
    async with connect(sys.argv[1], compression=None) as ws:
        await ws.send(stream.connected())
        await ws.send(stream.start({}))
        async for _ in ws:
            print("heard", flush=True)

asyncio.run(main())
"""


def test_a_stopped_client_is_given_up_within_forty_seconds_and_its_record_is_closed(tmp_path: Path) -> None:
    write_shop(tmp_path, resume_within_ms=RESUME_WITHIN_MS)
    with (
        ServerProcess(tmp_path) as server,
        subprocess.Popen(  # noqa: S603 - this repository's own program
            [sys.executable, "-c", CLIENT, server.url], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        ) as client,
    ):
        assert client.stdout is not None
        client.stdout.readline()
        client.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        (file,) = server.journals
        try:
            while b'"event":"LegLost"' not in file.read_bytes():
                assert time.monotonic() - stopped_s <= 40, server.log
                time.sleep(0.2)
            given_up_s = time.monotonic()
            while not (journal := read_journal(file)).complete:
                assert time.monotonic() - given_up_s <= RESUME_WITHIN_MS / 1_000 + 5, server.log
                time.sleep(0.2)
        finally:
            client.kill()
        lost, ended = (
            next(entry.event for entry in journal.entries if isinstance(entry.event, kind))
            for kind in (LegLost, CallEnded)
        )
        assert isinstance(lost, LegLost)
        assert isinstance(ended, CallEnded)
        assert "lost" in lost.reason or "takes nothing" in lost.reason
        assert ended.reason == "the connection broke, and the caller did not come back"
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        assert "Traceback" not in server.log
