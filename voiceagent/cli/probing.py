"""Whether the server calls itself, and what came of it last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.session import Services
from voiceagent.spec.flow import Flow

if TYPE_CHECKING:
    from voiceagent.cli.self_probe import SelfProbe

__all__ = ["Probing"]


class Probing:
    """The calls that a server makes to itself; `Probing(None)` where it makes none."""

    def __init__(self, probe: SelfProbe | None, *, every_s: float = 0) -> None:
        self._probe = probe
        self._task = None if probe is None else asyncio.create_task(probe.run(every_s=every_s))

    @classmethod
    async def begun(
        cls,
        services: Services,
        flows: Callable[[], Mapping[str, Flow]],
        *,
        every_s: float,
        providers: bool,
        journals: Path,
        time_zone: str,
    ) -> Self:
        """Begin with them, the first after `every_s`; 0: there are none.

        With `providers` they use the models of all calls; else the guided model and the engines, which cost nothing.
        """
        if not every_s:
            return cls(None)
        services = replace(services, observers=(), recordings=None, spending=None)
        if not providers:
            services = replace(services, models=GuidedModels(), speech_model=None)

        def probe() -> SelfProbe:
            from voiceagent.cli.self_probe import SelfProbe  # a scripted caller: half a second to import

            return SelfProbe(services, flows, journals=journals, time_zone=time_zone)

        return cls(await asyncio.to_thread(probe), every_s=every_s)

    @property
    def proven(self) -> bool:
        """Whether the last one was answered."""
        return self._probe is None or self._probe.healthy

    async def stop(self) -> None:
        """Make no more of them, and break off the one there is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
