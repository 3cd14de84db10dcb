"""What tests of several providers ask for by name."""

from __future__ import annotations

import pytest


@pytest.fixture
def certificates_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have AWS's SDK trust the server of these tests."""
    from tests.providers.fake_nova import TrustingTransport
    from voiceagent.models.nova import stream

    monkeypatch.setattr(stream, "crt_transport", TrustingTransport)
