"""Folders that are written to during a call: tried before it, since after it there is something to lose."""

from __future__ import annotations

import tempfile
from pathlib import Path

from voiceagent.errors import OperatorError

__all__ = ["require_writable"]


def require_writable(folder: Path) -> None:
    """Make the folder where it is missing, for its owner's eyes only. Raises OperatorError where no file fits in."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise OperatorError(f"nothing can be written to {folder}: {exc.strerror}") from exc
