"""Which providers can be asked over REST, and what lets us ask them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voiceagent.telephony.call_control import CallControl
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["CONTROLS", "ControlRow", "controls_of"]


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One provider's REST interface. Each of them is imported when it is made: not everybody waits for HTTP."""

    make: Callable[[TelephonySettings, str | None], CallControl | None]
    """From what is configured and another address of it; None where something is missing."""
    to_dial: tuple[str, ...]
    """What has to stand in the environment for calls to be placed."""
    detects_machines: bool = True
    """Whether it finds out if a person or a machine has answered a call that it has placed."""


def _twilio(settings: TelephonySettings, api: str | None) -> CallControl | None:
    account, auth_token = settings.keys.twilio_account_sid, settings.twilio_auth_token
    if not (account and auth_token):
        return None
    from voiceagent.telephony.twilio_calls import TwilioCalls

    return TwilioCalls(account=account, auth_token=auth_token, **_at(api))


def _signalwire(settings: TelephonySettings, api: str | None) -> CallControl | None:
    keys = settings.keys
    if not (keys.signalwire_space and keys.signalwire_project_id and keys.signalwire_api_token):
        return None
    from voiceagent.telephony.twilio_calls import signalwire_calls

    return signalwire_calls(
        space=keys.signalwire_space, project=keys.signalwire_project_id, token=keys.signalwire_api_token, **_at(api)
    )


def _telnyx(settings: TelephonySettings, api: str | None) -> CallControl | None:
    api_key = settings.keys.telnyx_api_key
    if not api_key:
        return None
    from voiceagent.telephony.telnyx_calls import TelnyxCalls

    return TelnyxCalls(api_key=api_key, connection=settings.keys.telnyx_connection_id or "", **_at(api))


def _asterisk(settings: TelephonySettings, api: str | None) -> CallControl | None:
    url = api or settings.ari_url
    if not (url and settings.ari_user and settings.ari_password):
        return None
    from voiceagent.telephony.ari_calls import AriCalls

    return AriCalls(url=url, user=settings.ari_user, password=settings.ari_password)


def _at(api: str | None) -> dict[str, str]:
    return {"api": api} if api is not None else {}


CONTROLS: Mapping[str, ControlRow] = {
    "twilio": ControlRow(_twilio, ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")),
    "signalwire": ControlRow(_signalwire, ("SIGNALWIRE_SPACE", "SIGNALWIRE_PROJECT_ID", "SIGNALWIRE_API_TOKEN")),
    "telnyx": ControlRow(_telnyx, ("TELNYX_API_KEY", "TELNYX_CONNECTION_ID")),
    "asterisk": ControlRow(
        _asterisk, ("VOICEAGENT_ARI_URL", "VOICEAGENT_ARI_USER", "VOICEAGENT_ARI_PASSWORD"), detects_machines=False
    ),
}
"""By dialect."""


def controls_of(settings: TelephonySettings) -> dict[str, CallControl]:
    """Return the interfaces that something is configured for, by dialect."""
    made = {dialect: row.make(settings, None) for dialect, row in CONTROLS.items()}
    return {dialect: control for dialect, control in made.items() if control is not None}
