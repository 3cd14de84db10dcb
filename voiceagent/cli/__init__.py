"""The command line: `voiceagent serve`, `call`, `check`, `inspect`, `replay`, `test`."""

from voiceagent.cli.main import main

__all__ = ["main"]
