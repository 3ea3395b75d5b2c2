"""The stages of the service, stated once: streams, consumer groups, messages and the processes that read them.

The workers, the figures of the queues, health, AsyncAPI, the access lists and the autoscaling rules derive from here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import msgspec

from schemas.messages import (
    AddTask,
    CorrectTask,
    EmbedTask,
    EnhanceTask,
    EnrolTask,
    EraseTask,
    FinalizeTask,
    FrameTask,
    JoinTask,
    MatchTask,
    PortraitsTask,
    PreviewTask,
    ReembedTask,
    SearchTask,
    SegmentTask,
)
from schemas.names import Names, Priority
from schemas.requests import AnalyzeRequest
from schemas.webhooks import LibraryWebhookTask, WebhookTask


class WorkerType(NamedTuple):
    """An argument of ``python -m consumers``: its stages run together and share what they have loaded.

    Attributes:
        process: entry of the Procfile that runs it, and the deployment ``faces-…`` in Kubernetes.
        required: without a worker of this type jobs wait, and health answers "degraded".
    """

    name: str
    process: str
    required: bool


WORKER_TYPES = (
    WorkerType("frames", process="frames", required=True),
    WorkerType("analyze", process="analyze", required=True),
    WorkerType("enhance", process="enhance", required=True),
    WorkerType("finalize", process="finalize", required=True),
    WorkerType("webhooks", process="finalize", required=False),
)
PROCESSES: dict[str, tuple[str, ...]] = {
    process: tuple(worker.name for worker in WORKER_TYPES if worker.process == process)
    for process in dict.fromkeys(worker.process for worker in WORKER_TYPES)
}
"""Worker types by the process that runs them. The API is a process beside these."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A handler, the streams it reads and the messages on them.

    Attributes:
        name: module of ``consumers.stages``, and name of its workers.
        group: consumer group on each stream.
        worker_type: name of the `WorkerType` that runs it.
        streams: description by stream; a worker reads all of them, each with its own limits.
        messages: struct of the body by message type.
        backlog: outstanding entries of a stream for each of which autoscaling wants a replica.
        home_only: only the home partition has workers for it.
        fair: callers take turns: its streams have fair queues (schemas.store.fair_queue).
    """

    name: str
    group: str
    worker_type: str
    streams: Mapping[str, str]
    messages: Mapping[str, type[Any]]
    backlog: int
    home_only: bool = False
    fair: bool = False

    def stream(self, lane: str = "") -> str:
        """The stream of a lane, which is the last part of its name; without one the stream that has no lane."""
        base = min(self.streams, key=len)
        stream = f"{base}:{lane}" if lane else base
        if stream not in self.streams:
            raise ValueError(f"stage {self.name} has no lane {lane!r}")
        return stream


def stages(names: Names) -> tuple[Stage, ...]:
    """All stages, with the streams of one partition."""
    priorities: tuple[Priority, ...] = get_args(Priority)
    return (
        Stage(
            name="admission",
            group="frames",  # of the stage that read these streams before there were accepted jobs
            worker_type="finalize",
            streams=dict.fromkeys(map(names.requests_of, priorities), "Videos to find the people in"),
            messages={"analyze": AnalyzeRequest},
            backlog=64,
        ),
        Stage(
            name="frames",
            group="frames",
            worker_type="frames",
            streams=dict.fromkeys(
                map(names.accepted_of, priorities), "Accepted jobs, whose video is to be sampled"
            ),
            messages={"analyze": AnalyzeRequest},
            backlog=4,
            fair=True,
        ),
        Stage(
            name="joins",
            group="joins",
            worker_type="finalize",
            streams={names.joins: "Jobs that another one, completed or running, may answer for"},
            messages={"join": JoinTask},
            backlog=64,
        ),
        Stage(
            name="segments",
            group="frames",
            worker_type="frames",
            streams=dict.fromkeys(map(names.segments_of, priorities), "Parts of long films to sample"),
            messages={"segment": SegmentTask},
            backlog=4,
            fair=True,
        ),
        Stage(
            name="analyze",
            group="analyze",
            worker_type="analyze",
            streams={
                names.frames: "Frames to find the faces of",
                names.express: "The same, of short jobs, beginnings and enhanced frames",
                names.urgent: "The same, of high priority; the best shots of all jobs",
            },
            messages={"frame": FrameTask, "portraits": PortraitsTask},
            backlog=64,
            fair=True,
        ),
        Stage(
            name="enhance",
            group="enhance",
            worker_type="enhance",
            streams={names.enhance: "Frames to have enhanced"},
            messages={"enhance": EnhanceTask},
            backlog=32,
            fair=True,
        ),
        Stage(
            name="finalize",
            group="finalize",
            worker_type="finalize",
            streams={names.finalize: "Jobs whose frames are complete, or whose people so far are asked for"},
            messages={"finalize": FinalizeTask, "preview": PreviewTask},
            backlog=8,
            fair=True,
        ),
        Stage(
            name="webhooks",
            group="webhooks",
            worker_type="webhooks",
            streams={names.webhooks: "Ends of jobs to tell to their callback_url, and events of libraries"},
            messages={"webhook": WebhookTask, "library_webhook": LibraryWebhookTask},
            backlog=64,
        ),
        Stage(
            name="collections",
            group="collections",
            worker_type="finalize",
            streams={names.collections: "Faces to enrol, to look for and to erase"},
            messages={"enrol": EnrolTask, "search": SearchTask, "match": MatchTask, "erase": EraseTask},
            backlog=64,
        ),
        Stage(
            name="library",
            group="library",
            worker_type="finalize",
            streams={names.library: "People of completed jobs to add to libraries, corrections, searches"},
            messages={"add": AddTask, "correct": CorrectTask, "search": SearchTask, "reembed": ReembedTask},
            backlog=64,
        ),
        Stage(
            name="photographs",
            group="photographs",
            worker_type="analyze",
            streams={
                names.photographs: "Uploaded photographs to look for the face of, faces of libraries to embed anew"
            },
            messages={"photograph": SearchTask, "embed": EmbedTask},
            backlog=16,
            home_only=True,
        ),
    )


def stage(names: Names, name: str) -> Stage:
    """The stage of that name."""
    return next(stage for stage in stages(names) if stage.name == name)


def groups(names: Names) -> dict[str, str]:
    """The consumer group of every stream of a partition."""
    return {stream: stage.group for stage in stages(names) for stream in stage.streams}


def process_of(stage: Stage) -> str:
    """The Procfile entry that runs a stage."""
    return next(worker.process for worker in WORKER_TYPES if worker.name == stage.worker_type)
