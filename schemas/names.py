"""Names of streams, consumer groups and keys. One place, so that a script's keys can be found by reading."""

import re
import secrets
import zlib
from typing import Literal, NamedTuple

Priority = Literal["high", "normal", "low"]

EXPRESS_FRAMES = 32
"""Most frames of a job that counts as short, all of which wait apart from those of long films: a minute at the
default interval."""
FIRST_FRAMES = 4
"""Frames of every job that wait with those of short ones, for whoever watches it begin."""

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""A job id becomes part of keys: no braces (hash tags), no slashes, nothing that a shell or a path minds."""


class JobKeys(NamedTuple):
    """The keys of one job."""

    metadata: str  # hash: state of the job, see schemas.store.job_record
    result: str  # hash: encoded body, its type, its ETag
    outcomes: str  # hash: unit (frame) -> outcome; its length is the job's progress
    faces: str  # hash: unit -> observed faces (schemas.observations.FrameFaces)
    portraits: str  # hash: unit/number -> JPEG crop of a face, for what runs once a person
    preview: str  # hash: the people so far of a running job that somebody looks at (schemas.store.previews)

    def frame(self, name: str) -> str:
        """The encoded picture of one frame in the frame store."""
        return f"{self.metadata.removesuffix(':metadata')}:frame:{name}"


def portrait_field(index: int, position: int, enhanced: bool) -> str:
    """Where in a job's portraits the crop of a face lies: those of an enhanced picture apart from the original's."""
    return f"{index}{'+' if enhanced else ''}/{position}"


COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A collection's name becomes part of keys."""
PERSON_ID = re.compile(r"person-[0-9a-f]{24}")
ENROLLED_ID = re.compile(r"face-[0-9a-f]{24}")


class CollectionKeys(NamedTuple):
    """The keys of one collection of known people. None has a time to live: it stays until somebody deletes it.
    A person is ``person-…``, an enrolled face ``face-…`` (schemas.store.collections)."""

    state: str  # hash: epoch, created_at, model; counters added, erased, numbered
    people: str  # hash: person -> label
    labels: str  # hash: label -> person
    roll: str  # sorted set: people, in the order in which they came
    faces: str  # hash: face -> its person, a space, encoded schemas.store.collections.Origin
    members: str  # sorted set, all scores 0: "person/face"
    pending: str  # hash: face -> encoded schemas.store.collections.Candidate, accepted and not enrolled yet
    order: str  # sorted set: enrolled faces, in the order in which they were
    vectors: str  # hash: face -> 512 little-endian float32 of length 1
    thumbnails: str  # hash: face -> JPEG
    matched: (
        str  # sorted set: "person job" by the time (s) until which the job's result may tell of the person
    )


class Names:
    """All names under one prefix, those of one partition."""

    def __init__(self, prefix: str = "faces") -> None:
        self.prefix = prefix
        # Streams that consumer groups read: schemas.topology
        self.requests = self.stream("requests")  # of normal priority, see requests_of
        self.segments = self.stream("segments")  # of normal priority, see segments_of
        self.frames = self.stream("frames")
        self.express = self.stream("frames:express")  # of short jobs, see frames_of
        self.urgent = self.stream("frames:urgent")  # of high priority; best shots of all jobs
        self.enhance = self.stream("enhance")
        self.finalize = self.stream("finalize")
        self.webhooks = self.stream("webhooks")
        self.collections = self.stream("collections")
        self.photographs = self.stream("photographs")
        # Everything else
        self.collection_names = f"{prefix}:collections:names"  # set: the collections there are
        self.dead = f"{prefix}:dead"
        self.events = f"{prefix}:events"
        self.active = f"{prefix}:active"  # sorted set: jobs that have not ended, by deadline (ms)
        self.jobs = f"{prefix}:jobs"  # sorted set: jobs by the time (ms) they were submitted
        self.keys = f"{prefix}:keys"  # hash: name of an API key -> schemas.store.api_keys.ApiKey
        self.workers = f"{prefix}:workers"  # hash: consumer -> what it says of itself (schemas.store.workers)

    def stream(self, name: str) -> str:
        """The key of the stream of that name."""
        return f"{self.prefix}:{name}"

    def requests_of(self, priority: Priority) -> str:
        """The stream of the requests of a priority; each has workers of its own, so none waits for another."""
        return self.requests if priority == "normal" else f"{self.requests}:{priority}"

    def segments_of(self, priority: Priority) -> str:
        """The stream of the parts of films whose requests have a priority."""
        return self.segments if priority == "normal" else f"{self.segments}:{priority}"

    def frames_of(self, priority: Priority, index: int, expected: int) -> str:
        """The stream of a frame of a job that has about so many; 0: nobody can tell. Analyze workers take from all in
        turn, so that neither many frames of long films hold up a short one, nor many short ones a long or an urgent
        one."""
        if priority == "high":
            return self.urgent
        soon = index < (EXPRESS_FRAMES if expected <= EXPRESS_FRAMES else FIRST_FRAMES)
        return self.express if priority == "normal" and soon else self.frames

    def job(self, job_id: str) -> JobKeys:
        base = f"{self.prefix}:job:{job_id}"
        return JobKeys(
            f"{base}:metadata",
            f"{base}:result",
            f"{base}:outcomes",
            f"{base}:faces",
            f"{base}:portraits",
            f"{base}:preview",
        )

    def collection(self, name: str) -> CollectionKeys:
        base = f"{self.prefix}:collection:{name}"
        return CollectionKeys(*(f"{base}:{part}" for part in CollectionKeys._fields))

    def search(self, question: str) -> str:
        """What is searched for (schemas.store.replies), for a minute."""
        return f"{self.prefix}:search:{question}"

    def answer(self, question: str) -> str:
        """List: the answer to whoever waits for it, for a minute."""
        return f"{self.prefix}:answer:{question}"

    def cache(self, cache_key: str) -> str:
        return f"{self.prefix}:cache:{cache_key}:job_id"

    def idempotency(self, digest: str) -> str:
        """The request and the job that an Idempotency-Key stands for."""
        return f"{self.prefix}:idempotency:{digest}"

    def enhanced(self, cache_key: str) -> str:
        """A frame as the Frame Server enhanced it."""
        return f"{self.prefix}:enhanced:{cache_key}"


class Partitions:
    """The partitions that jobs are spread over, one by default.

    On Redis Cluster all that one script touches must lie in one slot. With several partitions the prefix of each is
    a hash tag (``{faces:3}``), and a job lives in one of them with its streams, its frames and its result; with one
    the names are the prefix as it is (``faces``, or ``{faces}`` on a cluster).

    Args:
        prefix: without braces when there are several partitions.
        count: fixed for the life of the data: with another number, jobs are looked for elsewhere.
    """

    def __init__(self, prefix: str = "faces", count: int = 1) -> None:
        self.all = (Names(prefix),) if count == 1 else tuple(Names(f"{{{prefix}:{n}}}") for n in range(count))

    @property
    def home(self) -> Names:
        """Where lies what belongs to no job."""
        return self.all[0]

    def of(self, job_id: str) -> Names:
        """The partition of a job: CRC-32 of its id, modulo their number."""
        return self.all[self._number(job_id)]

    def new_job_id(self, source: str) -> str:
        """A job id in the partition that the source's path falls in: jobs on one film find each other's answers."""
        wanted = self._number(source)
        while True:
            job_id = f"faces-{secrets.token_hex(12)}"
            if self._number(job_id) == wanted:
                return job_id

    def _number(self, text: str) -> int:
        return zlib.crc32(text.encode()) % len(self.all)
