"""A tool reaches what it has declared and what is public; nothing inside the house but what the operator has named."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpcore
import pytest

from tests.tools.tool_runs import Call, failed, http_to
from voiceagent import ToolContext, tool
from voiceagent.core.events import ToolFinished
from voiceagent.errors import ToolFailed
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.addresses import is_public
from voiceagent.tools.credentials import OAuthClientCredentials
from voiceagent.tools.network import CheckedNetwork
from voiceagent.tools.service import ConnectionPool, RequestRefused, ServiceUnreachable

FOR_THE_MODEL = "that cannot be reached from here"


@dataclass
class House:
    """A server inside the house, that nobody may talk to."""

    port: int
    visits: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def house(*, address: str = "127.0.0.1", location: str = "") -> AsyncIterator[House]:
    """Listen; with `location`, send everybody there."""

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.visits.append("came in")
        try:
            here.visits.append((await reader.readuntil(b"\r\n\r\n")).decode())
            head = f"302 Found\r\nlocation: {location}" if location else "200 OK"
            writer.write(f"HTTP/1.1 {head}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(visited, address, 0)
    here = House(server.sockets[0].getsockname()[1])
    try:
        yield here
    finally:
        server.close()


# --- addresses: looked at when they are resolved, whatever they are called -------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.8.8",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0.0.0.0",  # noqa: S104 - nobody listens there: it is called
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "localhost",
        "LocalHost",
        "127\u30020\u30020\u30021",
    ],
)
def test_e6_no_word_for_this_machine_leads_to_it(host: str) -> None:
    async def main() -> None:
        async with house() as inside:
            pool = ConnectionPool(internal=["http://127.0.0.1:1"])
            with pytest.raises(RequestRefused, match=FOR_THE_MODEL):
                await pool.send("GET", f"http://{host}:{inside.port}/", headers={})
            assert inside.visits == []
            await pool.close()

    asyncio.run(main())


@pytest.mark.parametrize("host", ["[::1]", "[0:0:0:0:0:0:0:1]"])
def test_e6_no_word_for_this_machine_in_ipv6_leads_to_it(host: str) -> None:
    async def main() -> None:
        async with house(address="::1") as inside:
            pool = ConnectionPool()
            with pytest.raises(RequestRefused):
                await pool.send("GET", f"http://{host}:{inside.port}/", headers={})
            assert inside.visits == []
            await pool.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "[fd00:ec2::254]",
        "[::ffff:a9fe:a9fe]",
        "100.100.100.200",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "[fe80::1]",
        "[fec0::1]",
        "[fd12:3456:789a::1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
        "[::127.0.0.1]",
        "[::]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_e6_metadata_services_and_private_networks_are_not_connected_to(host: str, scheme: str) -> None:
    async def main() -> None:
        pool = ConnectionPool()
        with pytest.raises(RequestRefused):
            await pool.send("GET", f"{scheme}://{host}/latest/meta-data/", headers={})
        await pool.close()

    asyncio.run(main())


def test_e6_what_is_public_is_not_taken_for_private() -> None:
    for address in ("93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"):
        assert is_public(address), address
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"):
        first, last = ipaddress.ip_network(network)[0], ipaddress.ip_network(network)[-1]
        assert not is_public(str(first)), network
        assert not is_public(str(last)), network
        assert not is_public(f"::ffff:{last}"), network


class Watched(httpcore.AsyncNetworkBackend):
    """Writes down where it is told to connect, and goes nowhere."""

    def __init__(self, *unreachable: str) -> None:
        self.asked: list[str] = []
        self._unreachable = unreachable

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109 - httpcore's port
        self.asked.append(host)
        if host in self._unreachable:
            raise httpcore.ConnectError
        return httpcore.AsyncMockStream([])


def answers(*rounds: list[str]):
    """A name service that says something else every time it is asked."""
    left = list(rounds)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0)

    return resolve


def test_e6_a_name_that_changes_its_address_is_connected_to_the_one_that_was_looked_at() -> None:
    beneath = Watched()
    network = CheckedNetwork([], resolve=answers(["93.184.216.34"], ["127.0.0.1"]), beneath=beneath)
    asyncio.run(network.connect_tcp("rebound.example", 80))
    assert beneath.asked == ["93.184.216.34"]
    with pytest.raises(RequestRefused) as refused:
        asyncio.run(network.connect_tcp("rebound.example", 80))
    assert refused.value.reason == "rebound.example port 80 is at 127.0.0.1, which is not public"
    assert beneath.asked == ["93.184.216.34"]


def test_e6_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    beneath = Watched()
    network = CheckedNetwork([], resolve=answers(["93.184.216.34", "10.0.0.1"]), beneath=beneath)
    with pytest.raises(RequestRefused):
        asyncio.run(network.connect_tcp("mixed.example", 443))
    assert beneath.asked == []


def test_a_name_with_several_addresses_is_connected_to_the_first_that_answers() -> None:
    beneath = Watched("93.184.216.34")
    addresses = ["93.184.216.34", "2606:4700::1111", "8.8.8.8"]
    network = CheckedNetwork([], resolve=answers(addresses), beneath=beneath)
    asyncio.run(network.connect_tcp("several.example", 443))
    assert beneath.asked == ["93.184.216.34", "2606:4700::1111"]


def test_a_name_service_that_does_not_answer_is_waited_for_as_long_as_a_host() -> None:
    async def silent(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(httpcore.ConnectTimeout):
        asyncio.run(CheckedNetwork([], resolve=silent, beneath=Watched()).connect_tcp("x.example", 80, timeout=0.01))


def test_e6_what_the_operator_has_named_is_reached_and_its_neighbour_is_not() -> None:
    async def main() -> None:
        async with house() as named, house() as neighbour:
            pool = ConnectionPool(internal=[named.url])
            assert (await pool.send("GET", named.url, headers={})).status_code == 200
            with pytest.raises(RequestRefused):
                await pool.send("GET", neighbour.url, headers={})
            with pytest.raises(RequestRefused):  # the same place, by a name that was not given
                await pool.send("GET", f"http://localhost:{named.port}", headers={})
            assert neighbour.visits == []
            await pool.close()

    asyncio.run(main())


def test_e6_a_proxy_in_the_environment_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with house() as proxy:
            for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(variable, proxy.url)
            pool = ConnectionPool()
            with pytest.raises((RequestRefused, ServiceUnreachable)):
                await pool.send("GET", "http://10.0.0.1/", headers={})
            assert proxy.visits == []
            await pool.close()

    asyncio.run(main())


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["{}/admin", "//127.0.0.1:9/", "http://169.254.169.254/", "file:///etc/passwd"])
def test_e6_a_redirect_is_not_followed(to: str) -> None:
    async def main() -> None:
        async with house() as inside, house(location=to.format(inside.url)) as service:
            pool = ConnectionPool(internal=[service.url, inside.url])
            answer = await http_to(service.url, pool).get("/accounts")
            assert answer.status_code == 302
            assert len(service.visits) == 2
            assert inside.visits == []
            with pytest.raises(ToolFailed):  # nor can a tool follow it by itself
                await http_to(service.url, pool).get(answer.headers["location"].replace("//127.0.0.1:9", "http://x"))
            await pool.close()

    asyncio.run(main())


# --- what a tool has declared ----------------------------------------------------------------------------------------


@tool(effect="write")
async def ask_anything(where: str, ctx: ToolContext) -> int:
    """Ask whatever the model wants asked."""
    return (await ctx.http.get(where)).status_code


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://0x7f000001:{port}/",
        "http://2130706433:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/",
        "https://attacker.example/?pin=1234",
        "HTTP://attacker.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "unix:/var/run/docker.sock",
        "127.0.0.1:{port}",
        "@127.0.0.1:{port}/",
        "http:127.0.0.1:{port}",
        "http://",
        "http://[::1",
        "/../admin",
        "/%2e%2e/admin",
        "/accounts/\x00",
        "",
        "\x00",
    ],
)
def test_e6_a_tool_cannot_reach_what_it_has_not_declared(where: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with house() as inside, house() as service:
            call = Call(ask_anything, service_url=service.url)
            outcome = await call.run(ask_anything, {"where": where.format(port=inside.port)})
            assert failed(outcome, "failed") == FOR_THE_MODEL
            assert inside.visits == service.visits == []
            await call.pool.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert "call call-1: tool ask_anything: its request is not sent: " in caplog.text
    for words in ("1234", "attacker", "passwd"):
        assert words not in caplog.text


@tool(egress="GET http://two.example")
async def reads_elsewhere(where: str, ctx: ToolContext) -> int:
    """Ask somebody else."""
    return (await ctx.http.get(where)).status_code


@pytest.mark.parametrize(
    "where",
    [
        "/accounts",
        "https://two.example/",
        "http://two.example:8080/",
        "http://one.two.example/",
        "http://two.example.attacker.example/",
        "http://attacker.example/http://two.example/",
        "http://two.example@attacker.example/",
        "http://attacker.example\\@two.example/",
        "http://me:pw@two.example/",
    ],
)
def test_e6_a_host_is_declared_as_a_whole(where: str) -> None:
    async def main() -> None:
        async with house() as service:
            call = Call(reads_elsewhere, service_url=service.url)
            assert failed(await call.run(reads_elsewhere, {"where": where}), "failed") == FOR_THE_MODEL
            assert service.visits == []
            await call.pool.close()

    asyncio.run(main())


def test_e6_a_declared_name_that_leads_into_the_house_is_refused_with_the_reason_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with house() as inside:
            loop = asyncio.get_running_loop()

            async def leads_here(*_: object, **__: object) -> object:
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", inside.port))]

            monkeypatch.setattr(loop, "getaddrinfo", leads_here)
            call = Call(reads_elsewhere, service_url=inside.url)
            outcome = await call.run(reads_elsewhere, {"where": "http://two.example/?name=Maria"})
            assert failed(outcome, "failed") == FOR_THE_MODEL
            assert inside.visits == []
            await call.pool.close()

    asyncio.run(main())
    assert "not sent: two.example port 80 is at 127.0.0.1, which is not public" in caplog.text
    assert "Maria" not in caplog.text


def test_e6_the_credential_of_the_service_goes_to_nobody_else() -> None:
    async def main() -> None:
        async with house() as service, house() as other:
            pool = ConnectionPool(internal=[service.url, other.url])
            key = {"Authorization": "Bearer t-42"}
            http = http_to(service.url, pool, key, "GET service", f"GET {other.url}")
            await http.get("/a")
            await http.get(f"{other.url}/a")
            assert "t-42" in service.visits[1]
            assert "t-42" not in other.visits[1]
            await pool.close()

    asyncio.run(main())


def test_e6_a_header_cannot_name_another_host() -> None:
    async def main() -> None:
        async with house() as service:
            pool = ConnectionPool(internal=[service.url])
            with pytest.raises(RequestRefused):
                await http_to(service.url, pool).get("/", headers={"hOsT": "admin.internal"})
            assert service.visits == []
            await pool.close()

    asyncio.run(main())


@tool
async def reads(method: str, ctx: ToolContext) -> int:
    """Read, or so it says."""
    return (await ctx.http.request(method, "/")).status_code


@tool(egress="POST service")
async def reads_by_post(method: str, ctx: ToolContext) -> int:
    """Read by sending what to look for."""
    return (await ctx.http.request(method, "/")).status_code


@tool(effect="write")
async def writes(method: str, ctx: ToolContext) -> int:
    """Write."""
    return (await ctx.http.request(method, "/")).status_code


@pytest.mark.parametrize(
    "method", ["GET", "head", "POST", "post", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X\r\nY"]
)
def test_e6_a_read_cannot_write_unless_it_says_how(method: str) -> None:
    async def main() -> None:
        async with house() as service:
            call = Call(reads, reads_by_post, writes, service_url=service.url)
            let = [
                of.name for of in (reads, reads_by_post, writes)
                if isinstance(await call.run(of, {"method": method}), ToolFinished)
            ]  # fmt: skip
            assert len(service.visits) == 2 * len(let)
            assert let == {
                "GET": ["reads", "writes"],
                "HEAD": ["reads", "writes"],
                "POST": ["reads_by_post", "writes"],
                "PUT": ["writes"],
                "PATCH": ["writes"],
                "DELETE": ["writes"],
            }.get(method.upper(), [])
            await call.pool.close()

    asyncio.run(main())


def test_e6_a_token_endpoint_inside_the_house_is_not_asked_unless_it_was_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with house() as inside:
            pool = ConnectionPool()
            broker = OAuthClientCredentials(
                pool, ManualClock(), token_url=inside.url, client_id="c", client_secret="s-42"
            )
            with pytest.raises(ToolFailed, match="did not let the agent in"):
                await broker.token(call="c1", phase="p", tool="t", scopes=("a",), subject=None)
            assert inside.visits == []
            await pool.close()

    asyncio.run(main())
    assert "no credential for tool t: 127.0.0.1 port" in caplog.text
    assert "s-42" not in caplog.text
