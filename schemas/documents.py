"""The documents that describe the service to others, derived from the structs: OpenAPI 3.1 and AsyncAPI 3.0."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.collection_documents import COLLECTION_STRUCTS, collection_paths
from schemas.envelope import Envelope
from schemas.idempotency import PATTERN
from schemas.messages import COLLECTIONS, ENHANCE, FINALIZE, FRAMES, PHOTOGRAPHS, SEGMENTS, WEBHOOKS
from schemas.operations import DeadLetters, LetterReplayed, Queues
from schemas.queries import JobsQuery, ResultsQuery
from schemas.requests import PARAMETER_SPELLINGS, REQUEST_SPELLINGS, AnalyzeRequest
from schemas.results import Health, JobList, JobResult, JobStatus, Problem, Submitted
from schemas.webhooks import ID, SIGNATURE, TIMESTAMP, JobEnded

VERSION = "1.0.0"
_ATTRIBUTE = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.+(?:\n[ \t]+.+)*)", re.MULTILINE)
"""Names, and what is said of them, on one line or several that are indented."""


def openapi() -> dict[str, Any]:
    """The REST interface."""
    _, components = _components("#/components/schemas/{name}", REST)
    _add_spellings(components)
    _add_parts(components)
    job = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    face = job | {"name": "face_id"}
    known = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}
    last = known | {"name": "Last-Event-ID"}
    submit = {
        "summary": "Submit a video",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same request is the same job, for a day",
                "schema": {"type": "string", "pattern": PATTERN},
            }
        ],
        "requestBody": {"required": True, "content": _json("AnalyzeRequest")},
        "responses": _answers({202: "Submitted"}, 400, 408, 409, 413, 422),
        "callbacks": {"ended": {"{$request.body#/callback_url}": {"post": _callback()}}},
    }
    cancel = {
        "summary": "Stop the work",
        "parameters": [job],
        "responses": _answers({200: "JobStatus"}, 404, 409),
    }
    delete = {
        "summary": "Forget an ended job",
        "parameters": [job],
        "responses": _answers({204: None}, 404, 409),
    }
    thumbnail = _operation("The best shot of a person", {200: None}, [job, face], 404)
    thumbnail["responses"]["200"] = {"description": "JPEG", "content": {"image/jpeg": {}}}
    report = _operation("The people as one page", {200: None, 304: None}, [job, known], 404, 409)
    report["responses"]["200"] = {
        "description": "A page without further requests",
        "content": {"text/html": {}},
    }
    events = _operation("What happens to a job, as it happens", {200: None, 204: None}, [job, last], 404)
    events["responses"]["200"] = {
        "description": "Events stage, progress, end (data: JobStatus) and gone; 204 for who knows of the end",
        "content": {"text/event-stream": {}},
    }
    results = _operation(
        "The people", {200: "JobResult", 304: None}, [job, *_query(ResultsQuery), known], 400, 404, 409
    )
    both = [{"$ref": f"#/components/schemas/{name}"} for name in ("JobResult", "PartOfResult")]
    results["responses"]["200"]["content"]["application/json"]["schema"] = {"anyOf": both}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Faces", "version": VERSION, "description": "Finds the people in a video."},
        "paths": {
            "/faces/analyze": {"post": submit},
            "/faces/jobs": {
                "get": _operation("The latest jobs first", {200: "JobList"}, _query(JobsQuery), 400)
            },
            "/faces/jobs/{job_id}": {"delete": delete},
            "/faces/jobs/{job_id}/cancel": {"post": cancel},
            "/faces/jobs/{job_id}/status": {
                "get": _operation("How far a job is", {200: "JobStatus"}, [job], 404)
            },
            "/faces/jobs/{job_id}/results": {"get": results},
            "/faces/jobs/{job_id}/report": {"get": report},
            "/faces/jobs/{job_id}/events": {"get": events},
            "/faces/jobs/{job_id}/faces/{face_id}/thumbnail": {"get": thumbnail},
            "/faces/health": {"get": _operation("What the service works with", {200: "Health"}, [])},
            **_pages(job),
            **_operating(),
            **collection_paths(_operation, _json, _query),
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
        "webhooks": ("webhooks", "Ends of jobs to tell to their callback_url", WEBHOOKS),
        "collections": ("collections", "Faces to enrol, to look for and to erase", COLLECTIONS),
        "photographs": ("photographs", "Uploaded photographs to look for the face of", PHOTOGRAPHS),
    }
    bodies = [body for _, _, types in streams.values() for body in types.values()]
    _, components = _components("#/components/schemas/{name}", [Envelope[msgspec.Raw], JobEnded, *bodies])
    _add_spellings(components)
    channels, operations, messages = dict[str, Any](), dict[str, Any](), dict[str, Any]()
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
        "description": "Ends of jobs, each once; the latest 100,000 or so are kept. For whoever wants to follow: "
        "read it from the id that was seen last (XREAD), or with a consumer group of your own, and delete nothing. "
        "The fields of an entry are the fields of the message.",
        "messages": {"ended": {"$ref": "#/components/messages/ended"}},
    }
    operations["ends-are-published"] = {"action": "send", "channel": {"$ref": "#/channels/events"}}
    ended = {"job_id": {"type": "string"}, "status": {"enum": ["completed", "failed", "cancelled"]}}
    messages["ended"] = {"payload": {"type": "object", "properties": ended, "required": list(ended)}}
    channels["callback"] = {
        "address": None,
        "description": "The callback_url of a request, when its job has ended: a POST, signed as Standard Webhooks "
        "says. Any answer but 2xx, and none within 10 s, is tried again for about four hours; a redirect is not "
        "followed, and 410 ends it. A delivery may come twice, with the same webhook-id.",
        "messages": {"job-ended": {"$ref": "#/components/messages/job-ended"}},
    }
    operations["ends-are-told"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/callback"},
        "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    }
    messages["job-ended"] = {
        "contentType": "application/json",
        "headers": {"type": "object", "properties": HEADERS, "required": list(HEADERS)},
        "payload": {"$ref": "#/components/schemas/JobEnded"},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Faces", "version": VERSION, "description": "The streams between the stages."},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


REST: list[Any] = [
    AnalyzeRequest, Submitted, JobStatus, JobList, JobResult, Health, Problem, JobEnded, Queues, DeadLetters,
    LetterReplayed, *COLLECTION_STRUCTS,
]  # fmt: skip
HEADERS: dict[str, Any] = {
    ID: {"type": "string", "description": "The same in every attempt of a delivery"},
    TIMESTAMP: {"type": "string", "description": "Unix seconds of this attempt"},
    SIGNATURE: {
        "type": "string",
        "description": "v1, and the base64 of HMAC-SHA256 over id.timestamp.body; several with spaces between",
    },
}


def _components(template: str, types: list[Any]) -> tuple[Any, dict[str, Any]]:
    references, components = msgspec.json.schema_components(types, ref_template=template)
    for schema in components.values():
        _tell_attributes(schema)
    return references, dict(sorted(components.items()))


def _tell_attributes(schema: dict[str, Any]) -> None:
    """What a struct's docstring says under Attributes goes to the properties it speaks of."""
    told, _, attributes = str(schema.get("description", "")).partition("Attributes:")
    if told := inspect.cleandoc(told).strip():
        schema["description"] = told
    else:
        schema.pop("description", None)
    for names, text in _ATTRIBUTE.findall(inspect.cleandoc(attributes)):
        for name in names.split(", "):
            if name in schema.get("properties", {}):
                described = " ".join(text.split())
                schema["properties"][name] = schema["properties"][name] | {"description": described}


def _add_spellings(components: dict[str, Any]) -> None:
    """What schemas.requests accepts beside the specification's names."""
    for struct, spellings in (("AnalyzeRequest", REQUEST_SPELLINGS), ("Parameters", PARAMETER_SPELLINGS)):
        schema = components[struct]
        for other, name in spellings.items():
            schema["properties"][other] = schema["properties"][name] | {
                "description": f"Another spelling of {name}."
            }
    for struct in ("AnalyzeRequest", "Parameters", "Enhancement"):  # a null counts as not given
        properties = components[struct]["properties"]
        for name, schema in properties.items():
            options = schema.get("anyOf", [])
            if {"type": "null"} not in options:
                told = {key: schema[key] for key in ("default", "description") if key in schema}
                rest = {key: value for key, value in schema.items() if key not in told}
                properties[name] = {"anyOf": [rest, {"type": "null"}]} | told
    request = components["AnalyzeRequest"]
    request["anyOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("video_path", "source", "images")
    ]
    request["required"] = []
    sprites = {"properties": {"use_sprites": {"const": True}}, "required": ["use_sprites"]}
    given = {"not": {"type": "null"}}
    two_sources = {
        "required": ["images", "parameters"],
        "properties": {"images": given, "parameters": sprites},
    }
    request["not"] = {"anyOf": [two_sources, *(_both(*pair) for pair in REQUEST_SPELLINGS.items())]}
    parameters = components["Parameters"]
    parameters["not"] = {"anyOf": [_both(*pair) for pair in PARAMETER_SPELLINGS.items()]}
    parameters["if"] = sprites
    parameters["then"] = {
        "properties": {"sprite_vtt_url": {"type": "string", "minLength": 1}}, "required": ["sprite_vtt_url"]
    }  # fmt: skip


def _both(one: str, other: str) -> dict[str, Any]:
    """Both spellings of a parameter are given; that they may then be equal is more than a schema can say."""
    given = {"not": {"type": "null"}}
    return {"required": [one, other], "properties": {one: given, other: given}}


def _add_parts(components: dict[str, Any]) -> None:
    """A result with less in it: schemas.selection."""
    face, result = components["Face"], components["JobResult"]
    embedding = {"anyOf": [face["properties"]["embedding"], {"type": "string", "contentEncoding": "base64"}]}
    components["PartOfFace"] = face | {
        "title": "PartOfFace",
        "properties": face["properties"]
        | {"embedding": embedding, "thumbnail": {"type": ["string", "null"]}},
        "required": ["face_id"],
    }
    faces = {"type": "array", "items": {"$ref": "#/components/schemas/PartOfFace"}}
    components["PartOfResult"] = result | {
        "title": "PartOfResult",
        "description": "What `fields` and `embeddings` pick of a JobResult.",
        "properties": result["properties"] | {"faces": faces},
        "required": ["job_id", "source_id", "status"],
    }


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


def _query(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The parameters of an address, from the struct that they are read into."""
    (_,), components = msgspec.json.schema_components([query])
    described = components[query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "schema": schema}
        | ({"style": "form", "explode": False} if "items" in schema else {})
        for name, schema in described.items()
    ]


def _callback() -> dict[str, Any]:
    headers = [
        {"name": name, "in": "header", "required": True, "schema": schema} for name, schema in HEADERS.items()
    ]
    return {
        "summary": "The job has ended",
        "description": "Signed as Standard Webhooks says; sent again until the answer is 2xx, for about four hours.",
        "parameters": headers,
        "requestBody": {"required": True, "content": _json("JobEnded")},
        "responses": {"2XX": {"description": "Taken"}, "410": {"description": "Do not call again"}},
    }


def _answers(answers: dict[int, str | None], *problems: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        str(status): {"description": name or "Nothing to say"} | ({"content": _json(name)} if name else {})
        for status, name in answers.items()
    }
    for status in (*problems, 401, 403, 429, 500, 503):
        told[str(status)] = {
            "description": "Problem",
            "content": _json("Problem", "application/problem+json"),
        }
    return told


def _json(name: str, content: str = "application/json") -> dict[str, Any]:
    return {content: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
