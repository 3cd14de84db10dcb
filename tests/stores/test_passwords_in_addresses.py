"""A password in the address of shared state is told to nobody, though the address is wrong."""

from __future__ import annotations

import pytest

from voiceagent.errors import OperatorError
from voiceagent.stores.redis import RedisStore


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret/x@host:6379/0",
        "redis://user:s3c#ret@host:6379/0",
        "redis://:s3cret?x@host/0",
        "redis://:5353/x@127.0.0.1",  # a password whose beginning could be a port
    ],
)
def test_a_password_that_tears_an_address_apart_is_not_repeated(url: str) -> None:
    with pytest.raises(OperatorError, match="no address of Redis; in a password '/'") as refused:
        RedisStore(url)
    assert not any(piece in str(refused.value) for piece in ("s3c", "5353"))
    assert refused.value.__cause__ is None


def test_an_address_with_a_port_that_is_none_says_so() -> None:
    with pytest.raises(OperatorError, match="--state is 'redis://host:no', which is no address of Redis"):
        RedisStore("redis://host:no")


@pytest.mark.parametrize("url", ["redis://:s3cret@host:6379/0", "rediss://user:s3c%2Fret@host", "unix:///run/a@b.sock"])
def test_a_password_where_it_belongs_is_taken(url: str) -> None:
    RedisStore(url)
