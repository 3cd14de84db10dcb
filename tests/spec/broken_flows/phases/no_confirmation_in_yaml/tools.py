"""What the library can do."""

from voiceagent import tool


@tool(effect="irreversible")  # ← wrong
async def burn(title: str) -> None:
    """Burn a book."""
