"""Telephone connections: what carriers send and expect, and one driver that speaks with all of them."""
