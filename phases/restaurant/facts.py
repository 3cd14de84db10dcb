"""What a call to the restaurant establishes: the order as the kitchen's computer has it, never as a model thinks."""

from datetime import time
from decimal import Decimal

from pydantic import BaseModel

from voiceagent import Facts

__all__ = ["OrderFacts", "OrderLine"]


class OrderLine(BaseModel):
    """So many of one dish."""

    item: str
    quantity: int


class OrderFacts(Facts):
    """Written by the tools alone."""

    order_id: str = ""
    """Empty until something has been ordered."""
    lines: tuple[OrderLine, ...] = ()
    total: Decimal = Decimal(0)
    """What all of it costs, in dollars."""
    ready_at: time | None = None
    """When a placed order can be picked up, or will be there."""
