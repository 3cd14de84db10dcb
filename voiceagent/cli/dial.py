"""`voiceagent dial`: have a provider call somebody and connect them to an agent that is served."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from voiceagent.errors import CallLost, OperatorError
from voiceagent.telephony.call_control import CallControl, Dialled
from voiceagent.telephony.controls import CONTROLS
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings

__all__ = ["dial"]

_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}")


def dial(
    agent: Annotated[str, typer.Argument(help="Name of the agent, as the server has it.")],
    to: Annotated[str, typer.Argument(help="Whom to call: +15551234567.")],
    caller: Annotated[str, typer.Option("--from", help="The number that is shown; one of yours at the provider.")],
    public_url: Annotated[
        str | None,
        typer.Option(envvar="VOICEAGENT_PUBLIC_URL", help="https address under which the provider reaches the server."),
    ] = None,
    carrier: Annotated[
        Literal["twilio", "signalwire", "telnyx", "asterisk"], typer.Option(help="Who places the call.")
    ] = "twilio",
    detect_machine: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool,
        typer.Option("--detect-machine", help="Have the provider say, too, whether a person or a machine answers."),
    ] = False,
    api: Annotated[
        str | None, typer.Option(envvar="VOICEAGENT_CARRIER_API", help="Another address of its REST interface.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the id of the call for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Place a call by Twilio, SignalWire, Telnyx or an Asterisk; their keys stand in the environment.

    The agent has to be served at the public address meanwhile: the provider asks there how the call goes on. See
    docs/telephony.md.

    Exit code 0: the provider has taken the call on. 1: it has not, or a key or an address is missing.

    Example: voiceagent dial bank +15551234567 --from +15557654321 --detect-machine
    """
    for number in (to, caller):
        if not _NUMBER.fullmatch(number):
            raise OperatorError(f"{number!r} is no telephone number: write it like +15551234567")
    if public_url is None and carrier != "asterisk":
        raise OperatorError("--public-url is missing: the provider asks there how the call goes on")
    if detect_machine and not CONTROLS[carrier].detects_machines:
        raise OperatorError(f"--detect-machine: {carrier} does not find out who answers; leave it out")
    settings = TelephonySettings(
        agents=frozenset({agent}),
        public_url=public_url,
        twilio_auth_token=os.environ.get("TWILIO_AUTH_TOKEN"),
        ari_url=os.environ.get("VOICEAGENT_ARI_URL"),
        ari_user=os.environ.get("VOICEAGENT_ARI_USER"),
        ari_password=os.environ.get("VOICEAGENT_ARI_PASSWORD"),
        keys=CarrierKeys.of(os.environ),
    )
    dialled = Dialled(to, caller, f"{settings.webhook_base}/{carrier}/{agent}/answer", detect_machine, agent)
    control = _control(carrier, settings, os.environ, api)
    placed = asyncio.run(_place(control, dialled))
    typer.echo(json.dumps({"carrier": carrier, "call": placed}) if as_json else f"placed: {placed}")


async def _place(control: CallControl, dialled: Dialled) -> str:
    try:
        return await control.dial(dialled)
    except CallLost as exc:
        raise OperatorError(f"the call was not placed: {exc}") from exc
    finally:
        await control.close()


def _control(carrier: str, settings: TelephonySettings, environment: Mapping[str, str], api: str | None) -> CallControl:
    row = CONTROLS[carrier]
    missing = [name for name in row.to_dial if not environment.get(name)]
    control = row.make(settings, api) if not missing else None
    if control is None:
        *others, last = missing
        raise OperatorError(f"set {' and '.join([', '.join(others), last] if others else [last])} in the environment")
    return control
