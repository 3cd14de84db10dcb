"""What a caller's ear says of the telephone line: what was heard, how soon silence came, how even speech was."""
