"""What the agent can look up: the workshop's repairs."""

from voiceagent import ToolFailed, tool

REPAIRS = {
    "4711": {"bicycle": "blue city bicycle", "ready_on": "Friday"},
    "2040": {"bicycle": "racing bicycle", "ready_on": "Monday"},
}


@tool(sets=("bicycle", "ready_on"))
async def find_repair(ticket: str) -> dict[str, str]:
    """Find a repair by the four digits of its ticket."""
    if ticket not in REPAIRS:
        raise ToolFailed("there is no repair with that number")
    return REPAIRS[ticket]
