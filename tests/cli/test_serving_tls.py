"""`voiceagent serve` with a certificate: what it says, what it serves, and how it takes a renewed one."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.cli.conftest import Run, Shop
from tests.faults_real.processes import ServerProcess, free_port
from tests.telephony.certificates import Pair, new_pair


def given(pair: Pair) -> tuple[str, ...]:
    return ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))


def met_with(port: int) -> bytes:
    """Return the certificate that a new connection is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))


def der_of(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


async def greeted(port: int, pair: Pair) -> bool:
    """Call the shop by wss; return whether any of its voice came."""
    start = (
        '{"event":"connected","protocol":"Call","version":"1.0.0"}',
        (
            '{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1","streamSid":"MZ1",'
            '"callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
            '"customParameters":{}}}'
        ),
    )
    address = f"wss://127.0.0.1:{port}/media/twilio/shop"
    async with asyncio.timeout(20), connect(address, ssl=pair.trusting(), close_timeout=1) as line:
        for message in start:
            await line.send(message)
        async for message in line:
            if '"media"' in str(message):
                return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_calls_and_health_come_by_tls_and_sighup_renews_the_certificate(
    shop: Shop, tmp_path: Path, workers: int
) -> None:
    pair, newer, wrong = new_pair(tmp_path), new_pair(tmp_path, "newer"), new_pair(tmp_path, "wrong")
    door = free_port()
    options = (*given(pair), "--workers", str(workers), "--probe-every-s", "1", "--audiosocket", str(door))
    with ServerProcess(shop.folder, *options) as server:
        assert f"serving shop: media wss://127.0.0.1:{server.port}/media/twilio/shop" in server.log
        assert f"serving shop: asterisk wss://127.0.0.1:{server.port}/media/asterisk/shop" in server.log
        assert f"serving shop: audiosocket 127.0.0.1:{door}" in server.log
        assert asyncio.run(greeted(server.port, pair))
        ready = httpx.get(f"https://127.0.0.1:{server.port}/readyz", verify=pair.trusting(), trust_env=False)
        assert ready.status_code == 200

        shown = pair.cert.read_bytes()
        pair.cert.write_bytes(wrong.cert.read_bytes())
        server.signals(signal.SIGHUP)
        server.until_logged("the old certificate stays: the TLS key", times=workers)
        pair.cert.write_bytes(shown)
        assert met_with(server.port) == der_of(pair), "what was no pair is shown to nobody"

        pair.replaced_by(newer)
        server.signals(signal.SIGHUP)
        server.until_logged("new connections are met with the certificate", times=workers)
        assert {met_with(server.port) for _ in range(2 * workers)} == {der_of(newer)}
        assert asyncio.run(greeted(server.port, newer))

        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"alive" not in plain.recv(1_000)
        assert "Traceback" not in server.log
        assert "the synthetic call failed" not in server.log
        server.signals(signal.SIGTERM)
        assert server.ends() == 0


@pytest.mark.usefixtures("shop")
def test_a_server_whose_certificate_is_of_no_use_does_not_start(voiceagent: Run, tmp_path: Path) -> None:
    pair, other = new_pair(tmp_path), new_pair(tmp_path, "other")
    pair.replaced_by(Pair(other.cert, pair.key))
    code, _, complained = voiceagent("serve", "shop", "--insecure", *given(pair))
    assert code == 1
    assert complained == f"voiceagent: the TLS key {pair.key} does not belong to the certificate {pair.cert}\n"
