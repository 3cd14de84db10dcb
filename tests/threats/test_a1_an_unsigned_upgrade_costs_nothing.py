"""A1: whoever cannot sign is refused before 101, and neither an engine nor a record is opened for them."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.threats.served import PATH, RawCarrier, serving, signature

FORGED = {
    "no signature": (PATH, None),
    "a wrong signature": (PATH, "bm90IHJpZ2h0IGF0IGFsbCwgc29ycnk="),
    "a signature for another path": (PATH, signature("/media/twilio/clinic")),
    "a signature of the https address": (PATH, signature(base="https://voice.example.com")),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_upgrade_is_refused_and_costs_nothing(
    tmp_path: Path, opened: Counter[str], forged: tuple[str, str | None]
) -> None:
    path, signed = forged

    async def scenario() -> int:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, path=path, signed=signed)
            carrier.starts("CA0")
            assert await carrier.close_code() is None
            return carrier.status

    assert asyncio.run(scenario()) in {401, 403}
    assert not opened
    assert list(tmp_path.iterdir()) == []


@pytest.mark.figures
def test_five_hundred_forged_upgrades_are_refused_and_the_right_one_is_let_in(
    tmp_path: Path, opened: Counter[str], record_property: Callable[[str, object], None]
) -> None:
    async def scenario() -> Counter[int]:
        async with serving(tmp_path) as server:
            statuses: Counter[int] = Counter()
            for _ in range(500):
                carrier = await RawCarrier.asks(server.port, signed=secrets.token_urlsafe(20))
                statuses[carrier.status] += 1
                carrier.breaks()
            assert not opened
            good = await RawCarrier.asks(server.port, signed=signature())
            statuses[good.status] += 1
            good.breaks()
            return statuses

    statuses = asyncio.run(scenario())
    assert statuses == {403: 500, 101: 1}
    record_property("forged upgrades let in, of 500", statuses[101] - 1)


def test_a_token_that_was_never_given_out_is_refused(tmp_path: Path, opened: Counter[str]) -> None:
    async def scenario() -> list[int]:
        async with serving(tmp_path, require_call_token=True) as server:
            paths = (PATH, f"{PATH}/{secrets.token_urlsafe(24)}")
            carriers = [await RawCarrier.asks(server.port, path=path, signed=signature(path)) for path in paths]
            for carrier in carriers:
                carrier.breaks()
            return [carrier.status for carrier in carriers]

    assert asyncio.run(scenario()) == [403, 403]
    assert not opened
