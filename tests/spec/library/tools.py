"""What the library knows of its readers."""

from voiceagent import Facts, Sealed, tool


@tool(
    grants="loans",
    grants_when="recognised",
    sets=("recognised", "reader_id", "branch", "owes", "member_since"),
    fresh_ms=60_000,
)
async def check_card(card: Sealed) -> dict[str, object]:
    """Check the number of a reader's card."""
    return {"recognised": True, "reader_id": "r1", "branch": "elmham", "owes": "0", "member_since": "2020-02-29"}


def is_late(facts: Facts) -> bool:
    """Whether the library is about to close."""
    return True
