"""What the library can do."""

from voiceagent import Facts


async def is_open(facts: Facts) -> bool:
    return True
