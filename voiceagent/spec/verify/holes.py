"""Holes: which names a template must have a value for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import nodes

from voiceagent.errors import Source
from voiceagent.spec.prompt import syntax_of

__all__ = ["Holes", "holes_in"]


@dataclass(frozen=True, slots=True)
class Holes:
    """The names in one template."""

    names: tuple[str, ...]
    """All of them, sorted."""
    needed: tuple[str, ...]
    """Those without which it cannot be filled: not asked about by `is defined`, not given a `default`."""


_NONE = Holes((), ())


def holes_in(text: str, *, source: Source | None = None) -> Holes:
    """Return the names a template refers to; PhaseError for one that cannot be read."""
    return _holes_in(text, source) if "{" in text else _NONE


@lru_cache(maxsize=2_048)
def _holes_in(text: str, source: Source | None) -> Holes:
    tree, names = syntax_of(text, source=source)
    return Holes(names, tuple(sorted(set(_needs(tree, frozenset())).intersection(names))))


def _needs(node: nodes.Node, sure: frozenset[str]) -> Iterator[str]:
    """Return the names read where nothing has made sure that they have a value."""
    match node:
        case nodes.Name(name=name, ctx="load"):
            if name not in sure:
                yield name
        case nodes.Test(node=nodes.Name(), name="defined" | "undefined"):
            pass
        case nodes.Filter(node=nodes.Name(), name="default" | "d"):
            for argument in node.args:
                yield from _needs(argument, sure)
        case nodes.If() | nodes.CondExpr():
            yield from _branches(node, sure)
        case nodes.And():
            yield from _needs(node.left, sure)
            yield from _needs(node.right, sure | _defined_if(node.left))
        case _:
            for child in node.iter_child_nodes():
                yield from _needs(child, sure)


def _branches(node: nodes.If | nodes.CondExpr, sure: frozenset[str]) -> Iterator[str]:
    inside = sure | _defined_if(node.test)
    yield from _needs(node.test, sure)
    if isinstance(node, nodes.CondExpr):
        yield from _needs(node.expr1, inside)
        if node.expr2 is not None:
            yield from _needs(node.expr2, sure)
        return
    for child in node.body:
        yield from _needs(child, inside)
    for child in (*node.elif_, *node.else_):
        yield from _needs(child, sure)


def _defined_if(test: nodes.Node) -> frozenset[str]:
    """Return the names that have a value where the test is true."""
    match test:
        case nodes.Test(node=nodes.Name(name=name), name="defined"):
            return frozenset((name,))
        case nodes.And():
            return _defined_if(test.left) | _defined_if(test.right)
        case _:
            return frozenset()
