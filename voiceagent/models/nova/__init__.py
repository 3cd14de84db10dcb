"""Amazon Nova Sonic 2: hears, decides when the caller has finished, and speaks."""

from __future__ import annotations

from voiceagent.models.nova.engine import NOVA_2_SONIC, NOVA_CAPABILITIES, NovaSonicModels
from voiceagent.models.nova.session import Pace
from voiceagent.models.nova.stream import AwsCredentials

__all__ = ["NOVA_2_SONIC", "NOVA_CAPABILITIES", "AwsCredentials", "NovaSonicModels", "Pace"]
