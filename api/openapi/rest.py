"""The document that describes the REST interface, derived from the structs: OpenAPI 3.1."""

from typing import Any

import msgspec

from api.openapi.collections import COLLECTION_STRUCTS, collection_paths
from api.openapi.components import HEADERS, VERSION, add_spellings, components_of
from api.operations import DeadLetters, LetterReplayed, Queues
from api.queries import JobsQuery, ResultsQuery
from schemas.names import JOB_ID
from schemas.requests import AnalyzeRequest
from schemas.results import Health, JobEvent, JobList, JobResult, JobStatus, Problem, Submitted
from schemas.store.idempotency import PATTERN
from schemas.webhooks import JobEnded


def openapi() -> dict[str, Any]:
    """The REST interface."""
    components = components_of(REST)
    add_spellings(components)
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
        "description": "Events stage, progress, end (data: JobEvent) and gone; 204 for who knows of the end",
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
    pattern = f"^{JOB_ID.pattern}(,{JOB_ID.pattern}){{0,49}}$"
    together = several | {"required": True, "schema": {"type": "string", "pattern": pattern}}
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
    letter |= {"schema": {"type": "string", "pattern": r"^[0-9]{1,19}-[0-9]{1,19}$"}}
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


REST: list[Any] = [
    AnalyzeRequest, Submitted, JobStatus, JobEvent, JobList, JobResult, Health, Problem, JobEnded, Queues,
    DeadLetters, LetterReplayed, *COLLECTION_STRUCTS,
]  # fmt: skip


def _add_parts(components: dict[str, Any]) -> None:
    """A result with less in it: api.selection."""
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
