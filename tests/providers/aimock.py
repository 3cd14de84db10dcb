"""CopilotKit's `aimock`, run as it is: it speaks OpenAI Realtime's protocol and answers by fixtures, without audio."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.providers.watched import program

__all__ = ["IRREGULAR", "aimock", "is_there"]

_AIMOCK = Path(sys.prefix) / "node" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_NODE = shutil.which("node")
IRREGULAR = {
    "response.content_part.added",
    "response.content_part.done",
    "response.function_call_arguments.done",
    "response.done",
}
"""What it is known to send otherwise than the provider: none of it stands in our way."""


def is_there() -> bool:
    return _NODE is not None and _AIMOCK.exists()


@contextmanager
def aimock(folder: Path, fixtures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Run it for as long as it is needed; yields where it listens."""
    file = folder / "fixtures.json"
    file.write_text(json.dumps({"fixtures": fixtures}))
    with program(str(_NODE), str(_AIMOCK), "--port", "0", "--fixtures", str(file)) as process:
        assert process.stdout is not None
        said = ""
        while (listening := re.search(r"listening on http://([\d.:]+)", said)) is None:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield listening[1]
