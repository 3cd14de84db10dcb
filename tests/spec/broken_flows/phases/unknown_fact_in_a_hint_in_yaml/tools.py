"""What the library can do."""

from voiceagent import tool


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool
async def count_pages(title: str) -> None:
    """How many pages a book has."""
