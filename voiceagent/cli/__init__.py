"""The command line: `voiceagent serve`, `call`, `check`, `inspect`, `replay`."""

from voiceagent.cli.main import main

__all__ = ["main"]
