"""A library follows its films and corrections, whoever is killed, and nothing of what was erased is left."""

import secrets
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest

from consumers.libraries.reembedding import Reembedding as LibraryEmbedding
from consumers.libraries.replica import Replica
from consumers.libraries.writer import LibraryWriter
from consumers.runtime.stage import NotReady
from consumers.service import Service
from facecore.vectors import to_bytes
from schemas.divisions import Division, Divisions, Spot
from schemas.library import (
    Change,
    Correction,
    Divide,
    Joined,
    KnownAs,
    Merge,
    Move,
    Name,
    NewVector,
    Reembedded,
    Split,
    Undo,
    encode_entry,
)
from schemas.library_records import Erasure, Reembedding, Regrouping
from schemas.library_view import Applied, ReembedProgress
from schemas.messages import ReembedTask
from schemas.names import LibraryKeys
from schemas.questions import Answer
from schemas.requests import AnalyzeRequest, Parameters, film_id
from schemas.results import Appearance
from schemas.store.additions import Addition
from schemas.store.collections import Candidate, Collections
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader
from schemas.store.replies import Replies
from tests.chaos.libraries import NAME, Corrected, film, interrupted, vector
from tests.facecore.library.test_resolve import ANNA, like


class Library:
    """A library of the test server, and a worker."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = Libraries(service.redis, service.names)
        self.reader = LibraryReader(service.redis, service.names)
        self.replies = Replies(service.redis, service.names)
        self.writer = LibraryWriter(service)

    async def say(self, change: Change | Erasure | Reembedding | Regrouping) -> Answer:
        """Sends a correction and has it applied."""
        question = secrets.token_hex(8)
        order = (
            msgspec.structs.replace(change, correction_id=question)
            if isinstance(change, Erasure | Reembedding | Regrouping)
            else Correction(correction_id=question, change=change, by="me", at=1.0)
        )
        assert await self.store.order(NAME, order)
        await self.writer.drain(NAME, last_attempt=False)
        answer = await self.replies.wait(question, 2)
        assert answer is not None
        return answer

    async def persons(self) -> list[str]:
        """Ids, oldest first."""
        return [one.person_id for one in (await self.reader.people(NAME, 1000)).people]

    async def stored(self) -> dict[str, Any]:
        """All that readers see."""
        keys, found = self.service.names.library_keys(NAME), dict[str, Any]()
        for field in LibraryKeys._fields:
            key = getattr(keys, field)
            match await self.service.redis.type(key):
                case b"hash":
                    found[field] = await cast("Any", self.service.redis.hgetall(key))
                case b"zset":
                    found[field] = await self.service.redis.zrange(key, 0, -1, withscores=True)
        return found


@pytest.fixture
async def library(service: Service) -> Library:
    return Library(service)


async def test_people_are_the_same_in_every_film(library: Library) -> None:
    await library.writer.add(film(1, [1, 2]))
    await library.writer.add(film(2, [2, 3]))
    await library.writer.add(film(2, [2, 3]))  # delivered twice
    await library.writer.add(film(3, []))  # nobody is in it
    people = (await library.reader.people(NAME, 1000)).people
    assert [(one.faces, one.films, one.detections) for one in people] == [(1, 1, 3), (2, 2, 6), (1, 1, 3)]
    both = people[1]
    assert both.portrait == "faces/job-2/face_0/thumbnail" and both.seconds == 30.0
    assert await library.reader.thumbnail(NAME, "job-2/face_0") == b"JPEG of 2 in 2"
    seen = await library.reader.appearances(NAME, both, 10)
    assert [(one.source, one.appearances) for one in seen.films] == [
        ("/films/1.mp4", (Appearance(10.0, 25.0),)),
        ("/films/2.mp4", (Appearance(0.0, 15.0),)),
    ]
    together = await library.reader.together(NAME, both, 10)
    assert [(one.person.person_id, one.films, one.seconds) for one in together.together] == [
        (people[0].person_id, 1, 5.0),
        (people[2].person_id, 1, 5.0),
    ]
    film_2 = await library.reader.film(NAME, f"film-{2:024x}", 0, 9)
    assert film_2 is not None and [one.person.person_id for one in film_2.people] == [both.person_id]
    found = await library.reader.films(NAME, 10, people=[both.person_id, people[2].person_id])
    assert [one.film_id for one in found.films] == [f"film-{2:024x}"]
    info = await library.reader.info(NAME)
    assert info is not None and (info.people, info.faces, info.films, info.named) == (3, 4, 3, 0)


async def test_a_job_id_that_another_film_had_is_no_mistake(library: Library) -> None:
    await library.writer.add(film(1, [1, 2], job="mine"))
    first = await library.reader.who_of(NAME, "mine", ["face_0", "face_1"])
    await library.writer.add(film(2, [2, 3], job="mine"))
    again = await library.reader.who_of(NAME, "mine", ["face_0", "face_1"])
    assert again["face_0"][0].person_id == first["face_1"][0].person_id
    assert len(await library.persons()) == 3
    seen = await library.reader.appearances(NAME, again["face_0"][0], 10)
    assert [(one.face_id, one.job_id) for one in seen.films] == [
        ("mine/face_1", "mine"),
        ("mine~2/face_0", "mine"),
    ]
    assert [one.evidence.by for one in seen.films] == ["first", "faces"]
    assert await library.writer.rebuild(NAME) == 0
    replayed = film(1, [2, 1, 9], job="mine")
    await library.writer.add(replayed._replace(film=msgspec.structs.replace(replayed.film, at=9.0)))
    assert len(await library.reader.who_of(NAME, "mine", ["face_0", "face_1", "face_2"])) == 3
    people = (await library.reader.people(NAME, 10)).people
    assert [one.films for one in people] == [1, 2, 1, 1] and await library.writer.rebuild(NAME) == 0
    assert (await library.say(Move(face_id="mine/face_0", person_id=people[2].person_id))).status == 200
    seen_again = await library.reader.seen(NAME, ["mine/face_0", "mine/face_1", "mine~2/face_0"])
    assert [one.evidence.by for one in seen_again.values()] == ["later", "first", "faces"]


async def test_corrections_are_applied_in_order_and_once_and_answered(library: Library) -> None:
    await library.writer.add(film(1, [1, 2]))
    await library.writer.add(film(2, [3]))
    one, two, three = await library.persons()
    for label in ("Ann", "Anna"):
        assert (await library.say(Name(person_id=one, label=label))).status == 200
    merged = await library.say(Merge(person_id=one, other_id=three))
    person = await library.reader.person(NAME, one)
    assert person is not None and (person.label, person.faces) == ("Anna", 2)
    assert (
        await library.reader.person(NAME, three) is None and await library.reader.resolve(NAME, three) == one
    )
    refused = await library.say(Merge(person_id=one, other_id="person-1-0-0"))
    assert refused.status == 409 and "person-1-0-0" in refused.detail
    entry = msgspec.json.decode(merged.body)["entry_id"]
    assert (await library.say(Undo(entry_id=entry))).status == 200
    assert await library.persons() == [one, two, three] and await library.reader.resolve(NAME, three) == three
    joined = msgspec.json.decode((await library.say(Merge(person_id=two, other_id=three))).body)["entry_id"]
    contradiction = await library.say(Split(person_id=two, faces=("job-2/face_0",)))
    assert contradiction.status == 409 and joined in contradiction.detail, "what it contradicts is named"
    said = (await library.reader.corrections(NAME, 10)).corrections
    assert [type(one.change).__name__ for one in said] == ["Merge", "Undo", "Merge", "Name", "Name"]
    twice = Correction(correction_id="the-same-id", change=Name(person_id=two, label="Bob"), at=1.0)
    other = msgspec.structs.replace(twice, change=Name(person_id=one, label="Bob"))
    for number, order in enumerate((twice, twice, other)):  # each caller gets the answer to his own
        assert await library.store.order(NAME, order, f"question-{number}")
    await library.writer.drain(NAME, last_attempt=False)
    third, second, first = [await library.replies.wait(f"question-{number}", 2) for number in (2, 1, 0)]
    assert first is not None and first == second, "it was sent twice"
    assert third is not None and third.status == 409 and "is that of another correction" in third.detail
    named = [said.change for said in (await library.reader.corrections(NAME, 99)).corrections]
    assert [said.label for said in named if isinstance(said, Name)] == ["Bob", "Anna", "Ann"]


async def test_merges_that_the_service_makes_itself_are_listed_and_taken_back(library: Library) -> None:
    views = [like(ANNA, 0.58, 1), like(ANNA, 0.58, 2), *(like(ANNA, 0.9, 10 + i) for i in range(8))]
    for number, view in enumerate(views):
        added = film(number, [1])
        face = msgspec.structs.replace(added.film.faces[0], prototype=to_bytes(view))
        await library.writer.add(added._replace(film=msgspec.structs.replace(added.film, faces=(face,))))
    (person,) = await library.persons()
    await library.say(Name(person_id=person, label="Anna"))
    named, joined, *earlier = (await library.reader.corrections(NAME, 10)).corrections
    assert isinstance(named.change, Name)
    for one in (joined, *earlier):
        assert isinstance(one.change, Joined) and one.change.probability > 0.99 and one.by == ""
    first = await library.reader.corrections(NAME, 1)
    rest = await library.reader.corrections(NAME, 1, first.next or "")
    assert (first.corrections, rest.corrections) == ([named], [joined]), "page by page, too"
    assert (await library.say(Undo(entry_id=joined.entry_id))).status == 200
    assert len(await library.persons()) == 2
    assert await library.writer.rebuild(NAME) == 0


async def test_a_division_of_a_film_holds_in_every_analysis_until_it_is_taken_back(library: Library) -> None:
    request = AnalyzeRequest(video_path="/films/1.mp4", parameters=Parameters(library=NAME))
    identity = film_id(request)

    def analysis(job: str, people: list[int], division: str = "") -> Addition:
        """The last face has the division."""
        made = film(1, people, job=job)
        *others, last = made.film.faces
        faces = (*others, msgspec.structs.replace(last, division=division))
        return made._replace(film=msgspec.structs.replace(made.film, film_id=identity, faces=faces))

    async def divisions(job: str) -> Divisions | None:
        await library.service.jobs.submit(request, job)
        stored = await cast(
            "Any", library.service.redis.hget(library.service.names.job(job).metadata, "request")
        )
        return msgspec.msgpack.decode(stored, type=AnalyzeRequest).parameters.divisions

    await library.writer.add(analysis("first", [1, 2]))
    one, two = await library.persons()
    assert await divisions("before") is None
    spots = (Spot(timestamp=7.0, x=10.0, y=20.0),)
    assert (await library.say(Divide(film_id="film-" + 24 * "0", spots=spots))).status == 409
    assert (await library.say(Divide(film_id=identity, spots=()))).status == 409
    applied = msgspec.json.decode(
        (await library.say(Divide(film_id=identity, spots=spots))).body, type=Applied
    )
    assert applied.films == [identity]
    entry = applied.entry_id
    divided = Divisions(revision=entry, divisions=(Division(division_id=entry, spots=spots),))
    assert await divisions("after") == divided, "every request for the film has it"
    await library.writer.add(analysis("second", [1, 2, 1], entry))
    assert (await library.persons())[:2] == [one, two] and len(await library.persons()) == 3
    third = (await library.persons())[2]
    await library.writer.add(analysis("third", [2, 1, 1], entry))
    assert await library.persons() == [one, two, third], "who was divided stays apart, and stays the same"
    assert await library.writer.rebuild(NAME) == 0
    undone = await library.say(Undo(entry_id=entry))
    assert msgspec.json.decode(undone.body, type=Applied).films == [identity]
    again = await divisions("undone")
    assert again is not None and again.divisions == () and again.revision != entry, "no cached result answers"
    await library.writer.add(analysis("fourth", [1, 2]))
    assert await library.persons() == [one, two]
    await library.say(Divide(film_id=identity, spots=spots))
    await library.say(Erasure(correction_id="", film_id=identity))
    assert await divisions("erased") is None and await library.writer.rebuild(NAME) == 0
    async for _, logged in library.store.entries(NAME):
        assert not (
            isinstance(logged, Correction) and isinstance(logged.change, Divide) and logged.change.spots
        ) or (logged.change.film_id != identity), "where somebody was seen is erased, too"


async def test_a_rebuild_from_the_log_gives_what_readers_see_byte_for_byte(library: Library) -> None:
    for number in range(4):
        await library.writer.add(film(number, [number, number + 1, 9]))
    one, two, *_ = await library.persons()
    await library.say(Name(person_id=one, label="Ann"))
    await library.say(Merge(person_id=one, other_id=two))
    await library.writer.add(film(2, [2, 9, 30], job="again"))  # analysed again
    await library.say(Erasure(correction_id="", person_id=(await library.persons())[-1]))
    before = await library.stored()
    answer = await library.writer.rebuild(NAME)
    assert answer == 0 and await library.stored() == before
    await library.service.redis.hset(library.service.names.library_keys(NAME).people, one, b"damaged")
    await library.service.redis.delete(library.service.names.library_keys(NAME).members)
    assert await library.writer.rebuild(NAME) > 0 and await library.stored() == before


async def test_faces_are_grouped_anew_and_what_was_said_holds(library: Library) -> None:
    await library.writer.add(film(1, [1, 2]))
    await library.writer.add(film(2, [1]))
    one, two = await library.persons()
    await library.say(Name(person_id=one, label="Ann"))
    await library.say(Split(person_id=one, faces=("job-2/face_0",)))
    assert (await library.say(Regrouping(correction_id=""))).status == 200
    assert len(await library.persons()) == 3, "they stay apart"
    (ann,) = (await library.reader.people(NAME, 10, named=True)).people
    assert (ann.label, ann.faces) == ("Ann", 1) and two in await library.persons()
    assert await library.writer.rebuild(NAME) == 0


async def test_faces_of_another_model_pack_are_embedded_anew_from_their_pictures(library: Library) -> None:
    await library.writer.add(film(1, [1, 2, 3]))
    later = film(2, [11])  # how the other pack sees the first person
    await library.writer.add(later._replace(film=msgspec.structs.replace(later.film, pack="another")))
    assert len(await library.persons()) == 4

    def embed(pictures: Mapping[str, bytes]) -> tuple[NewVector, ...]:
        seen = {b"JPEG of 1 in 1": vector(11, 1), b"JPEG of 2 in 1": vector(12, 1)}
        return tuple(
            NewVector(face_id=face, prototype=seen[picture], sureness=20.0)
            for face, picture in pictures.items()
            if picture in seen
        )

    reembedding = LibraryEmbedding(library.service, library.writer)
    assert await reembedding.all(NAME, "another", embed) == (2, 1), "no face in the third picture"
    people = (await library.reader.people(NAME, 1000)).people
    assert [one.films for one in people] == [2, 1, 1]
    assert await reembedding.all(NAME, "another", embed) == (0, 1)
    assert await library.writer.rebuild(NAME) == 0
    assert (await library.say(Erasure(correction_id="", person_id=people[0].person_id))).status == 204
    everything = b"".join((await contents(library.service)).values())
    assert vector(11, 1) not in everything and vector(12, 1) in everything
    assert await library.writer.rebuild(NAME) == 0


async def test_faces_are_embedded_anew_in_messages_and_what_cannot_be_is_asked_for(library: Library) -> None:
    for number in range(10):
        some = film(number, [2 * number, 2 * number + 1])
        await library.writer.add(some._replace(film=msgspec.structs.replace(some.film, pack="another")))
    run = msgspec.json.decode((await library.say(Reembedding(correction_id=""))).body, type=ReembedProgress)
    assert (run.model, run.waiting, run.ended_at) == ("open", 20, None)
    embedding, redis, key = (
        LibraryEmbedding(library.service, library.writer),
        library.service.redis,
        library.service.names.search(run.run),
    )
    task = await embedding.step(ReembedTask(library=NAME, run=run.run))
    assert task is not None and len(task.faces) == 16 and task.faces[0] == "job-0/face_0"
    (erased, *_) = await library.persons()
    assert (await library.say(Erasure(correction_id="", person_id=erased))).status == 204
    seen = [NewVector(face_id=face, prototype=vector(99, 1), sureness=20.0) for face in task.faces[:2]]
    tried = ReembedTask(library=NAME, run=run.run, faces=task.faces)
    await redis.set(key, encode_entry(Reembedded(pack="open", faces=tuple(seen))))
    task = await embedding.step(tried)
    assert task is not None and len(task.faces) == 4 and not await redis.exists(key)
    assert await embedding.step(tried) == task, "a message that is delivered twice does no harm"
    assert await embedding.step(ReembedTask(library=NAME, run=run.run, faces=task.faces)) is None
    info = await library.reader.info(NAME)
    assert info is not None and info.reembedding is not None
    assert (info.reembedding.waiting, info.reembedding.unfit, len(info.reembedding.films)) == (0, 18, 9)
    assert info.reembedding.ended_at is not None and await library.writer.rebuild(NAME) == 0
    vectors = (await contents(library.service))[library.service.names.library_keys(NAME).entries.encode()]
    assert vectors.count(vector(99, 1)) == 1, "the other one was erased meanwhile"
    assert (await library.say(Reembedding(correction_id=""))).status == 200
    assert await embedding.step(tried) is None, "a later request ends the earlier one"


async def test_known_people_of_a_collection_have_their_names_there(library: Library) -> None:
    redis, names = library.service.redis, library.service.names
    collections = Collections(redis, names)
    await collections.admit("cast", "Ann", Candidate(vector(1), b""), "open", "j", "f", "")
    (known,) = (await collections.people("cast", 9, 0)).people
    await library.writer.add(film(1, [1, 2]))
    later = film(2, [1, 3])
    matched = msgspec.structs.replace(
        later.film.faces[0], known=KnownAs(collection="cast", person_id=known.person_id), likeness=0.7
    )
    faces = (matched, *later.film.faces[1:])
    await library.writer.add(later._replace(film=msgspec.structs.replace(later.film, faces=faces)))
    one, two, _ = await library.persons()

    async def label() -> str | None:
        person = await library.reader.person(NAME, one)
        assert person is not None and person.known is not None
        return person.label

    assert await label() == "Ann"
    (listed,) = (await library.reader.people(NAME, 9, named=True)).people
    assert (
        listed.person_id == one
        and (await library.reader.fields_of(NAME, "job-1", ["face_0"]))["face_0"]["label"] == "Ann"
    ), "an older film shows it too"
    version = await library.reader.version(NAME)
    await collections.rename("cast", known.person_id, "Anna")
    assert await label() == "Anna" and await library.reader.version(NAME) not in (None, version)
    named = msgspec.json.decode((await library.say(Name(person_id=one, label="Annie"))).body)["entry_id"]
    assert await label() == "Annie", "what is said in the library comes first"
    await library.say(Undo(entry_id=named))
    assert await library.writer.rebuild(NAME) == 0
    version = await library.reader.version(NAME)
    await collections.erase("cast", known.person_id, "")
    assert await label() is None and await library.reader.version(NAME) != version
    assert (await library.reader.people(NAME, 9, named=True)).people == []
    info = await library.reader.info(NAME)
    assert info is not None and info.named == 0
    for label_of in (b"Anna", b"Ann\n"):
        assert not [key for key, value in (await contents(library.service)).items() if label_of in value]
    await library.say(Erasure(correction_id="", person_id=one))
    everything = await contents(library.service)
    assert not [key for key, value in everything.items() if known.person_id.encode() in value]
    assert await library.persons() == [two, (await library.persons())[1]]


async def test_two_workers_do_not_overwrite_each_other(library: Library, service: Service) -> None:
    other = LibraryWriter(service)
    await library.writer.add(film(1, [1]))
    await other.add(film(2, [1, 2]))
    await library.writer.add(film(3, [2]))
    assert len(await library.persons()) == 2
    # One that lost its lock while it was preparing an entry appends nothing.
    replica, position = Replica(), await library.store.position(NAME)
    assert not await library.store.append(NAME, "1-0", [], [])
    assert await library.store.position(NAME) == position and replica.position.last == ""


async def test_a_worker_waits_while_another_writes(library: Library, service: Service) -> None:
    await service.redis.set(service.names.library_keys(NAME).writer, "another", px=60_000)
    with pytest.raises(NotReady):
        await library.writer.add(film(1, [1]))
    await service.redis.delete(service.names.library_keys(NAME).writer)
    await library.writer.add(film(1, [1]))
    assert len(await library.persons()) == 1


@pytest.mark.parametrize("what", ["person", "film", "library"])
async def test_nothing_of_what_was_erased_is_left_in_the_server(library: Library, what: str) -> None:
    await library.writer.add(film(1, [1, 2]))
    await library.writer.add(film(2, [1]))
    await library.writer.add(film(2, [1], job="again"))
    one, two = await library.persons()
    await library.say(Name(person_id=one, label="Ann of Green Gables"))
    erasure = {
        "person": Erasure(correction_id="", person_id=one),
        "film": Erasure(correction_id="", film_id=f"film-{2:024x}"),
        "library": Erasure(correction_id=""),
    }[what]
    assert (await library.say(erasure)).status == 204
    everything = await contents(library.service)
    traces = {
        "person": [vector(1, 1), vector(1, 2), b"Green Gables", b"JPEG of 1"],
        "film": [vector(1, 2), b"in 2", b"/films/2.mp4"],
        "library": [vector(1, 1), vector(1, 2), vector(2, 1), b"Green Gables", b"JPEG", b"/films/"],
    }[what]
    for key, content in everything.items():
        for trace in traces:
            assert trace not in content, key
    kept = b"".join(everything.values())
    if what == "library":
        assert not [key for key in everything if b"home" in key]
    else:
        assert vector(2, 1) in kept and b"JPEG of 2 in 1" in kept
        left = await library.persons()
        assert left == ([two] if what == "person" else [one, two])
        await library.writer.add(film(3, [1]))
        assert await library.writer.rebuild(NAME) == 0


async def test_of_an_analysis_that_was_replaced_nothing_is_left(library: Library) -> None:
    await library.writer.add(film(1, [1, 2]))
    one, two = await library.persons()
    await library.say(Name(person_id=one, label="Green Gables"))
    await library.say(Name(person_id=one, label=None))
    await library.say(Move(face_id="job-1/face_0", person_id=two))
    await library.writer.add(film(1, [2, 3], job="again"))
    everything = await contents(library.service)
    for trace in (vector(1, 1), b"JPEG of 1", b"job-1/face_0\xa9prototype\xc5"):
        assert not [key for key, content in everything.items() if trace in content]
    assert any(vector(2, 1) in content for content in everything.values())
    assert await library.writer.rebuild(NAME) == 0
    assert (await library.say(Erasure(correction_id="", person_id=two))).status == 204
    everything = await contents(library.service)
    assert not [key for key, content in everything.items() if b"Green Gables" in content], "a name taken back"
    assert await library.writer.rebuild(NAME) == 0


async def contents(service: Service) -> dict[bytes, bytes]:
    """Everything that the server holds, by key."""
    found = {}
    redis: Any = service.redis
    async for key in redis.scan_iter():
        match await redis.type(key):
            case b"hash":
                found[key] = b"\n".join(part for pair in (await redis.hgetall(key)).items() for part in pair)
            case b"stream":
                found[key] = repr(await redis.xrange(key)).encode()
            case b"zset":
                found[key] = b"\n".join(await redis.zrange(key, 0, -1))
            case b"set":
                found[key] = b"\n".join(await redis.smembers(key))
            case b"list":
                found[key] = b"\n".join(await redis.lrange(key, 0, -1))
            case _:
                found[key] = await redis.get(key)
    return found


async def test_corrections_survive_a_writer_that_is_stopped_at_any_moment(service: Service) -> None:
    library = Corrected(service, seed=1)
    await library.fill()
    assert await interrupted(library, 50) > 5
    assert await library.check() > 15
