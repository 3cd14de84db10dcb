"""What the library can do."""

from voiceagent import tool


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool
async def loans() -> None:
    """The loans of a reader."""
