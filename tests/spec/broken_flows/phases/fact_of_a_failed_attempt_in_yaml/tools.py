"""What the library can do."""

from voiceagent import Attempts, tool


@tool(  # ← wrong
    grants="loans", grants_when="recognised", sets=("recognised", "member"), attempts=Attempts(account="card")
)
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}
