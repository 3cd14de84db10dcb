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
            spans = conversation.state.language.digit_spans(text)
            if sealing is not None and (not sealing.unasked or sealing.secrets(text, spans)):
                return dataclasses.replace(event, text="")
        case ev.DigitsPressed(digits, None):
            sealing = conversation.sealing_of()
            if sealing is not None and digits.isdigit():
                handle = sealing.plan([len(digits)])[0][0][0]
                vault.append(handle, digits)
                return ev.DigitsPressed("•" * len(digits), handle)
        case _:
            pass
    return event
