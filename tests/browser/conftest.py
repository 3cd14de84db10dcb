"""A real Chromium, and what every page must hold in it: no error, no request to anybody else, no barrier."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHOTS = Path(__file__).parents[2] / "browser-output"
"""Where the pictures of the pages are kept."""
WIDTHS = {"desk": 1280, "tablet": 820, "phone": 390}


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> None:
    """Here the loop is that of what drives the browser: nobody talks on it."""


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Any]]:
    """Start Debian's Chromium, with these switches besides."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield lambda *switches: playwright.chromium.launch(
            executable_path=os.environ["CHROMIUM"],
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *switches],
        )


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Any]) -> Iterator[Any]:
    """A Chromium without a microphone."""
    chromium = launch()
    yield chromium
    chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """What a page complains of; a test takes out what it expects."""
    return []


@pytest.fixture
def page(browser: Any, complaints: list[str]) -> Iterator[Any]:
    """An empty page; whatever it complains of or asks others for is looked at in the end."""
    context = browser.new_context(viewport={"width": WIDTHS["desk"], "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert complaints == []
    assert [
        url for url in asked if not url.startswith(("file:", "data:", "http://127.0.0.1:", "ws://127.0.0.1:"))
    ] == []


def shown_at_every_width(page: Any, name: str) -> None:
    """Keep pictures of a page; nothing on it may be wider than the screen."""
    SHOTS.mkdir(exist_ok=True)
    for device, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        page.screenshot(path=str(SHOTS / f"{name}-{device}.png"), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, f"too wide on a {device}"


def without_barriers(page: Any) -> None:
    """See that axe finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in {"serious", "critical"}] == []


def until(page: Any, holds: str) -> None:
    """Wait until something holds in a page, which lets nobody evaluate text in it but who holds the browser.

    What is asked of an element that is not there yet does not hold yet.
    """
    from playwright.sync_api import Error

    broke: Error | None = None
    for _ in range(200):
        try:
            if page.evaluate(holds):
                return
        except Error as error:
            broke = error
        page.wait_for_timeout(50)
    raise AssertionError(f"it never came to be: {holds}") from broke
