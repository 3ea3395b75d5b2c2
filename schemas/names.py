"""Names of streams and keys, all in one place; schemas.topology has the consumer groups."""

import re
import secrets
import zlib
from typing import Literal, NamedTuple

Priority = Literal["high", "normal", "low"]

EXPRESS_FRAMES = 32
"""Jobs with at most this many frames use the express stream: a minute of film at the default interval."""
FIRST_FRAMES = 4
"""The first frames of every job use the express stream as well, so that a client sees its progress begin."""

CALLER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""A caller: the name of an API key, or the `tenant` of a request."""
PUBLISHED = "requests/"
"""What stands before the `tenant` of a request that a service has published itself: it takes nothing from the
share of a key."""

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""A job id becomes part of keys and URLs: no braces (hash tags), no slashes, no characters special to a shell."""


class JobKeys(NamedTuple):
    """The keys of one job."""

    metadata: str  # hash: the job's record (schemas.store.job_record)
    result: str  # hash: encoded body, its type, its ETag
    outcomes: str  # hash: unit (frame) -> outcome; its length is the job's progress
    faces: str  # hash: unit -> observed faces (schemas.observations.FrameFaces)
    portraits: str  # hash: portrait_field -> JPEG crop of a face, for models that run once per person
    preview: str  # hash: people found so far in a running job (schemas.store.previews)
    frames: str  # hash: name -> encoded picture of a frame (consumers.sources.frame_store)
    callbacks: str  # hash: this job, and those that it answers for -> encoded schemas.webhooks.Callback


class JobCopies(NamedTuple):
    """Copies of a job's state and result for programs that share the server, as JSON (``scripts/common.lua``).

    They live as long as the record. Nothing in this service reads them.
    """

    metadata: str
    result: str  # the key that the specification names
    results: str  # the same, under the key that vision-api reads


def portrait_field(index: int, position: int, enhanced: bool) -> str:
    """Field of a face's crop in `JobKeys.portraits`; crops of an enhanced picture have fields of their own."""
    return f"{index}{'+' if enhanced else ''}/{position}"


COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A collection's name becomes part of keys."""
PERSON_ID = re.compile(r"person-[0-9a-f]{24}")
ENROLLED_ID = re.compile(r"face-[0-9a-f]{24}")


class CollectionKeys(NamedTuple):
    """The keys of one collection of known people (schemas.store.collections), without a time to live.

    A person is ``person-…``, an enrolled face ``face-…``.
    """

    state: str  # hash: epoch, created_at, model; counters added, erased, numbered, renamed
    people: str  # hash: person -> label
    labels: str  # hash: label -> person
    roll: str  # sorted set: people, in the order in which they were added
    faces: str  # hash: face -> its person, a space, encoded schemas.store.collections.Origin
    members: str  # sorted set, all scores 0: "person/face"
    pending: str  # hash: face -> encoded schemas.store.collections.Candidate, accepted and not enrolled yet
    order: str  # sorted set: enrolled faces, in the order of their enrolment
    vectors: str  # hash: face -> 512 little-endian float32 of length 1
    thumbnails: str  # hash: face -> JPEG
    matched: str  # sorted set: "person job" by the time (s) until which the job's result may name the person


LIBRARY = COLLECTION
"""A library's name becomes part of keys."""
FACE_NAME = re.compile(r"face_[0-9]{1,9}")
"""A face of a result."""


class LibraryKeys(NamedTuple):
    """The keys of one library of people across films (schemas.store.libraries), without a time to live.

    A face is ``JOB/face_N``, as in the result of that job; ``JOB~2/face_N`` when another film had a job of that id.
    """

    state: str  # hash: created, last (id in the log), collections (whose people the films show), reembedding
    log: str  # stream: the entries in order; id and kind
    entries: str  # hash: id in the log -> encoded schemas.library.Entry
    inbox: str  # stream: corrections in order of acceptance, not applied yet
    writer: str  # name of the worker that appends at present
    people: str  # hash: person -> encoded schemas.library_records.PersonRecord
    merged: str  # hash: person who was merged into another -> that one
    roll: str  # sorted set, all scores 0: people
    named: str  # sorted set, all scores 0: people with a label
    members: str  # sorted set, all scores 0: "person face"
    faces: str  # hash: face -> encoded schemas.library_records.FaceRecord
    placed: str  # hash: face -> encoded schemas.library_records.Placed
    films: str  # hash: film -> encoded schemas.library_records.FilmRecord
    shelf: str  # sorted set, all scores 0: films
    jobs: str  # hash: job -> its name in the ids of faces, where another film had a job of that id before
    corrections: str  # sorted set, all scores 0: ids in the log of the corrections
    divisions: str  # hash: film -> encoded schemas.divisions.Divisions, of films that were divided
    joins: str  # sorted set, all scores 0: ids in the log of the automatic merges
    suggestions: str  # sorted set: encoded schemas.library_records.Suggestion by what an answer settles
    thumbnails: str  # hash: face -> JPEG


KEPT = "-service"
"""What the prefix of a key that only this service uses has behind the prefix of the shared ones. Programs that share
the server delete ``faces:*`` to clear a cache; ``faces-service:*`` stays."""


SHARED = re.compile(r"requests(:high|:low)?|events|cache:.*")
"""Keys, without the prefix, that earlier versions had under the present name."""


class Names:
    """Names of the streams and keys of one partition.

    Attributes:
        shared: first part of the keys that other programs know: streams of requests, copies of states, of results and
            of events, the cache. Another program may delete them.
        prefix: first part of all other keys.
    """

    def __init__(self, shared: str = "faces") -> None:
        self.shared = shared
        self.prefix = prefix = f"{shared}{KEPT}"
        # Streams that consumer groups read: schemas.topology
        self.requests = f"{shared}:requests"  # of normal priority, see requests_of
        self.accepted = self.stream("accepted")  # of normal priority, see accepted_of
        self.segments = self.stream("segments")  # of normal priority, see segments_of
        self.frames = self.stream("frames")
        self.express = self.stream("frames:express")  # of short jobs, see frames_of
        self.urgent = self.stream("frames:urgent")  # of high priority; best shots of all jobs
        self.joins = self.stream("joins")
        self.enhance = self.stream("enhance")
        self.finalize = self.stream("finalize")
        self.webhooks = self.stream("webhooks")
        self.collections = self.stream("collections")
        self.photographs = self.stream("photographs")
        self.library = self.stream("library")
        # Everything else
        self.collection_names = f"{prefix}:collections:names"  # set: names of the collections
        self.library_names = f"{prefix}:libraries:names"  # set: names of the libraries
        self.dead = f"{prefix}:dead"
        self.events = f"{prefix}:events"  # copied to shared_events by the script that ends a job
        self.shared_events = f"{shared}:events"
        self.active = f"{prefix}:active"  # sorted set: jobs that have not ended, by deadline (ms)
        self.jobs = f"{prefix}:jobs"  # sorted set: jobs by the time (ms) they were submitted
        self.keys = f"{prefix}:keys"  # hash: name of an API key -> schemas.store.api_keys.ApiKey
        self.observed = (
            f"{prefix}:observed"  # hash: job -> fingerprint of its source (schemas.store.observations)
        )
        self.observation_ages = f"{prefix}:observations:ages"  # sorted set: sources by their last use (s)
        self.observation_sizes = f"{prefix}:observations:sizes"  # hash: source -> bytes; "total": of all
        self.ready = f"{prefix}:ready"  # written by the readiness probe of the API
        self.workers = f"{prefix}:workers"  # hash: consumer -> schemas.store.workers.WorkerInfo

    def stream(self, name: str) -> str:
        """The key of the stream of that name, which no other program knows."""
        return f"{self.prefix}:{name}"

    def short(self, key: str) -> str:
        """The name of a stream without its prefix."""
        return key.removeprefix(f"{self.shared}:").removeprefix(f"{self.prefix}:")

    @classmethod
    def of_stream(cls, key: str) -> "Names":
        """The names of the partition that a stream of this service, not a shared one, belongs to."""
        prefix, found, _ = key.rpartition(f"{KEPT}:")
        if not found:
            raise ValueError(f"{key!r} is no stream of this service")
        return cls(prefix)

    def kept(self, key: str) -> str:
        """The present key of what an earlier version stored under another prefix (schemas.store.migration)."""
        name = key.removeprefix(f"{self.shared}:")
        return key if name == key or SHARED.fullmatch(name) else f"{self.prefix}:{name}"

    def delayed(self, stream: str) -> str:
        """The delay set of a stream: messages that wait for a retry."""
        return f"{self.stream(self.short(stream))}:delayed"

    def scan(self, stream: str) -> str:
        """The state of the search for expired leases of a stream (consumers.runtime.recovery)."""
        return f"{self.stream(self.short(stream))}:scan"

    def requests_of(self, priority: Priority) -> str:
        """The stream to which services publish requests of a priority."""
        return self.requests if priority == "normal" else f"{self.requests}:{priority}"

    def accepted_of(self, priority: Priority) -> str:
        """The stream of accepted jobs of a priority. Each has its own workers, so that none waits for another."""
        return self.accepted if priority == "normal" else f"{self.accepted}:{priority}"

    def segments_of(self, priority: Priority) -> str:
        """The stream of parts of long films whose requests have a priority."""
        return self.segments if priority == "normal" else f"{self.segments}:{priority}"

    def frames_of(self, priority: Priority, index: int, expected: int) -> str:
        """The stream of a frame. Analyze workers read all streams in turn, so that long films do not delay short
        ones, nor many short ones a long or an urgent one.

        Args:
            index: number of the frame in its job, from 0.
            expected: estimated number of frames of the job; 0 when unknown.
        """
        if priority == "high":
            return self.urgent
        soon = index < (EXPRESS_FRAMES if expected <= EXPRESS_FRAMES else FIRST_FRAMES)
        return self.express if priority == "normal" and soon else self.frames

    def job(self, job_id: str) -> JobKeys:
        """The keys of a job."""
        base = f"{self.prefix}:job:{job_id}"
        return JobKeys(
            f"{base}:metadata",
            f"{base}:result",
            f"{base}:outcomes",
            f"{base}:faces",
            f"{base}:portraits",
            f"{base}:preview",
            f"{base}:frames",
            f"{base}:callbacks",
        )

    def copies(self, job_id: str) -> JobCopies:
        """The keys of a job that other programs read."""
        base = f"{self.shared}:job:{job_id}"
        return JobCopies(*(f"{base}:{part}" for part in JobCopies._fields))

    def tombstone(self, job_id: str) -> str:
        """Returns the key of the time at which a job was deleted: requests published before do not start it again."""
        return f"{self.prefix}:job:{job_id}:deleted"

    def collection(self, name: str) -> CollectionKeys:
        """The keys of a collection."""
        base = f"{self.prefix}:collection:{name}"
        return CollectionKeys(*(f"{base}:{part}" for part in CollectionKeys._fields))

    def library_keys(self, name: str) -> LibraryKeys:
        """The keys of a library."""
        base = f"{self.prefix}:library:{name}"
        return LibraryKeys(*(f"{base}:{part}" for part in LibraryKeys._fields))

    def film(self, job_id: str) -> str:
        """Returns the key of what a completed job adds to a library (schemas.store.additions.Addition), until it has
        been added."""
        return f"{self.prefix}:job:{job_id}:film"

    def observations(self, source: str) -> str:
        """Hash: what was seen in the pictures of a source (schemas.store.observations)."""
        return f"{self.prefix}:observations:source:{source}"

    def observers(self, source: str) -> str:
        """Set: jobs that have observed a source."""
        return f"{self.prefix}:observations:jobs:{source}"

    def search(self, question: str) -> str:
        """What a question searches for (schemas.store.replies)."""
        return f"{self.prefix}:search:{question}"

    def answer(self, question: str) -> str:
        """List: the reply to a question (schemas.store.replies)."""
        return f"{self.prefix}:answer:{question}"

    def cache(self, cache_key: str) -> str:
        """Id of the job that answers requests with this cache key (schemas.store.job_record.cache_key)."""
        return f"{self.shared}:cache:{cache_key}:job_id"

    def idempotency(self, digest: str) -> str:
        """Hash of the request, and job id, of an Idempotency-Key."""
        return f"{self.prefix}:idempotency:{digest}"

    def enhanced(self, cache_key: str) -> str:
        """A frame enhanced by the Frame Server."""
        return f"{self.prefix}:enhanced:{cache_key}"


class Partitions:
    """The partitions that jobs are distributed over, one by default.

    On Redis Cluster all keys of a script must lie in one slot. With several partitions the prefix of each is a hash
    tag (``{faces:3}``), and a job's streams, frames and result lie in one of them; with one partition the prefix is
    used as it is (``faces``, or ``{faces}`` on a cluster). Both prefixes of a partition have the same tag.

    Args:
        prefix: without braces when there are several partitions.
        count: must not change while there is data: the partition of a job depends on it.
    """

    def __init__(self, prefix: str = "faces", count: int = 1) -> None:
        self.all = (Names(prefix),) if count == 1 else tuple(Names(f"{{{prefix}:{n}}}") for n in range(count))

    @property
    def home(self) -> Names:
        """The partition of everything that belongs to no job."""
        return self.all[0]

    def of(self, job_id: str) -> Names:
        """The partition of a job: CRC-32 of its id, modulo their number."""
        return self.all[self._number(job_id)]

    def new_job_id(self, source: str) -> str:
        """A new job id in the partition of the source's path, so that jobs on one film can share a result."""
        wanted = self._number(source)
        while True:
            job_id = f"faces-{secrets.token_hex(12)}"
            if self._number(job_id) == wanted:
                return job_id

    def _number(self, text: str) -> int:
        return zlib.crc32(text.encode()) % len(self.all)
