"""Benchmarks: what can be said in figures about the agent, each with how it was measured."""
