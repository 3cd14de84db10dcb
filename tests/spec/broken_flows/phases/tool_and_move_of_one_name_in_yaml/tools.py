"""What the library can do."""

from voiceagent import tool


@tool
async def finish() -> None:
    """Finish a loan."""
