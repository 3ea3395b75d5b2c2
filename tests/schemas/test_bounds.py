"""Every text and every list of every request has a bound, and whoever exceeds it learns which field is at fault."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from api.bodies import parse_body
from api.queries import JobsQuery, PeopleQuery, ResultsQuery, SearchQuery
from schemas.collections import EnrolRequest, RenameRequest
from schemas.questions import SearchRequest
from schemas.requests import AnalyzeRequest, RequestError, to_request

BODIES = (AnalyzeRequest, EnrolRequest, RenameRequest, SearchRequest)
QUERIES = (JobsQuery, ResultsQuery, PeopleQuery, SearchQuery)
LARGE = 100_001
"""More than any bound on characters or items."""
Path = tuple[str, ...]


def places(kind: inspect.Type, path: Path = ()) -> Iterator[tuple[Path, inspect.Type]]:
    """The path and type of each text, list and map of a type."""
    match kind:
        case inspect.StructType():
            for field in kind.fields:
                yield from places(field.type, (*path, field.encode_name))
        case inspect.UnionType():
            for option in kind.types:
                yield from places(option, path)
        case inspect.ListType() | inspect.VarTupleType():
            yield path, kind
            yield from places(kind.item_type, (*path, "0"))
        case (
            inspect.StrType()
            | inspect.DictType()
            | inspect.BytesType()
            | inspect.AnyType()
            | inspect.RawType()
        ):
            yield path, kind


def bounded(kind: inspect.Type) -> bool:
    pattern = getattr(kind, "pattern", None)
    return getattr(kind, "max_length", None) is not None or bool(
        pattern and re.search(r"\{\d+,\d+\}", pattern)
    )


@pytest.mark.parametrize("struct", [*BODIES, *QUERIES])
def test_every_text_and_list_of_a_request_has_a_bound(struct: type[msgspec.Struct]) -> None:
    unbounded = {".".join(path) for path, kind in places(inspect.type_info(struct)) if not bounded(kind)}
    assert unbounded == set()


BODY_PLACES = [(struct, path, kind) for struct in BODIES for path, kind in places(inspect.type_info(struct))]
VALID: dict[type, dict[str, Any]] = {
    AnalyzeRequest: {"video_path": "/v"},
    EnrolRequest: {"job_id": "a", "face_id": "b", "label": "c"},
    RenameRequest: {"label": "c"},
    SearchRequest: {},
}
HUGE: dict[str, Any] = {
    "text": "x" * LARGE, "texts": ["/a"] * LARGE, "name": {"a" * LARGE: 1},
    "names": {str(n): n for n in range(LARGE)}, "number": 10**400,
    "deep": msgspec.json.decode(b"[" * 500 + b"]" * 500),
}  # fmt: skip


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize(
    ("struct", "path"), sorted({(struct, path) for struct, path, _ in BODY_PLACES}, key=str)
)
def test_a_huge_value_anywhere_is_refused_with_its_field(
    struct: type[msgspec.Struct], path: Path, huge: str
) -> None:
    body = {**VALID[struct], **nested(path, HUGE[huge])}
    with pytest.raises(RequestError) as refused:
        if struct is AnalyzeRequest:  # the same for the API and for requests that are published directly
            to_request(body)
        else:
            parse_body(msgspec.json.encode(body), struct)
    assert refused.value.field.startswith(path[0]), refused.value
    assert len(str(refused.value)) < 2000


def nested(path: Path, value: Any) -> dict[str, Any]:
    for step in reversed(path):
        value = [value] if step == "0" else {step: value}
    return value
