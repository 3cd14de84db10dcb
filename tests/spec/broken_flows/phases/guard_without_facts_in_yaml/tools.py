"""What the library can do."""


def is_open() -> bool:
    return True
