"""What the library can do."""

from voiceagent import tool


@tool  # ← wrong
async def count_pages(title: str) -> None: ...
