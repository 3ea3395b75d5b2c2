"""Collections of known people, which faces are compared with. They belong to no job and stay until deleted.

A collection is born with its first face. A person in it has a label, which nobody else in it has, and faces: each the
embedding and the best shot of a face of a job. A face is accepted in one step (its data, its person, the task to
enrol it), after which nothing of it is lost, and searchable once a worker has enrolled it. Erasing a person takes all
of it out in one step; a task that comes later finds nothing to enrol. The data lies in the home partition.
"""

import hashlib
import secrets
import time
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
    """The face of a job that an enrolled one was."""

    job_id: str
    job_face_id: str
    added_at: str


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """What is needed to enrol a face: `embedding` as `vectors.packed` makes it, `thumbnail` JPEG or nothing."""

    embedding: bytes
    thumbnail: bytes


class Busy(Exception):
    """Too many tasks wait; try again later."""


class Refused(Exception):
    """The collection cannot take this, as it is now; the text says why."""


Admitted = tuple[Literal["new", "known"], str]
"""Whether the face was there already, and its id."""


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
        return bool(await self._redis.sismember(self._names.collection_names, name))

    async def all(self) -> list[CollectionInfo]:
        told = cast("set[bytes]", await self._redis.smembers(self._names.collection_names))
        return [info for name in sorted(told) if (info := await self.info(name.decode())) is not None]

    async def info(self, name: str) -> CollectionInfo | None:
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
        """Accepts a face; the same one, for the same person, as often as you like.

        Raises:
            Busy: too many tasks wait.
            Refused: the face is another person's, or of another model than the collection.
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
        """What was accepted and is not enrolled yet."""
        stored = cast("bytes | None", await self._redis.hget(self._names.collection(name).pending, face))
        return msgspec.msgpack.decode(stored, type=Candidate) if stored else None

    async def enrol(self, name: str, face: str, vector: bytes, thumbnail: bytes) -> bool:
        """Makes an accepted face searchable; False: it has been erased."""
        keys = self._names.collection(name)
        places = [keys.pending, keys.state, keys.order, keys.vectors, keys.thumbnails]
        return bool(await run(self._redis, Call(ENROL, places, [face, vector, thumbnail])))

    async def face(self, name: str, face: str) -> EnrolledFace | None:
        keys = self._names.collection(name)
        stored = cast("bytes | None", await self._redis.hget(keys.faces, face))
        if stored is None:
            return None
        person, _, origin = stored.partition(b" ")
        label = cast("bytes | None", await self._redis.hget(keys.people, person.decode()))
        return None if label is None else _enrolled(name, person, label, face, origin)

    async def people(self, name: str, limit: int, after: int) -> PeopleList:
        keys = self._names.collection(name)
        told = cast(
            "list[tuple[bytes, float]]",
            await self._redis.zrange(
                keys.roll, f"({after}", "+inf", byscore=True, offset=0, num=limit, withscores=True
            ),
        )
        async with self._redis.pipeline(transaction=False) as pipe:
            for person, _ in told:
                pipe.hget(keys.people, person)
                pipe.zlexcount(keys.members, *_range(person))
            answers = await pipe.execute()
        people = [
            PersonSummary(person_id=person.decode(), label=label.decode(), faces=faces)
            for (person, _), label, faces in zip(told, answers[::2], answers[1::2], strict=True)
            if label is not None  # erased since
        ]
        return PeopleList(people=people, after=int(told[-1][1]) if len(told) == limit else None)

    async def person(self, name: str, person_id: str) -> KnownPerson | None:
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
        return cast("bytes | None", await self._redis.hget(self._names.collection(name).thumbnails, face))

    async def rename(self, name: str, person_id: str, label: str) -> bool:
        """False: there is no such person.

        Raises:
            Refused: the label is another person's.
        """
        keys = self._names.collection(name)
        answer = await run(self._redis, Call(RENAME, [keys.people, keys.labels], [person_id, label]))
        if answer == -1:
            raise Refused(f"{label!r} is another person of collection {name!r}.")
        return bool(answer)

    async def erase(self, name: str, person_id: str, question: str) -> bool:
        """Takes a person out; results of jobs follow (`EraseTask`). False: there is no such person."""
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
        """Deletes the collection; results of jobs follow (`EraseTask`). False: there is no such collection."""
        keys = self._names.collection(name)
        message = _task("erase", EraseTask(collection=name, question=question), question)
        places = [self._names.collection_names, self._names.collections, *_all_but_matched(keys)]
        return bool(await run(self._redis, Call(DROP, places, [name, MSGPACK, message])))

    async def recall(self, name: str, people: Sequence[str], job_id: str, until: float) -> list[str | None]:
        """The labels of people that the result of a job is going to tell of, until then; None for who is erased."""
        if not people:
            return []
        keys = self._names.collection(name)
        args: list[Value] = [job_id, int(until), int(time.time()), *people]
        answer = await run(self._redis, Call(RECALL, [keys.people, keys.matched], args))
        return [label.decode() if label else None for label in cast("list[bytes | None]", answer)]


def face_id(embedding: bytes) -> str:
    """A face is its embedding: the same one enrolled twice is one face, whichever job it came from."""
    return f"face-{hashlib.sha256(embedding).hexdigest()[:24]}"


def _enrolled(name: str, person: bytes, label: bytes, face: str, origin: bytes) -> EnrolledFace:
    told = msgspec.json.decode(origin, type=Origin)
    return EnrolledFace(
        collection=name,
        person_id=person.decode(),
        label=label.decode(),
        face_id=face,
        job_id=told.job_id,
        job_face_id=told.job_face_id,
        added_at=told.added_at,
    )


def _range(person: bytes) -> tuple[bytes, bytes]:
    """Of a person's members in order of their letters; 0 follows the slash."""
    return b"[" + person + b"/", b"(" + person + b"0"


def _all_but_matched(keys: CollectionKeys) -> list[str]:
    return [key for key in keys if key != keys.matched]


def _task(type_: str, task: msgspec.Struct, question: str) -> bytes:
    fields: dict[bytes, Any] = seal(type_, "", question, task)
    return cast("bytes", fields[MSGPACK])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
