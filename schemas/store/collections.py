"""Collections of known people that faces are compared with. They belong to no job and exist until deleted.

A collection is created with its first face. Each person has a label, unique in the collection, and faces: embedding
and best shot of a face of a job. A face is accepted in one atomic step (its data, its person, the task to enrol it)
and is searchable once a worker has enrolled it. Erasing a person deletes all of it in one step; a task that arrives
later finds nothing to enrol. The data lies in the home partition.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

import msgspec
from redis.asyncio import Redis

from schemas.collections import CollectionInfo, EnrolledFace, KnownPerson, PeopleList, PersonSummary
from schemas.envelope import MSGPACK, seal
from schemas.messages import EnrolTask, EraseTask
from schemas.names import CollectionKeys, Names
from schemas.store.lua import Call, Value, load, run

ADMIT, ENROL, RENAME, ERASE, DROP, RECALL = (
    load(__package__, f"collection_{name}")
    for name in ("admit", "enrol", "rename", "erase", "drop", "recall")
)
MAX_QUEUED_TASKS = 1000
"""At this length the stream of a collections stage accepts no more tasks: callers get 503 instead of a long wait."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The face of a job that an enrolled face comes from."""

    job_id: str
    job_face_id: str
    added_at: str


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """A face to enrol: its embedding (`schemas.vectors.packed`) and its thumbnail (JPEG, may be empty)."""

    embedding: bytes
    thumbnail: bytes


class Busy(Exception):
    """The queue of tasks is at its limit; try again later."""


class Refused(Exception):
    """The change conflicts with the collection's content; the text says why."""


Admitted = tuple[Literal["new", "known"], str]
"""Whether the face is new or was enrolled before, and its id."""


class Collections:
    """Reads and writes collections.

    Args:
        redis: client with ``decode_responses=False``.
        names: of the home partition.
        max_queued: length of the stream from which `admit` raises Busy.
    """

    def __init__(self, redis: Redis, names: Names, max_queued: int = MAX_QUEUED_TASKS) -> None:
        self._redis = redis
        self._names = names
        self._max_queued = max_queued

    async def exists(self, name: str) -> bool:
        """Whether there is a collection of that name."""
        return bool(await self._redis.sismember(self._names.collection_names, name))

    async def all(self) -> list[CollectionInfo]:
        """All collections, by name."""
        members = cast("set[bytes]", await self._redis.smembers(self._names.collection_names))
        return [info for name in sorted(members) if (info := await self.info(name.decode())) is not None]

    async def info(self, name: str) -> CollectionInfo | None:
        """A collection's model and size; None when there is none of that name."""
        keys = self._names.collection(name)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.state, ["created_at", "model"])
            pipe.hlen(keys.people)
            pipe.zcard(keys.order)
            (created, model), people, faces = await pipe.execute()
        if created is None:
            return None
        return CollectionInfo(
            name=name, created_at=created.decode(), model=model.decode(), people=people, faces=faces
        )

    async def admit(
        self,
        name: str,
        label: str,
        candidate: Candidate,
        model: str,
        job_id: str,
        job_face_id: str,
        question: str,
    ) -> Admitted:
        """Accepts a face. Idempotent for the same face and person.

        Raises:
            Busy: the queue of tasks is at its limit.
            Refused: the face belongs to another person, or comes from another model than the collection's.
        """
        keys, face = self._names.collection(name), face_id(candidate.embedding)
        origin = Origin(job_id=job_id, job_face_id=job_face_id, added_at=_now())
        message = _task("enrol", EnrolTask(collection=name, face=face, question=question), question)
        call = Call(
            ADMIT,
            keys=[
                self._names.collection_names, self._names.collections, keys.state, keys.people, keys.labels,
                keys.roll, keys.faces, keys.members, keys.pending,
            ],
            args=[
                name, self._max_queued, model, label, f"person-{secrets.token_hex(12)}", face,
                msgspec.json.encode(origin), msgspec.msgpack.encode(candidate), secrets.token_hex(8),
                origin.added_at, MSGPACK, message,
            ],
        )  # fmt: skip
        answer = cast("list[bytes]", await run(self._redis, call))
        match answer:
            case [b"full", length]:
                raise Busy(f"{int(length)} tasks wait already; try again later")
            case [b"taken", other]:
                raise Refused(f"This face is enrolled as {other.decode()!r} already.")
            case [b"model", other]:
                raise Refused(
                    f"Collection {name!r} holds faces of model pack {other.decode()!r}, and this is one of {model!r}."
                )
            case [how, _]:
                return cast("Literal['new', 'known']", how.decode()), face
        raise AssertionError(answer)

    async def candidate(self, name: str, face: str) -> Candidate | None:
        """A face that is accepted and not enrolled yet; None when there is none."""
        stored = cast("bytes | None", await self._redis.hget(self._names.collection(name).pending, face))
        return msgspec.msgpack.decode(stored, type=Candidate) if stored else None

    async def enrol(self, name: str, face: str, vector: bytes, thumbnail: bytes) -> bool:
        """Makes an accepted face searchable; False when it has been erased."""
        keys = self._names.collection(name)
        places = [keys.pending, keys.state, keys.order, keys.vectors, keys.thumbnails]
        return bool(await run(self._redis, Call(ENROL, places, [face, vector, thumbnail])))

    async def face(self, name: str, face: str) -> EnrolledFace | None:
        """An enrolled face; None when there is none of that id."""
        keys = self._names.collection(name)
        stored = cast("bytes | None", await self._redis.hget(keys.faces, face))
        if stored is None:
            return None
        person, _, origin = stored.partition(b" ")
        label = cast("bytes | None", await self._redis.hget(keys.people, person.decode()))
        return None if label is None else _enrolled(name, person, label, face, origin)

    async def people(self, name: str, limit: int, after: int) -> PeopleList:
        """A page of the people, in the order in which they were added.

        Args:
            after: `PeopleList.after` of the previous page; 0 for the first one.
        """
        keys = self._names.collection(name)
        entries = cast(
            "list[tuple[bytes, float]]",
            await self._redis.zrange(
                keys.roll, f"({after}", "+inf", byscore=True, offset=0, num=limit, withscores=True
            ),
        )
        async with self._redis.pipeline(transaction=False) as pipe:
            for person, _ in entries:
                pipe.hget(keys.people, person)
                pipe.zlexcount(keys.members, *_range(person))
            answers = await pipe.execute()
        people = [
            PersonSummary(person_id=person.decode(), label=label.decode(), faces=faces)
            for (person, _), label, faces in zip(entries, answers[::2], answers[1::2], strict=True)
            if label is not None  # erased since
        ]
        return PeopleList(people=people, after=int(entries[-1][1]) if len(entries) == limit else None)

    async def person(self, name: str, person_id: str) -> KnownPerson | None:
        """A person with all faces; None when there is none of that id."""
        keys = self._names.collection(name)
        label = cast("bytes | None", await self._redis.hget(keys.people, person_id))
        if label is None:
            return None
        person = person_id.encode()
        members = cast("list[bytes]", await self._redis.zrangebylex(keys.members, *_range(person)))
        ids = [member.partition(b"/")[2].decode() for member in members]
        stored = cast("list[bytes | None]", await self._redis.hmget(keys.faces, ids)) if ids else []
        faces = [
            _enrolled(name, person, label, face, record.partition(b" ")[2])
            for face, record in zip(ids, stored, strict=True)
            if record is not None
        ]
        return KnownPerson(
            person_id=person_id,
            label=label.decode(),
            faces=sorted(faces, key=lambda face: (face.added_at, face.face_id)),
        )

    async def thumbnail(self, name: str, face: str) -> bytes | None:
        """The picture of an enrolled face (JPEG); None when there is none."""
        return cast("bytes | None", await self._redis.hget(self._names.collection(name).thumbnails, face))

    async def rename(self, name: str, person_id: str, label: str) -> bool:
        """Gives a person another label; False when there is no such person.

        Raises:
            Refused: the label belongs to another person.
        """
        keys = self._names.collection(name)
        answer = await run(
            self._redis, Call(RENAME, [keys.people, keys.labels, keys.state], [person_id, label])
        )
        if answer == -1:
            raise Refused(f"{label!r} is another person of collection {name!r}.")
        return bool(answer)

    async def erase(self, name: str, person_id: str, question: str) -> bool:
        """Erases a person, and from results of jobs afterwards (`EraseTask`); False when there is no such person."""
        keys = self._names.collection(name)
        message = _task("erase", EraseTask(collection=name, question=question), question)
        call = Call(
            ERASE,
            keys=[
                self._names.collections, keys.state, keys.people, keys.labels, keys.roll, keys.members,
                keys.order, keys.faces, keys.pending, keys.vectors, keys.thumbnails,
            ],
            args=[person_id, MSGPACK, message],
        )  # fmt: skip
        return bool(await run(self._redis, call))

    async def drop(self, name: str, question: str) -> bool:
        """Deletes a collection, and its people from results of jobs afterwards (`EraseTask`).

        Returns:
            False when there is no such collection.
        """
        keys = self._names.collection(name)
        message = _task("erase", EraseTask(collection=name, question=question), question)
        places = [self._names.collection_names, self._names.collections, *_all_but_matched(keys)]
        return bool(await run(self._redis, Call(DROP, places, [name, MSGPACK, message])))

    async def recall(self, name: str, people: Sequence[str], job_id: str, kept: float) -> list[str | None]:
        """Labels of people that the result of a job is about to name; None for a person that has been erased.

        Args:
            kept: seconds that the result is kept; erasing a person in that time changes the result.
        """
        if not people:
            return []
        keys = self._names.collection(name)
        args: list[Value] = [job_id, int(kept), *people]
        answer = await run(self._redis, Call(RECALL, [keys.people, keys.matched], args))
        return [label.decode() if label else None for label in cast("list[bytes | None]", answer)]


async def remember(redis: Redis, home: Names, name: str, job_id: str, until: float) -> None:
    """Sets the time (s) until which erasing a person finds a job that matched it."""
    key = home.collection(name).matched
    async for member, _ in redis.zscan_iter(key, match=f"* {job_id}", count=1000):
        await redis.zadd(key, {member: until}, xx=True)


def face_id(embedding: bytes) -> str:
    """Returns the id of a face, a hash of its embedding: enrolled twice from two jobs, it is one face."""
    return f"face-{hashlib.sha256(embedding).hexdigest()[:24]}"


def _enrolled(name: str, person: bytes, label: bytes, face: str, origin: bytes) -> EnrolledFace:
    source = msgspec.json.decode(origin, type=Origin)
    return EnrolledFace(
        collection=name,
        person_id=person.decode(),
        label=label.decode(),
        face_id=face,
        job_id=source.job_id,
        job_face_id=source.job_face_id,
        added_at=source.added_at,
    )


def _range(person: bytes) -> tuple[bytes, bytes]:
    """Bounds of a person's members in lexicographic order; "0" is the character after the slash."""
    return b"[" + person + b"/", b"(" + person + b"0"


def _all_but_matched(keys: CollectionKeys) -> list[str]:
    return [key for key in keys if key != keys.matched]


def _task(type_: str, task: msgspec.Struct, question: str) -> bytes:
    fields: dict[bytes, Any] = seal(type_, "", question, task)
    return cast("bytes", fields[MSGPACK])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
