"""What `make bench-full` measures: every goal that the project holds itself to, part by part."""
