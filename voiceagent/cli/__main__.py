"""`python -m voiceagent.cli` is the same as `voiceagent`."""

from voiceagent.cli import main

main()
