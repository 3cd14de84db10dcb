"""What the library can do."""

from voiceagent import tool


@tool  # ← wrong
async def count_pages(title) -> None:
    """How many pages a book has."""
