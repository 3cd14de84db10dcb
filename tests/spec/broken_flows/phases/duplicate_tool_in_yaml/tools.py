"""What the library can do."""

from voiceagent import tool


@tool
async def search(title: str) -> None:
    """Search for a book."""
