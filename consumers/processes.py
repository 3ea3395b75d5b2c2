"""The stages that a process runs: modules of ``consumers.stages``, by the topology.

Only the modules that a process needs are imported, since the networks, the decoders and the mathematics of clustering
take seconds of a start, and memory, in every process that loads them.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from consumers.runtime.stage import Stage
from consumers.service import Service, Shared
from schemas.topology import stages

Build = Callable[[Service, Shared], Iterator[Stage]]
"""Function ``build`` of each module of ``consumers.stages``: the stages on its streams in one partition."""


def build_stages(worker_type: str, services: Sequence[Service], shared: Shared) -> Iterator[Stage]:
    """The stages of a worker type.

    Args:
        services: one for each partition, the home partition's first.
    """
    home = services[0].names
    for stage in stages(home):
        if stage.worker_type == worker_type:
            build: Build = import_module(f"consumers.stages.{stage.name}").build
            for service in services[:1] if stage.home_only else services:
                yield from build(service, shared)
