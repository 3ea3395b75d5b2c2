"""Bodies of the messages between the stages; schemas.topology has the stream of each."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.envelope import JSON, MSGPACK, Envelope, EnvelopeError, entry_time, open_entry
from schemas.names import JOB_ID
from schemas.orientation import Display
from schemas.requests import Enhancement
from schemas.results import Demographics

ENTRY_ID = re.compile(r"\d{1,20}-\d{1,20}")
"""Id of a stream entry: milliseconds of the server's clock, and a number."""


class StoredFrame(msgspec.Struct, frozen=True, tag="stored"):
    """A picture in the frame store, under the job's key of that name."""

    name: str


class FileFrame(msgspec.Struct, frozen=True, tag="file"):
    """A picture file on a volume that the stages share."""

    path: str


class ReuseTask(msgspec.Struct, frozen=True, kw_only=True):
    """What a job needs of the observations of its source (schemas.store.observations).

    Attributes:
        source: fingerprint of its content.
        sampling: key of the same sampling.
        min_confidence: None leaves the choice to the model pack.
    """

    source: str
    sampling: str
    min_confidence: float | None


class JoinTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Look whether another job answers for this one, or has observed all of its frames. Type ``join``, stream
    ``joins``.

    Attributes:
        cache_key: of the source and the parameters (schemas.store.job_record.cache_key); empty: no other job answers.
        keep: seconds that a finished result is kept from now on.
        asked_by: entry whose worker waits for the reply in the field `join` of the job's record.
        reuse: None: the job uses no observations.
    """

    cache_key: str
    keep: float
    asked_by: str
    reuse: ReuseTask | None = None


class SegmentTask(msgspec.Struct, frozen=True, kw_only=True):
    """Sample one part of a long film. Type ``segment``, stream ``segments``.

    Attributes:
        number: of the part, from 0; the job's record says which samples it has.
    """

    number: int


class FrameTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Find the faces of one frame. Type ``frame``, stream ``frames``, ``frames:express`` or
    ``frames:urgent``.

    Attributes:
        index: number of the sample in the job, from 0; its decimal form is the unit of the fan-in.
        timestamp: seconds from the start of the video.
        frame: where the picture lies.
        source: path of the video, for a request to the Frame Server.
        min_confidence: None leaves the choice to the model pack.
        enhancement: set when faces of low quality are to be improved; its quality_trigger is resolved.
        enhanced: the picture is the enhanced one; it improves what is stored for this frame.
        display: how the picture becomes the one that a player shows; None: it is that one.
    """

    index: int
    timestamp: float
    frame: StoredFrame | FileFrame
    source: str
    min_confidence: float | None = None
    enhancement: Enhancement | None = None
    enhanced: bool = False
    display: Display | None = None


class Shot(msgspec.Struct, frozen=True, array_like=True):
    """A detection of a person of which age and gender are estimated.

    Attributes:
        portrait: field of the job's portraits hash.
        aspect: width of the box divided by its height (facecore.portraits.aspect).
        quality: composite quality, the weight of the estimates.
    """

    portrait: str
    aspect: float
    quality: float


class PortraitsTask(msgspec.Struct, frozen=True, kw_only=True):
    """Look once more at the best shots of each person. Type ``portraits``, stream ``frames:urgent``.

    Attributes:
        portraits: fields of the job's portraits hash, one a person, in the order of the result's faces (emotion).
        shots: the best shots of each, in the same order (age and gender); none from a worker of an earlier version.
    """

    portraits: tuple[str, ...]
    shots: tuple[tuple[Shot, ...], ...] = ()


class EnhanceTask(msgspec.Struct, frozen=True, kw_only=True):
    """Fetch the enhanced picture of one frame. Type ``enhance``, stream ``enhance``."""

    task: FrameTask


class Resemblance(msgspec.Struct, frozen=True, array_like=True):
    """A known person that a face is like; the label is looked up when it is told."""

    collection: str
    person: str
    face: str
    similarity: float


class FinalizeTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Turn the frames of a job into people. Type ``finalize``, stream ``finalize``.

    Attributes:
        emotions: None in the first round; then one a person, in the order of the result's faces, each None
            where the emotion could not be told.
        attributes: age and gender of each person, in the same order; none from a worker of an earlier version.
        matches: None until the people were looked for in the collections that the request names; then who each is
            like, in the same order.
        unmatched: why some collection could not be looked into.
        error: the job cannot be carried out, and ends with this reason.
    """

    emotions: tuple[str | None, ...] | None = None
    attributes: tuple[Demographics, ...] = ()
    matches: tuple[tuple[Resemblance, ...], ...] | None = None
    unmatched: tuple[str, ...] = ()
    error: str | None = None


class PreviewTask(msgspec.Struct, frozen=True, kw_only=True):
    """Put together the people so far of a running job. Type ``preview``, stream ``finalize``."""


class MatchTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Look for a job's people in collections. Type ``match``, stream ``collections``.

    Attributes:
        faces: where the best shot of each person is seen: field of the job's faces hash, place in that frame.
        emotions, attributes: handed back.
    """

    faces: tuple[tuple[str, int], ...]
    collections: tuple[str, ...]
    model: str
    emotions: tuple[str | None, ...] | None = None
    attributes: tuple[Demographics, ...] = ()


class EnrolTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Make an accepted face searchable. Type ``enrol``, stream ``collections``.

    Attributes:
        question: who waits for an answer, and under which name (schemas.questions).
    """

    collection: str
    face: str
    question: str = ""


class AddTask(msgspec.Struct, frozen=True, kw_only=True):
    """Add the people of a completed job to a library. Type ``add``, stream ``library``.

    Attributes:
        library: its name; the people are in `schemas.names.Names.film` of the job.
    """

    library: str


class CorrectTask(msgspec.Struct, frozen=True, kw_only=True):
    """Apply the corrections that wait in a library's inbox. Type ``correct``, stream ``library``."""

    library: str


class ReembedTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Go on with embedding the faces of a library anew. Type ``reembed``, stream ``library``.

    Attributes:
        run: names the request; the vectors of `faces` are in `schemas.names.Names.search` of it. A later request
            for the same library ends the run.
        faces: those that were tried last; none at the beginning.
    """

    library: str
    run: str
    faces: tuple[str, ...] = ()


class EmbedTask(msgspec.Struct, frozen=True, kw_only=True):
    """Embed faces of a library anew, from their pictures there. Type ``embed``, stream ``photographs``.

    Attributes:
        run, faces: handed back.
    """

    library: str
    run: str
    faces: tuple[str, ...]


class SearchTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Look for one face. Type ``search`` on ``collections`` or ``library``; type ``photograph`` on ``photographs``
    while its embedding is not known.

    Attributes:
        library: whether `collection` is the name of a library.
        question: names what is searched for, and the place of the answer (schemas.questions).
        limit: the most people to answer with.
        threshold: least cosine similarity of those.
    """

    collection: str
    question: str
    limit: int
    threshold: float
    library: bool = False


class EraseTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Take people who are in a collection no longer out of memory and out of the results of jobs. Type ``erase``,
    stream ``collections``."""

    collection: str
    question: str = ""


def open_request(entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[dict[str, Any]]:
    """Decodes an entry of a requests stream: an envelope, or the bare request.

    A request without a job id gets the entry's id: the publisher knows it from XADD, and a redelivery finds the same
    job. The id of its first entry stays in the envelope's run, so that retries do not look like later requests.

    Raises:
        EnvelopeError: the entry cannot be decoded, or its job id is invalid.
    """
    for name, decode in ((MSGPACK, msgspec.msgpack.decode), (JSON, msgspec.json.decode)):
        if name not in fields:
            continue
        try:
            bare = decode(fields[name])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EnvelopeError(str(error)) from error
        if not isinstance(bare, dict):
            raise EnvelopeError("the request is not an object")
        if "body" not in bare:
            bare = {"type": "analyze", "id": "", "job": bare.get("job_id") or entry_id, "body": bare}
            fields = {name: msgspec.msgpack.encode(bare) if name == MSGPACK else msgspec.json.encode(bare)}
    envelope = open_entry(fields, {"analyze": dict})  # schemas.requests validates the body
    job = envelope.job or entry_id
    if not JOB_ID.fullmatch(job):
        raise EnvelopeError(f"not a job id: {job[:200]!r}")
    run = envelope.run if ENTRY_ID.fullmatch(envelope.run) else entry_id
    return msgspec.structs.replace(
        envelope,
        job=job,
        id=envelope.id or f"{job}/analyze",
        created=min(entry_time(run), entry_time(entry_id)),
        run=run,
    )
