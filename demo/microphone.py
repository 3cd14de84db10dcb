"""The bank's agent, to talk to from this machine's microphone: `python demo/microphone.py`.

It is `voiceagent talk phases/bank` with a bank that is opened for it. Ask for your balance, as the caller of
demo/calls/daniel.yaml does: his account number is 4519227, and his PIN 1234.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bank_api import BankApi, BankSettings
from phone_call import AGENT, LATENCIES, service_of

from voiceagent.cli.agent_server import ServerSettings
from voiceagent.cli.talk import Devices, talk_to
from voiceagent.devices.portaudio import quiet_libraries
from voiceagent.errors import VoiceAgentError
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings


def main() -> int:
    """Hold one call; 0 where nothing of it went wrong."""
    try:
        with quiet_libraries(), BankApi(BankSettings(latencies=LATENCIES)) as bank:
            settings = ServerSettings(
                telephony=TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0),
                journals=Path("demo-output/journals"),
                service=service_of(bank),
            )
            problems = talk_to(load_flow(AGENT), "bank", settings, Devices())
    except VoiceAgentError as exc:
        problems = [str(exc)]
    except KeyboardInterrupt:
        return 130
    for problem in problems:
        print(f"demo: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
