"""What the library can do."""

from voiceagent import tool


@tool(egress="PSOT service")  # ← wrong
async def look(title: str) -> None:
    """Look for a book."""
