"""What the library can do."""

from voiceagent import tool


@tool(sets=("attempts", "found"))
async def search(title: str) -> dict[str, object]:
    """Search for a book."""
    return {}
