"""`voiceagent schema`: the JSON Schema by which editors complete and check what is written in YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated

import typer
from pydantic import JsonValue

from voiceagent.errors import nearest
from voiceagent.spec.schema import flow_schema
from voiceagent.testing.call_schema import call_schema

__all__ = ["schema"]

_SCHEMAS: Mapping[str, Callable[[], dict[str, JsonValue]]] = {"flow": flow_schema, "script": call_schema}


def schema(
    of: Annotated[str, typer.Argument(help=f"What is written: {', '.join(_SCHEMAS)}.")] = "flow",
) -> None:
    """Print the JSON Schema of a kind of YAML file.

    An editor finds it by the first line of the file: # yaml-language-server: $schema=flow.schema.json
    or, in a file with one phase, by: # yaml-language-server: $schema=flow.schema.json#/$defs/Phase

    Scripted conversations (*.call.yaml) have one too: voiceagent schema script > script.schema.json

    Exit code 0: it is printed. 2: there is none of that name.

    Example: voiceagent schema flow > flow.schema.json
    """
    if of not in _SCHEMAS:
        hint = nearest(of, _SCHEMAS) or f"; there are: {', '.join(_SCHEMAS)}"
        raise typer.BadParameter(f"there is no schema of {of!r}{hint}")
    typer.echo(json.dumps(_SCHEMAS[of](), ensure_ascii=False, indent=2))
