"""What else it can do."""

from voiceagent import tool


@tool  # ← wrong
async def search(author: str) -> None:
    """Search for an author."""
