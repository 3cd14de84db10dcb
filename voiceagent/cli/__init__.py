"""The command line: `voiceagent new`, `chat`, `serve`, `call`, `check`, `inspect`, `replay`, `test`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; exit code 1 for a mistake in what was given, 130 for Ctrl-C."""
    try:
        # Here and not above: it takes a moment, and whoever presses Ctrl-C in it is owed no traceback.
        from voiceagent.cli.commands import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
