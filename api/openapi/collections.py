"""The part of the OpenAPI document that tells of collections."""

from collections.abc import Callable
from typing import Any

from api.queries import PeopleQuery, SearchQuery
from schemas.collections import (
    CollectionList,
    EnrolledFace,
    EnrolRequest,
    KnownPerson,
    PeopleList,
    RenameRequest,
)
from schemas.names import COLLECTION, ENROLLED_ID, PERSON_ID
from schemas.questions import SearchRequest, SearchResult

COLLECTION_STRUCTS: list[Any] = [
    CollectionList, EnrolRequest, EnrolledFace, PeopleList, KnownPerson, RenameRequest, SearchRequest, SearchResult,
]  # fmt: skip

Operation = Callable[..., dict[str, Any]]
Content = Callable[[str], dict[str, Any]]
Query = Callable[[Any], list[dict[str, Any]]]


def collection_paths(operation: Operation, content: Content, query: Query) -> dict[str, Any]:
    """Args:
    operation: (summary, {status: schema}, parameters, *statuses of problems) → an operation.
    content: name of a schema → content in JSON.
    query: struct of a query → its parameters.
    """

    def place(name: str, pattern: str) -> dict[str, Any]:
        schema = {"type": "string", "pattern": f"^{pattern}$"}
        return {"name": name, "in": "path", "required": True, "schema": schema}

    name, person = place("name", COLLECTION.pattern), place("person_id", PERSON_ID.pattern)
    enrol = operation(
        "Enrol a face of a completed job, as whom the label says; the collection begins with its first face",
        {200: "EnrolledFace", 201: "EnrolledFace", 202: "EnrolledFace"}, [name], 400, 404, 409, 413, 422,
    )  # fmt: skip
    search = operation(
        "Whose face it is: an embedding, a face of a job, or the largest face of a picture",
        {200: "SearchResult"}, [name, *query(SearchQuery)], 400, 404, 409, 413, 422, 504,
    )  # fmt: skip
    rename = operation(
        "Give a person another label", {200: "KnownPerson"}, [name, person], 400, 404, 409, 422
    )
    thumbnail = operation("An enrolled face, as it was seen", {200: None},
                          [name, place("face_id", ENROLLED_ID.pattern)], 404)  # fmt: skip
    thumbnail["responses"]["200"] = {"description": "JPEG", "content": {"image/jpeg": {}}}
    enrol["requestBody"] = {"required": True, "content": content("EnrolRequest")}
    rename["requestBody"] = {"required": True, "content": content("RenameRequest")}
    search["requestBody"] = {"required": True, "content": content("SearchRequest") | {"image/*": {}}}
    erased: dict[int, str | None] = {202: None, 204: None}
    base = "/faces/collections"
    return {
        base: {"get": operation("The collections", {200: "CollectionList"}, [])},
        f"{base}/{{name}}": {"delete": operation("Delete a collection", erased, [name], 404)},
        f"{base}/{{name}}/faces": {"post": enrol},
        f"{base}/{{name}}/search": {"post": search},
        f"{base}/{{name}}/people": {
            "get": operation("Who is in it", {200: "PeopleList"}, [name, *query(PeopleQuery)], 400, 404)
        },
        f"{base}/{{name}}/people/{{person_id}}": {
            "get": operation("A person's faces", {200: "KnownPerson"}, [name, person], 404),
            "patch": rename,
            "delete": operation("Erase a person, in results of jobs too", erased, [name, person], 404),
        },
        f"{base}/{{name}}/faces/{{face_id}}/thumbnail": {"get": thumbnail},
    }
