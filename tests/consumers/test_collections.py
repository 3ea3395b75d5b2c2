"""What a worker holds of collections follows the server's, and erasing reaches results that are being written."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import numpy as np
import pytest
from redis.asyncio import Redis

from consumers.galleries.erasure import remove_erased_people
from consumers.galleries.replicas import CollectionReplicas, UnsearchableCollection
from consumers.runtime.stage import NotReady
from consumers.service import Service
from consumers.stages.collections import CollectionsStage
from schemas.requests import AnalyzeRequest
from schemas.results import Match, ResultBody, ResultSummary
from schemas.store.collections import Busy, Candidate, Collections, Refused
from schemas.store.job_reader import JobReader
from schemas.vectors import packed
from tests.api.test_report import result
from tests.consumers.runtime.helpers import long_script

REQUEST = AnalyzeRequest(video_path="/v.mp4")


@pytest.fixture
def collections(service: Service) -> Collections:
    return Collections(service.redis, service.names)


@pytest.fixture
async def replicas(service: Service) -> AsyncIterator[CollectionReplicas]:
    held = CollectionReplicas(service.redis, service.names, threads=1)
    yield held
    held.close()


def embedding(number: int) -> bytes:
    return packed(1.0 if i == number else 0.0 for i in range(512))


async def enrol(collections: Collections, label: str, number: int, name: str = "c") -> str:
    """Accepts a face and enrols it as the stage does."""
    how, face = await collections.admit(
        name, label, Candidate(embedding(number), b"JPEG"), "open", "j", "f", ""
    )
    assert how == "new" and await collections.enrol(name, face, embedding(number), b"JPEG")
    return face


async def found(replicas: CollectionReplicas, number: int, name: str = "c") -> list[str]:
    """Ids of the people who look like that, the likest first."""
    query = np.frombuffer(embedding(number), "<f4")[None]
    (hits,), _ = await replicas.search(name, query, "open", 10, 0.5)
    return [hit.person.decode() for hit in hits]


async def people(collections: Collections, name: str = "c") -> dict[str, str]:
    return {person.label: person.person_id for person in (await collections.people(name, 1000, 0)).people}


async def test_a_worker_starts_although_a_script_keeps_the_server_busy(
    service: Service, valkey: str, replicas: CollectionReplicas
) -> None:
    stage = CollectionsStage(service, replicas)
    async with Redis.from_url(valkey) as administrator:
        async with long_script(administrator):
            starting = asyncio.create_task(stage.start())
            await asyncio.wait([starting], timeout=0.2)
            assert not starting.done()
        await starting
    await stage.stop()


async def test_a_worker_follows_what_is_enrolled_erased_and_deleted(
    collections: Collections, replicas: CollectionReplicas
) -> None:
    await enrol(collections, "Ann", 0)
    await enrol(collections, "Bob", 1)
    known = await people(collections)
    assert await found(replicas, 0) == [known["Ann"]] and await found(replicas, 1) == [known["Bob"]]
    await enrol(collections, "Ann", 2)
    assert await found(replicas, 2) == [known["Ann"]]
    assert await collections.erase("c", known["Ann"], "")
    assert await found(replicas, 0) == await found(replicas, 2) == [] and await found(replicas, 1) == [
        known["Bob"]
    ]
    await enrol(collections, "Ann again", 0)
    again = (await people(collections))["Ann again"]
    assert await found(replicas, 0) == [again] != [known["Ann"]]
    assert await collections.drop("c", "")
    with pytest.raises(UnsearchableCollection, match="no collection"):
        await found(replicas, 0)
    await enrol(collections, "Cleo", 3)
    assert await found(replicas, 0) == [] and len(await found(replicas, 3)) == 1


async def test_a_face_erased_before_it_was_enrolled_stays_away(
    service: Service, collections: Collections, replicas: CollectionReplicas
) -> None:
    _, face = await collections.admit("c", "Ann", Candidate(embedding(0), b""), "open", "j", "f", "")
    assert await collections.erase("c", (await people(collections))["Ann"], "")
    assert not await collections.enrol("c", face, embedding(0), b"")
    assert await found(replicas, 0) == [] and await collections.face("c", face) is None
    left = {key.decode() async for key in service.redis.scan_iter("faces-service:collection:c:*")}
    assert left == {"faces-service:collection:c:state"}


async def test_a_label_is_one_person_s_and_a_face_is_too(collections: Collections) -> None:
    face = await enrol(collections, "Ann", 0)
    await enrol(collections, "Bob", 1)
    known = await people(collections)
    assert await collections.admit("c", "Ann", Candidate(embedding(0), b""), "open", "x", "y", "") == (
        "known",
        face,
    )
    with pytest.raises(Refused, match="as 'Ann'"):
        await collections.admit("c", "Bob", Candidate(embedding(0), b""), "open", "j", "f", "")
    with pytest.raises(Refused, match="another person"):
        await collections.rename("c", known["Bob"], "Ann")
    assert await collections.rename("c", known["Bob"], "Bob")
    assert await collections.rename("c", known["Bob"], "Robert")
    assert await people(collections) == {"Ann": known["Ann"], "Robert": known["Bob"]}
    assert not await collections.rename("c", "person-" + "0" * 24, "Nobody")


async def test_faces_of_two_model_packs_are_not_compared(
    collections: Collections, replicas: CollectionReplicas
) -> None:
    await enrol(collections, "Ann", 0)
    with pytest.raises(Refused, match="'buffalo_l'"):
        await collections.admit("c", "Bob", Candidate(embedding(1), b""), "buffalo_l", "j", "f", "")
    with pytest.raises(UnsearchableCollection, match="'buffalo_l'"):
        await replicas.search("c", np.eye(1, 512, dtype=np.float32), "buffalo_l", 1, 0.5)


async def test_people_are_listed_page_by_page(collections: Collections) -> None:
    labels = [f"person {number}" for number in range(7)]
    for number, label in enumerate(labels):
        await enrol(collections, label, number)
    listed, after = list[str](), 0
    while True:
        page = await collections.people("c", 3, after)
        listed += [person.label for person in page.people]
        if page.after is None:
            break
        after = page.after
    assert listed == labels


async def test_no_task_is_accepted_when_too_many_are_queued(service: Service) -> None:
    collections = Collections(service.redis, service.names, max_queued=2)
    for number in range(2):
        await collections.admit("c", "Ann", Candidate(embedding(number), b""), "open", "j", "f", "")
    with pytest.raises(Busy):
        await collections.admit("c", "Ann", Candidate(embedding(2), b""), "open", "j", "f", "")


async def test_erasing_reaches_a_result_that_is_being_written(
    service: Service, collections: Collections
) -> None:
    """The job has noted that its result will tell of Ann and Bob, and writes it after Ann was erased."""
    await enrol(collections, "Ann", 0)
    await enrol(collections, "Bob", 1)
    known = await people(collections)
    await service.jobs.submit(REQUEST, "job")
    assert await service.jobs.begin("job", REQUEST)
    person_ids = [known["Ann"], known["Bob"], "person-" + "0" * 24]
    assert await collections.recall("c", person_ids, "job", 60) == ["Ann", "Bob", None]
    assert await collections.erase("c", known["Ann"], "")
    with pytest.raises(NotReady):
        await remove_erased_people(service, "c")
    await complete_job(service, "job", [known["Ann"], known["Bob"]])
    await remove_erased_people(service, "c")
    assert await people_named_by(service, "job") == [known["Bob"]]
    members = await service.redis.zrange("faces-service:collection:c:matched", 0, -1)
    assert members == [f"{known['Bob']} job".encode()]
    assert await collections.drop("c", "")
    await remove_erased_people(service, "c")
    assert await people_named_by(service, "job") == []
    assert not [key async for key in service.redis.scan_iter("faces-service:collection*c:*")]


async def complete_job(service: Service, job_id: str, persons: Sequence[str]) -> None:
    """The job ends with a face that is like these people."""
    whole = result("film")
    matches = [
        Match(collection="c", person_id=person, label="?", face_id="?", similarity=0.9) for person in persons
    ]
    face = msgspec.structs.replace(whole.faces[0], matches=matches)
    body = ResultBody(status="completed", faces=[face], metadata=whole.metadata)
    summary = ResultSummary(
        unique_faces=1, total_detections=1, frames_processed=1, processing_time_seconds=0.1
    )
    assert await service.jobs.complete(job_id, body, summary, 60.0)


async def people_named_by(service: Service, job_id: str) -> list[str]:
    reader = JobReader(service.redis, service.partitions)
    state = await reader.read(job_id)
    assert state is not None
    stored = await reader.result(state)
    assert stored is not None
    (face,) = msgspec.json.decode(stored.body, type=ResultBody).faces
    assert isinstance(face.matches, list)
    return [match.person_id for match in face.matches]
