"""The record of a job: its fields, a new one, and the key under which equal jobs find each other.

The record is the hash ``faces-service:job:{job_id}:metadata``. Its fields:

    request          encoded AnalyzeRequest without its callback_url, which the workers that open sources shall not
                     see (`JobKeys.callbacks`); it may have megabytes: read only where all of it is needed
    refused          digest of an invalid request that was published, for which `request` is a placeholder
    run              name of the present run, see below
    video_path, source_id, library    of the request, for lists and states
    status           queued, processing, completed, failed, cancelled
    created, started, ended    Unix seconds of the server's clock; `ended` exists exactly when the job has ended
    error            why the job failed
    join             entry of the frames stage that asked which job answers for this one, and the reply: "leads" (this
                     one itself), "joined", or "reused": all its frames were observed before
    observed, sampling    fingerprint of the source and key of its sampling, where observations are used and kept
                     (`schemas.store.observations`)
    alias, alias_run    the job that answers for this one (same content, same parameters), and its run
    follower:<id>    a job that this one answers for
    answered:<id>    a job whose end was the end of this one, or that was answered with its result at once
    kept             when the job was kept until it is deleted, Unix seconds
    deleted          when the job was deleted while it answers for others, Unix seconds; readers do not see it
    withdrawn        when the job was cancelled while its work goes on for its followers, Unix seconds
    cache_key        key under which other jobs find this one
    method, expected, sampled  how frames are obtained, estimated number of frames, number of frames so far
    version, content modification time or hash of the source when it was opened first; what a file held then
                     (`consumers.sources.content`). An attempt that finds another source fails the job
    film             encoded schemas.results.Film
    parts, segments  of a film that is sampled in parts: their number and bounds (`consumers.sources.segmentation`)
    sampled:<part>, part:<part>    frames of the part so far; its number of frames, once known
    warnings, warnings:<part>      problems of the source, encoded list of texts
    units            number of frames of the job, once known
    finalized        set when all frames have an outcome
    summary          encoded ResultSummary

The script that changes the state of a job copies it, as JSON, to ``faces:job:{job_id}:metadata``, for programs that
share the server (`schemas.names.JobCopies`); the sweep of the deadlines (consumers.deadlines) renews the progress.

A job that failed or was cancelled runs again when the same request comes under its id. All messages of a run carry
its name, and a script changes the job for them only while the record has that run and no `ended` (``goes_on`` in
``scripts/common.lua``). So nothing of an earlier run reaches a later one, and nothing is written after an end or a
delete:

- A run is begun by one message alone, whose redeliveries have the same name.
- A new run begins with a new record; the other keys of the job are deleted in the same step.
- Each run ends once, with one event and one webhook.
- A request that was published before an end is answered by that end.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from schemas.requests import AnalyzeRequest
from schemas.webhooks import Callback


def without_callback(request: AnalyzeRequest) -> AnalyzeRequest:
    """Returns a request as it is stored, and sent to the workers; the envelope has its caller."""
    return msgspec.structs.replace(request, callback_url=None, tenant=UNSET)


def new_record(request: AnalyzeRequest) -> dict[str, Any]:
    """Returns the fields of a queued job, except `created`, which the server sets."""
    record = {
        "request": msgspec.msgpack.encode(without_callback(request)),
        "video_path": request.video_path,
        "status": "queued",
    }
    if request.source_id is not None:
        record["source_id"] = request.source_id
    if request.parameters.library:
        record["library"] = request.parameters.library
    return record


def callback_of(request: AnalyzeRequest) -> bytes:
    """Returns the encoded callback of a request; empty when it names none."""
    if request.callback_url is None:
        return b""
    return msgspec.json.encode(Callback(url=request.callback_url, source_id=request.source_id))


def rfc3339(seconds: float) -> str:
    """Returns a Unix time as RFC 3339 text in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def cache_key(video_path: str, mtime: float | str, parameters: dict[str, Any]) -> str:
    """Returns the specification's cache key: SHA-256 of path, modification time and parameters.

    Args:
        mtime: modification time in seconds; a hash of the content where the source is not a local file.
        parameters: JSON-encodable; they include the model pack, since another pack gives another result.
    """
    encoded = msgspec.json.encode(parameters, order="deterministic").decode()
    return hashlib.sha256(f"{video_path}:{mtime}:faces:{encoded}".encode()).hexdigest()
