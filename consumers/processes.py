"""The stages that a process runs. Each imports what its work needs and nothing else, since the networks, the decoders
and the mathematics of clustering take seconds of a start, and memory, in every process that loads them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import get_args

from consumers.runtime.stage import Stage
from consumers.service import Service
from schemas.names import Priority

Build = Callable[[Sequence[Service], ExitStack], Iterator[Stage]]
"""One service a partition → the stages on their streams; what they share is closed with the stack."""


def _frames(services: Sequence[Service], _: ExitStack) -> Iterator[Stage]:
    from consumers.stages.frames import FramesStage
    from consumers.stages.segments import SegmentsStage

    for service in services:
        for priority in get_args(Priority):
            yield FramesStage(service, priority)
            yield SegmentsStage(service, priority)


def _analyze(services: Sequence[Service], held: ExitStack) -> Iterator[Stage]:
    from consumers.inference import InferenceThread
    from consumers.stages.analyze import AnalyzeStage
    from consumers.stages.photographs import PhotographsStage

    inference = InferenceThread(services[0].settings)
    held.callback(inference.close)
    for service in services:
        yield AnalyzeStage(service, inference)
        yield AnalyzeStage(service, inference, "express")
        yield AnalyzeStage(service, inference, "urgent")
        if service.names is service.partitions.home:
            yield PhotographsStage(service, inference)


def _enhance(services: Sequence[Service], _: ExitStack) -> Iterator[Stage]:
    from consumers.stages.enhance import EnhanceStage

    return (EnhanceStage(service) for service in services)


def _finalize(services: Sequence[Service], held: ExitStack) -> Iterator[Stage]:
    from consumers.galleries.replicas import CollectionReplicas
    from consumers.stages.collections import CollectionsStage
    from consumers.stages.finalize import FinalizeStage

    first = services[0]
    replicas = CollectionReplicas(first.redis, first.partitions.home, first.settings.worker_threads)
    held.callback(replicas.close)
    for service in services:
        yield FinalizeStage(service)
        yield CollectionsStage(service, replicas)


def _webhooks(services: Sequence[Service], _: ExitStack) -> Iterator[Stage]:
    from consumers.stages.webhooks import WebhooksStage

    return (WebhooksStage(service) for service in services)


STAGES: dict[str, Build] = {
    "frames": _frames,
    "analyze": _analyze,
    "enhance": _enhance,
    "finalize": _finalize,
    "webhooks": _webhooks,
}
