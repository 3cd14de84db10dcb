"""Commands that are imported when they are typed: the list of them and the completion of words wait for none."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    # Typer carries this with it, or takes it from Click: that depends on its version, and matters to nobody here.
    from typer._click.core import Command, Context

__all__ = ["Where", "group_of"]


@dataclass(frozen=True, slots=True)
class Where:
    """A command that has not been imported."""

    function: str
    """As `module:function`, the module below this package."""
    summary: str
    """The first paragraph of what it says of itself."""


def group_of(commands: Mapping[str, Where]) -> type[TyperGroup]:
    """Return the kind of group that has these commands."""

    class Group(TyperGroup):
        """Lists its commands by what is known of them, and imports the one that is used."""

        def __init__(self, **declared: object) -> None:
            super().__init__(**declared)  # pyright: ignore[reportArgumentType] - as Typer calls it
            self.commands = _Commands(commands)

        def list_commands(self, ctx: Context) -> list[str]:
            return list(self.commands)

        def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
            """Return what a list says of a command."""
            told = commands.get(cmd_name)
            return TyperCommand(cmd_name, help=told.summary) if told is not None else None

        def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
            """Return the command itself, to be run or completed."""
            name, command, rest = super().resolve_command(ctx, args)
            return name, self.commands[name] if name is not None else command, rest

    return Group


class _Commands(UserDict[str, "Command"]):
    """Commands by their names; whoever takes one out has it imported."""

    def __init__(self, where: Mapping[str, Where]) -> None:
        super().__init__({name: TyperCommand(name) for name in where})
        self._where = where

    def __getitem__(self, key: str) -> Command:
        return _imported(key, self._where[key].function)


@cache
def _imported(name: str, where: str) -> Command:
    module, _, function = where.partition(":")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(getattr(import_module(f"voiceagent.cli.{module}"), function))
    return typer.main.get_command(alone)
