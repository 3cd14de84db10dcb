"""Starts the bank, as `python demo/bank_api` or, from inside demo/, as `python -m bank_api`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __package__:
    from .command import main

    sys.exit(main())

# Run as a folder: Python put the folder itself on the path, where its modules would be top-level.
sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module("bank_api", run_name="__main__", alter_sys=True)
