"""`voiceagent dial`: have a provider call somebody and connect them to an agent that is served."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from voiceagent.errors import CallLost, OperatorError
from voiceagent.telephony.call_control import CallControl, Dialled
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["dial"]

_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}")


def dial(
    agent: Annotated[str, typer.Argument(help="Name of the agent, as the server has it.")],
    to: Annotated[str, typer.Argument(help="Whom to call: +15551234567.")],
    caller: Annotated[str, typer.Option("--from", help="The number that is shown; one of yours at the provider.")],
    public_url: Annotated[
        str,
        typer.Option(envvar="VOICEAGENT_PUBLIC_URL", help="https address under which the provider reaches the server."),
    ],
    carrier: Annotated[Literal["twilio", "telnyx"], typer.Option(help="Who places the call.")] = "twilio",
    detect_machine: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool,
        typer.Option("--detect-machine", help="Tell the agent whether a person answered, as parameter `answered_by`."),
    ] = False,
    api: Annotated[
        str | None, typer.Option(envvar="VOICEAGENT_CARRIER_API", help="Another address of its REST interface.")
    ] = None,
) -> None:
    """Place a call by Twilio (TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN) or Telnyx (TELNYX_API_KEY, TELNYX_CONNECTION_ID).

    The agent has to be served at the public address meanwhile: the provider asks there how the call goes on.

    Example: voiceagent dial bank +15551234567 --from +15557654321 --detect-machine
    """
    for number in (to, caller):
        if not _NUMBER.fullmatch(number):
            raise OperatorError(f"{number!r} is no telephone number: write it like +15551234567")
    base = TelephonySettings(agents=frozenset({agent}), public_url=public_url).webhook_base
    dialled = Dialled(to, caller, f"{base}/{carrier}/{agent}/answer", detect_machine)
    typer.echo(f"placed: {asyncio.run(_place(_control(carrier, os.environ, api), dialled))}")


async def _place(control: CallControl, dialled: Dialled) -> str:
    try:
        return await control.dial(dialled)
    except CallLost as exc:
        raise OperatorError(f"the call was not placed: {exc}") from exc
    finally:
        await control.close()


def _control(carrier: str, environment: Mapping[str, str], api: str | None) -> CallControl:
    where = {"api": api} if api is not None else {}
    if carrier == "twilio":
        from voiceagent.telephony.twilio_calls import TwilioCalls

        account, auth_token = _required(environment, "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
        return TwilioCalls(account=account, auth_token=auth_token, **where)
    from voiceagent.telephony.telnyx_calls import TelnyxCalls

    api_key, connection = _required(environment, "TELNYX_API_KEY", "TELNYX_CONNECTION_ID")
    return TelnyxCalls(api_key=api_key, connection=connection, **where)


def _required(environment: Mapping[str, str], *names: str) -> list[str]:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise OperatorError(f"set {' and '.join(missing)} in the environment")
    return [environment[name] for name in names]
