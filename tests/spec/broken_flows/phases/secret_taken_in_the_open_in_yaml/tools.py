"""What the library can do."""

from voiceagent import Sealed, tool


@tool
async def check_pin(pin: Sealed) -> None:
    """Check a PIN."""
