"""What the library can do."""

from voiceagent import tool


@tool(effect="write", invalidates=("count_pages",))  # ← wrong
async def shelve(title: str) -> None:
    """Put a book on its shelf."""
