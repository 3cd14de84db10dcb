"""A call by typing: the call itself, what is told of it, and what may be asked about it."""
