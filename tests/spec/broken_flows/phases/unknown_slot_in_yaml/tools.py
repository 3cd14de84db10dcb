"""What the library can do."""

from voiceagent import tool


@tool
async def count_pages(title: str) -> dict[str, object]:
    """How many pages a book has."""
    return {}
