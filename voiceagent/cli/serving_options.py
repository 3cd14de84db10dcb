"""What whoever serves an agent decides, on the command line: declared once, for every command that serves one."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import typer

from voiceagent.cli.addresses import require_address
from voiceagent.cli.agent_server import ServerSettings, ServiceSettings
from voiceagent.models.choose import ProviderAccess
from voiceagent.stores import require_store
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["ServingOptions", "with_serving_options"]


@dataclass(frozen=True, slots=True, repr=False)
class ServingOptions:
    """Engines, model, journals and the tools' service. Raises OperatorError for an address that is none."""

    engines: Annotated[
        Literal["local", "null"], typer.Option(help="Speech engines: `local`, or `null` for load tests.")
    ] = "local"
    vad: Annotated[
        Literal["silero", "energy"] | None,
        typer.Option(
            help="What hears that somebody speaks: `silero`, as with `local`, or `energy`: loudness, as with `null`."
        ),
    ] = None
    end_of_turn: Annotated[
        Path | None,
        typer.Option(
            envvar="VOICEAGENT_END_OF_TURN",
            metavar="FILE",
            help="A Smart Turn v3 (ONNX): it hears whether callers have finished, where they say anything.",
        ),
    ] = None
    end_of_turn_sha256: Annotated[
        str | None,
        typer.Option(envvar="VOICEAGENT_END_OF_TURN_SHA256", metavar="HEX", help="What that file has to be."),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            envvar="VOICEAGENT_MODEL",
            metavar="NAME[,NAME…]",
            help="openai:<model>, openai-responses:<model> or anthropic:<model>; of several, separated by commas, "
            "each speaks where those before it fail. The guided model is behind them, or speaks alone.",
        ),
    ] = None
    speech_model: Annotated[
        str | None,
        typer.Option(
            envvar="VOICEAGENT_SPEECH_MODEL",
            metavar="NAME",
            help="openai-realtime:<model>, azure-realtime:<deployment>, nova:<model> or gemini-live:<model> hears and "
            "speaks by itself; engines and `--model` stand behind it.",
        ),
    ] = None
    journals: Annotated[Path, typer.Option(envvar="VOICEAGENT_JOURNALS", help="Folder of the calls' journals.")] = Path(
        "journals"
    )
    state: Annotated[
        str,
        typer.Option(
            envvar="VOICEAGENT_STATE",
            metavar="memory|sqlite:///FILE|redis://…",
            help="What workers share: call tokens, counts, and the journals of running calls.",
        ),
    ] = "memory"
    service_url: Annotated[
        str, typer.Option(envvar="VOICEAGENT_SERVICE_URL", help="Service that the agents' tools call.")
    ] = ""
    token_url: Annotated[
        str | None, typer.Option(envvar="VOICEAGENT_TOKEN_URL", help="OAuth token endpoint of that service.")
    ] = None
    client_id: Annotated[str, typer.Option(envvar="VOICEAGENT_CLIENT_ID", help="OAuth client.")] = ""
    client_secret: Annotated[str, typer.Option(envvar="VOICEAGENT_CLIENT_SECRET", help="Its secret.")] = ""
    biscuit: Annotated[
        str | None,
        typer.Option(
            envvar="VOICEAGENT_BISCUIT", help="Biscuit that lets the agent into that service; each tool gets less."
        ),
    ] = None
    biscuit_public_key: Annotated[
        str, typer.Option(envvar="VOICEAGENT_BISCUIT_PUBLIC_KEY", help="The service's key that has signed it.")
    ] = ""
    service_key_variable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the key of a service that knows no scopes."),
    ] = None
    internal_url: Annotated[
        list[str] | None,
        typer.Option(
            envvar="VOICEAGENT_INTERNAL_URLS",
            help="Address inside your network that a tool declares in `egress`; all others must be public. Repeatable.",
        ),
    ] = None
    openai_base_url: Annotated[
        str | None, typer.Option(envvar="OPENAI_BASE_URL", help="Any OpenAI-compatible endpoint.")
    ] = None
    openai_api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="Key of that endpoint.")] = None
    anthropic_base_url: Annotated[
        str | None, typer.Option(envvar="ANTHROPIC_BASE_URL", help="An endpoint other than Anthropic's own.")
    ] = None
    anthropic_api_key: Annotated[str | None, typer.Option(envvar="ANTHROPIC_API_KEY", help="Key of that endpoint.")] = (
        None
    )
    azure_openai_endpoint: Annotated[
        str | None, typer.Option(envvar="AZURE_OPENAI_ENDPOINT", help="Azure resource of azure-realtime.")
    ] = None
    azure_openai_api_key: Annotated[
        str | None, typer.Option(envvar="AZURE_OPENAI_API_KEY", help="Key of that resource.")
    ] = None
    gemini_api_key: Annotated[str | None, typer.Option(envvar="GEMINI_API_KEY", help="Key for gemini-live.")] = None
    aws_region: Annotated[
        str | None, typer.Option(envvar="AWS_REGION", help="Region of nova; AWS's credentials are found as usual.")
    ] = None
    time_zone: Annotated[str, typer.Option(help="IANA time zone in which callers say dates.")] = "UTC"

    def __post_init__(self) -> None:
        for name in ("service_url", "token_url", "openai_base_url", "anthropic_base_url", "azure_openai_endpoint"):
            require_address(f"--{name.replace('_', '-')}", getattr(self, name))
        for url in self.internal_url or ():
            require_address("--internal-url", url)
        require_store(self.state)

    def settings(self, telephony: TelephonySettings) -> ServerSettings:
        """Return what a server with these telephone lines is made from."""
        return ServerSettings(
            telephony=telephony,
            journals=self.journals,
            state=self.state,
            engines=self.engines,
            vad=self.vad,
            end_of_turn=self.end_of_turn,
            end_of_turn_sha256=self.end_of_turn_sha256,
            model=self.model,
            speech_model=self.speech_model,
            access=ProviderAccess(
                openai_api_key=self.openai_api_key,
                openai_base_url=self.openai_base_url,
                anthropic_api_key=self.anthropic_api_key,
                anthropic_base_url=self.anthropic_base_url,
                azure_openai_endpoint=self.azure_openai_endpoint,
                azure_openai_api_key=self.azure_openai_api_key,
                gemini_api_key=self.gemini_api_key,
                aws_region=self.aws_region,
            ),
            service=ServiceSettings(
                url=self.service_url,
                token_url=self.token_url,
                client_id=self.client_id,
                client_secret=self.client_secret,
                biscuit=self.biscuit,
                biscuit_public_key=self.biscuit_public_key,
                key_variable=self.service_key_variable,
                internal_urls=tuple(self.internal_url or ()),
            ),
            time_zone=self.time_zone,
        )


def with_serving_options(command: Callable[..., None], *, without: Collection[str] = ()) -> Callable[..., None]:
    """Give a command the options of ServingOptions; it takes them as its parameter `serving`.

    Those that it has no use for, `without`, are left at their defaults and not offered.
    """
    hints = typing.get_type_hints(ServingOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(ServingOptions)
        if field.name not in without
    ]

    @functools.wraps(command)
    def with_options(**given: object) -> None:
        values: dict[str, typing.Any] = {option.name: given.pop(option.name) for option in shared}
        command(**given, serving=ServingOptions(**values))

    own_hints = typing.get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own_hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "serving"
    ]
    with_options.__signature__ = inspect.Signature([*own, *shared])  # pyright: ignore[reportAttributeAccessIssue] - what Typer reads
    with_options.__annotations__ = {option.name: option.annotation for option in (*own, *shared)}
    return with_options
