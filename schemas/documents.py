"""The documents that describe the service to others, derived from the structs: OpenAPI 3.1 and AsyncAPI 3.0."""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.envelope import Envelope
from schemas.messages import ENHANCE, FINALIZE, FRAMES, SEGMENTS
from schemas.operations import DeadLetters, LetterReplayed, Queues
from schemas.requests import PARAMETER_SPELLINGS, REQUEST_SPELLINGS, AnalyzeRequest
from schemas.results import Health, JobList, JobResult, JobStatus, Problem, Submitted
from schemas.selection import EMBEDDINGS, FIELDS

VERSION = "1.0.0"


def openapi() -> dict[str, Any]:
    """The REST interface."""
    _, components = _components("#/components/schemas/{name}", REST)
    _add_spellings(components)
    job = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    face = job | {"name": "face_id"}
    listing = [
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
        },
        {"name": "before", "in": "query", "schema": {"type": "number"}},
        {"name": "status", "in": "query", "schema": {"type": "string"}},
        {"name": "source_id", "in": "query", "schema": {"type": "string"}},
    ]
    part: list[dict[str, Any]] = [
        {
            "name": "fields",
            "in": "query",
            "style": "form",
            "explode": False,
            "schema": {"type": "array", "items": {"enum": list(FIELDS)}},
        },
        {"name": "embeddings", "in": "query", "schema": {"enum": list(EMBEDDINGS), "default": "json"}},
    ]
    known = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}
    last = known | {"name": "Last-Event-ID"}
    submit = {
        "summary": "Submit a video",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same request is the same job, for a day",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        ],
        "requestBody": {"required": True, "content": _json("AnalyzeRequest")},
        "responses": _answers({202: "Submitted"}, 400, 409, 413, 422, 429, 503),
    }
    cancel = {
        "summary": "Stop the work",
        "parameters": [job],
        "responses": _answers({200: "JobStatus"}, 404, 409, 503),
    }
    delete = {
        "summary": "Forget an ended job",
        "parameters": [job],
        "responses": _answers({204: None}, 404, 409, 503),
    }
    thumbnail = _operation("The best shot of a person", {200: None}, [job, face], 404, 503)
    thumbnail["responses"]["200"] = {"description": "JPEG", "content": {"image/jpeg": {}}}
    report = _operation("The people as one page", {200: None, 304: None}, [job, known], 404, 409, 503)
    report["responses"]["200"] = {
        "description": "A page without further requests",
        "content": {"text/html": {}},
    }
    events = _operation("What happens to a job, as it happens", {200: None, 204: None}, [job, last], 404, 503)
    events["responses"]["200"] = {
        "description": "Events stage, progress, end (data: JobStatus) and gone; 204 for who knows of the end",
        "content": {"text/event-stream": {}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Faces", "version": VERSION, "description": "Finds the people in a video."},
        "paths": {
            "/faces/analyze": {"post": submit},
            "/faces/jobs": {"get": _operation("The latest jobs first", {200: "JobList"}, listing, 422, 503)},
            "/faces/jobs/{job_id}": {"delete": delete},
            "/faces/jobs/{job_id}/cancel": {"post": cancel},
            "/faces/jobs/{job_id}/status": {
                "get": _operation("How far a job is", {200: "JobStatus"}, [job], 404, 503)
            },
            "/faces/jobs/{job_id}/results": {
                "get": _operation(
                    "The people", {200: "JobResult", 304: None}, [job, *part, known], 400, 404, 409, 503
                )
            },
            "/faces/jobs/{job_id}/report": {"get": report},
            "/faces/jobs/{job_id}/events": {"get": events},
            "/faces/jobs/{job_id}/faces/{face_id}/thumbnail": {"get": thumbnail},
            "/faces/health": {"get": _operation("What the service works with", {200: "Health"}, [], 503)},
            **_pages(job),
            **_operating(),
        },
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Unless listening on loopback alone",
                }
            },
        },
        "security": [{}, {"key": []}],
    }


def _pages(job: dict[str, Any]) -> dict[str, Any]:
    """Pages for people, and what they ask for that is no use to others."""
    several: dict[str, Any] = {"name": "jobs", "in": "query", "description": "Job ids with commas between"}
    several |= {"schema": {"type": "string"}}
    people = _operation(
        "The people of a job, so far while it runs, for pages", {200: None}, [job], 404, 409, 503
    )
    people["responses"]["200"] = {"description": "What a page shows", "content": {"application/json": {}}}
    together = several | {"required": True}
    return {
        "/faces/": {"get": _page("Jobs, queues and dead letters")},
        "/faces/watch": {"get": _page("The people of jobs, while they run too", several)},
        "/faces/report": {
            "get": _page("The people of several jobs as one page", together, problems=(400, 404, 409, 503))
        },
        "/faces/jobs/{job_id}/people": {"get": people},
    }


def _page(summary: str, *parameters: Any, problems: tuple[int, ...] = ()) -> dict[str, Any]:
    page = _operation(summary, {200: None}, list(parameters), *problems)
    page["responses"]["200"] = {"description": "A page", "content": {"text/html": {}}}
    return page


def _operating() -> dict[str, Any]:
    letter: dict[str, Any] = {"name": "letter_id", "in": "path", "required": True}
    letter |= {"schema": {"type": "string", "pattern": r"^\d{1,20}-\d{1,20}$"}}
    replay = _operation(
        "Send a dead letter again (scope admin)", {200: "LetterReplayed"}, [letter], 400, 404, 415, 503
    )
    replay["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {
        "/faces/queues": {"get": _operation("How the stages' queues stand", {200: "Queues"}, [], 503)},
        "/faces/dead": {"get": _operation("Messages that were given up", {200: "DeadLetters"}, [], 503)},
        "/faces/dead/{letter_id}/replay": {"post": replay},
    }


def asyncapi(prefix: str = "faces") -> dict[str, Any]:
    """The streams, their messages and the consumer group that reads each.

    Args:
        prefix: first part of the streams' names.
    """
    streams: dict[str, tuple[str, str, Mapping[str, type[Any]]]] = {
        **{
            name: ("frames", "Videos to find the people in", {"analyze": AnalyzeRequest})
            for name in ("requests:high", "requests", "requests:low")
        },
        **dict.fromkeys(
            ("segments:high", "segments", "segments:low"),
            ("frames", "Parts of long films to sample", SEGMENTS),
        ),
        "frames": ("analyze", "Frames to find the faces of", FRAMES),
        "frames:express": ("analyze", "The same, of what is urgent, short or almost done", FRAMES),
        "enhance": ("enhance", "Frames to have enhanced", ENHANCE),
        "finalize": (
            "finalize",
            "Jobs whose frames are complete, or whose people so far are asked for",
            FINALIZE,
        ),
    }
    bodies = [body for _, _, types in streams.values() for body in types.values()]
    _, components = _components("#/components/schemas/{name}", [Envelope[msgspec.Raw], *bodies])
    _add_spellings(components)
    channels, operations, messages = {}, {}, {}
    for stream, (group, told, types) in streams.items():
        channels[stream] = {
            "address": f"{prefix}:{stream}",
            "description": f"{told}. One entry has one field, msgpack or json; read by consumer group {group}.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
        }
        operations[f"{group}-reads-{stream.replace(':', '-')}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{stream}"},
        }
        for name, body in types.items():
            messages[name] = {
                "contentType": "application/msgpack",
                "payload": _enveloped(components, name, body),
            }
    channels["events"] = {
        "address": f"{prefix}:events",
        "description": "Ends of jobs. The fields of an entry are the fields of the message.",
        "messages": {"ended": {"$ref": "#/components/messages/ended"}},
    }
    operations["ends-are-published"] = {"action": "send", "channel": {"$ref": "#/channels/events"}}
    ended = {"job_id": {"type": "string"}, "status": {"enum": ["completed", "failed", "cancelled"]}}
    messages["ended"] = {"payload": {"type": "object", "properties": ended, "required": list(ended)}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Faces", "version": VERSION, "description": "The streams between the stages."},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


REST: list[Any] = [
    AnalyzeRequest, Submitted, JobStatus, JobList, JobResult, Health, Problem, Queues, DeadLetters, LetterReplayed,
]  # fmt: skip


def _components(template: str, types: list[Any]) -> tuple[Any, dict[str, Any]]:
    references, components = msgspec.json.schema_components(types, ref_template=template)
    return references, dict(sorted(components.items()))


def _add_spellings(components: dict[str, Any]) -> None:
    """What schemas.requests accepts beside the specification's names."""
    for struct, spellings in (("AnalyzeRequest", REQUEST_SPELLINGS), ("Parameters", PARAMETER_SPELLINGS)):
        schema = components[struct]
        for other, name in spellings.items():
            schema["properties"][other] = schema["properties"][name] | {
                "description": f"Another spelling of {name}."
            }
    request = components["AnalyzeRequest"]
    request["anyOf"] = [{"required": ["video_path"]}, {"required": ["source"]}, {"required": ["images"]}]
    request["required"] = []


def _enveloped(components: dict[str, Any], name: str, body: type[Any]) -> dict[str, Any]:
    envelope = next(schema for title, schema in components.items() if title.startswith("Envelope"))
    properties = envelope["properties"] | {
        "type": {"const": name},
        "body": {"$ref": f"#/components/schemas/{body.__name__}"},
    }
    return {"type": "object", "properties": properties, "required": envelope["required"]}


def _operation(
    summary: str, answers: dict[int, str | None], parameters: list[Any], *problems: int
) -> dict[str, Any]:
    return {"summary": summary, "parameters": parameters, "responses": _answers(answers, *problems)}


def _answers(answers: dict[int, str | None], *problems: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        str(status): {"description": name or "Nothing to say"} | ({"content": _json(name)} if name else {})
        for status, name in answers.items()
    }
    for status in (*problems, 401, 403, 500):
        told[str(status)] = {
            "description": "Problem",
            "content": _json("Problem", "application/problem+json"),
        }
    return told


def _json(name: str, content: str = "application/json") -> dict[str, Any]:
    return {content: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
