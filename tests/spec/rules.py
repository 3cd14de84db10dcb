"""Rules: the codes of everything that the verifier may tell, as they stand in its source."""

from __future__ import annotations

import re
from pathlib import Path

from voiceagent.spec import verify

__all__ = ["ABOUT_ENGINES", "ONLY_WARNINGS", "told_rules"]

ONLY_WARNINGS = {"fact-missing", "unknown-guard", "not-decided", "no-way-back"}

ABOUT_ENGINES = {"language-not-spoken"}
"""What no flow breaks by itself."""


def told_rules() -> set[str]:
    """Return the codes of all rules, warnings included."""
    told: set[str] = set()
    for file in Path(verify.__file__).parent.glob("*.py"):
        told |= set(re.findall(r'\b(?:error|warning)\(\s*"([a-z-]+)"', file.read_text()))
    return told
