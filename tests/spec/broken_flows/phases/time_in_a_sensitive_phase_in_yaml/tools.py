"""What the library can do."""

from voiceagent import tool


@tool
async def book(at: str) -> None:
    """Book a desk in the reading room."""
