"""`make bench-turns`: when the agent takes the turn and when it gives it up, on human and on synthetic speech."""
