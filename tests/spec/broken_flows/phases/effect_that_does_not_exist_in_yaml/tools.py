"""What the library can do."""

from voiceagent import tool


@tool(effect="irreversable")  # ← wrong
async def burn(title: str) -> None:
    """Burn a book."""
