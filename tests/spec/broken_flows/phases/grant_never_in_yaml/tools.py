"""What the library can do."""

from voiceagent import tool


@tool(requires="loans")  # ← wrong
async def pay_fine() -> None:
    """Pay a fine."""
