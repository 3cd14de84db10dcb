"""Secrets are taken out of what happens at the edge of a call, before the conversation or its record sees them."""

from __future__ import annotations

import dataclasses

from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.tools.vault import Vault

__all__ = ["sealed"]


def sealed(event: ev.Event, conversation: Conversation, vault: Vault) -> ev.Event:
    """Return the event with handles in place of secret digits, which the vault keeps."""
    match event:
        case ev.TranscriptFinal(utterance, text):
            sealing = conversation.sealing_of(utterance)
            if sealing is not None and text:
                return dataclasses.replace(event, text=vault.seal(text, conversation.state.language, sealing))
        case ev.TranscriptPartial(utterance, text):
            sealing = conversation.sealing_of(utterance)
            if sealing is not None and sealing.hides_partial(text, conversation.state.language):
                return dataclasses.replace(event, text="")
        case ev.DigitsPressed(digits, None):
            sealing = conversation.sealing_of()
            if sealing is not None and digits.isdigit() and sealing.hides_keys(len(digits)):
                handle = sealing.key_handle(len(digits))
                vault.append(handle, digits)
                return ev.DigitsPressed("•" * len(digits), handle)
        case _:
            pass
    return event
