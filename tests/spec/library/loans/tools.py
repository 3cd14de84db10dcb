"""What a reader can do about their loans."""

from voiceagent import tool


@tool(requires="loans")
async def list_loans(reader_id: str, limit: int = 10) -> list[object]:
    """List the books that a reader has on loan."""
    return []


@tool(effect="irreversible", requires="loans", confirm="Shall I renew {{ book }}?")
async def renew(book: str) -> None:
    """Renew a loan by three weeks."""
