"""Builds the stages of a worker type from the modules of ``consumers.stages`` that the topology names.

Only these modules are imported: networks, decoders and clustering take seconds at start, and memory.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from consumers.runtime.stage import Stage
from consumers.service import Service, Shared
from schemas.topology import stages

StageFactory = Callable[[Service, Shared], Iterator[Stage]]
"""Type of the function ``build`` of each stage module: yields the stages on its streams in one partition."""


def build_stages(worker_type: str, services: Sequence[Service], shared: Shared) -> Iterator[Stage]:
    """Yields the stages of a worker type.

    Args:
        services: one per partition, the home partition first.
    """
    home = services[0].names
    for stage in stages(home):
        if stage.worker_type == worker_type:
            build: StageFactory = import_module(f"consumers.stages.{stage.name}").build
            for service in services[:1] if stage.home_only else services:
                yield from build(service, shared)
