"""Names of streams, consumer groups and keys. One place, so that a script's keys can be found by reading."""

import re
from typing import Literal, NamedTuple, get_args

Priority = Literal["high", "normal", "low"]

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""A job id becomes part of keys: no braces (hash tags), no slashes, nothing that a shell or a path minds."""


class JobKeys(NamedTuple):
    """The keys of one job."""

    metadata: str  # hash: state of the job, see schemas.jobs
    result: str  # hash: encoded body, its type, its ETag
    outcomes: str  # hash: unit (frame) -> outcome; its length is the job's progress
    faces: str  # hash: unit -> observed faces (schemas.observations.FrameFaces)
    portraits: str  # hash: unit/number -> JPEG crop of a face, for what runs once a person

    def frame(self, name: str) -> str:
        """The encoded picture of one frame in the frame store."""
        return f"{self.metadata.removesuffix(':metadata')}:frame:{name}"


class Names:
    """All names under one prefix. On Redis Cluster the prefix is a hash tag (``{faces}``, ``{faces:3}``):
    everything that one script touches then lies in one slot, and the code is the same."""

    __slots__ = (
        "active",
        "dead",
        "enhance",
        "events",
        "finalize",
        "frames",
        "jobs",
        "prefix",
        "requests",
        "segments",
        "workers",
    )

    def __init__(self, prefix: str = "faces") -> None:
        self.prefix = prefix
        self.requests = f"{prefix}:requests"  # group "frames", as on the two streams of other priorities
        self.segments = f"{prefix}:segments"  # group "frames"
        self.frames = f"{prefix}:frames"  # group "analyze"
        self.enhance = f"{prefix}:enhance"  # group "enhance"
        self.finalize = f"{prefix}:finalize"  # group "finalize"
        self.dead = f"{prefix}:dead"
        self.events = f"{prefix}:events"
        self.active = f"{prefix}:active"  # sorted set: jobs that have not ended, by deadline (ms)
        self.jobs = f"{prefix}:jobs"  # sorted set: jobs by the time (ms) they were submitted
        self.workers = f"{prefix}:workers"  # hash: consumer -> what it says of itself (schemas.workers)

    def requests_of(self, priority: Priority) -> str:
        """The stream of the requests of a priority; each has workers of its own, so none waits for another."""
        return self.requests if priority == "normal" else f"{self.requests}:{priority}"

    @property
    def groups(self) -> dict[str, str]:
        """Every stream that a consumer group reads, and that group."""
        requests = {self.requests_of(priority): "frames" for priority in get_args(Priority)}
        return requests | {
            self.segments: "frames",
            self.frames: "analyze",
            self.enhance: "enhance",
            self.finalize: "finalize",
        }

    def job(self, job_id: str) -> JobKeys:
        base = f"{self.prefix}:job:{job_id}"
        return JobKeys(
            f"{base}:metadata", f"{base}:result", f"{base}:outcomes", f"{base}:faces", f"{base}:portraits"
        )

    def cache(self, cache_key: str) -> str:
        return f"{self.prefix}:cache:{cache_key}:job_id"

    def enhanced(self, cache_key: str) -> str:
        """A frame as the Frame Server enhanced it."""
        return f"{self.prefix}:enhanced:{cache_key}"
