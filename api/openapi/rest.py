"""The OpenAPI 3.1 document of the REST interface: paths from the declared endpoints, schemas from their structs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from api.endpoints import Body, Content, Endpoint, parameter
from api.openapi.components import HEADERS, VERSION, add_spellings, components_of
from api.selection import EMBEDDINGS
from schemas.library_view import LibraryEvent
from schemas.results import JobEvent, JobResult, Problem
from schemas.webhooks import JobEnded

STRUCTS: list[Any] = [JobEnded, JobEvent, JobResult, LibraryEvent, Problem]
"""Structs in the document that no endpoint declares as a body of its own."""
COMMON_PROBLEMS = (401, 403, 429, 500, 503)
"""Statuses that every endpoint may answer."""
PARAMETERS = {
    "name": "Name of the collection or library",
    "job_id": "Id of the job, from the answer to its submission",
    "face_id": "Id of the face in the result of its job, or in its collection",
    "person_id": "Id of the person in the library or collection",
    "film_id": "Id of the film in the library",
    "letter_id": "Id of the dead letter",
    "upload_id": "Id of the upload",
    "If-None-Match": "Entity tags of the versions that the caller has; 304 when one of them is the present one",
    "If-Range": "Entity tag of the version that the caller has a part of; another version is sent whole",
    "Range": "Range of bytes to send",
    "Last-Event-ID": "Id of the last event that the caller has; those after it are sent",
    "Tus-Resumable": "Version of the protocol of uploads",
    "Upload-Offset": "Number of bytes of the upload that the service has",
}
"""Descriptions of path and header parameters, by name. The docstrings of structs have those of query parameters."""
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


def openapi(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The document of these endpoints, those without a summary left out."""
    documented = [endpoint for endpoint in endpoints if endpoint.summary is not None]
    components = components_of([*STRUCTS, *{s for endpoint in documented for s in _structs(endpoint)}])
    add_spellings(components)
    _add_parts(components)
    paths = dict[str, Any]()
    for endpoint in documented:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    paths["/faces/analyze"]["post"]["callbacks"] = {
        "ended": {"{$request.body#/callback_url}": {"post": _callback()}}
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Faces", "version": VERSION, "description": "Finds the people in a video."},
        "paths": paths,
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


def _structs(endpoint: Endpoint) -> Iterator[type[msgspec.Struct]]:
    for body in (endpoint.body, *endpoint.responses.values()):
        for schema in _content_of(body).types.values() if body else ():
            if isinstance(schema, type):
                yield schema


def _content_of(body: Body) -> Content:
    return body if isinstance(body, Content) else Content({"application/json": body}, body.__name__)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    in_path = [
        parameter(name, "path", required=True, pattern=_anchored(endpoint.patterns.get(name)))
        for name in _PATH_PARAMETER.findall(endpoint.path)
    ]
    in_query = _query(endpoint.query) if endpoint.query else []
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "parameters": [_described(one) for one in (*in_path, *in_query, *endpoint.parameters)],
        "responses": _responses(endpoint),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _media_types(_content_of(endpoint.body))}
    return operation


def _described(one: dict[str, Any]) -> dict[str, Any]:
    """Returns a parameter with its description.

    Raises:
        KeyError: there is none.
    """
    return one if "description" in one else one | {"description": PARAMETERS[one["name"]]}


def _anchored(pattern: re.Pattern[str] | None) -> str | None:
    return f"^{pattern.pattern}$" if pattern else None


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    responses = dict[str, Any]()
    for status, body in endpoint.responses.items():
        if body is None:
            responses[str(status)] = {"description": "Nothing to say"}
        else:
            content = _content_of(body)
            responses[str(status)] = {"description": content.description, "content": _media_types(content)}
    problem = _media_types(Content({"application/problem+json": Problem}))
    for status in (*endpoint.problems, *COMMON_PROBLEMS):
        responses[str(status)] = {"description": "Problem", "content": problem}
    return responses


def _media_types(content: Content) -> dict[str, Any]:
    return {type_: {"schema": _schema(schema)} if schema else {} for type_, schema in content.types.items()}


def _schema(schema: type[msgspec.Struct] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(schema, type):
        return {"$ref": f"#/components/schemas/{schema.__name__}"}
    return dict(schema)


def _query(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The query parameters of a struct."""
    properties = components_of([query])[query.__name__]["properties"]
    parameters = []
    for name, schema in properties.items():
        described = {key: schema[key] for key in ("description",) if key in schema}
        plain = {key: value for key, value in schema.items() if key not in described}
        style = {"style": "form", "explode": False} if "items" in schema else {}
        parameters.append({"name": name, "in": "query", "schema": plain} | described | style)
    return parameters


def _add_parts(components: dict[str, Any]) -> None:
    """Adds the schemas of a result with some fields left out (api.selection)."""
    face, result = components["Face"], components["JobResult"]
    embeddings = {
        name: {"anyOf": [face["properties"][name], {"type": "string", "contentEncoding": "base64"}]}
        for name in EMBEDDINGS
    }
    components["PartOfFace"] = face | {
        "title": "PartOfFace",
        "properties": face["properties"] | embeddings | {"thumbnail": {"type": ["string", "null"]}},
        "required": ["face_id"],
    }
    faces = {"type": "array", "items": {"$ref": "#/components/schemas/PartOfFace"}}
    components["PartOfResult"] = result | {
        "title": "PartOfResult",
        "description": "What `fields` and `embeddings` pick of a JobResult.",
        "properties": result["properties"] | {"faces": faces},
        "required": ["job_id", "source_id", "status"],
    }


def _callback() -> dict[str, Any]:
    headers = [
        {"name": name, "in": "header", "required": True, "schema": schema} for name, schema in HEADERS.items()
    ]
    return {
        "summary": "The job has ended",
        "description": "Signed as Standard Webhooks says; sent again until the answer is 2xx, for about four hours.",
        "parameters": headers,
        "requestBody": {"required": True, "content": _media_types(_content_of(JobEnded))},
        "responses": {"2XX": {"description": "Taken"}, "410": {"description": "Do not call again"}},
    }
