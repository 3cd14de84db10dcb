"""Servers that count what a stranger has cost them."""

from __future__ import annotations

import importlib

import pytest

from tests.threats.served import opened

__all__ = ["opened"]


@pytest.fixture(autouse=True, scope="session")
def http_library() -> None:
    """Import what a server imports as it starts: the files are read once, before there is an event loop to block."""
    importlib.import_module("httpx")
