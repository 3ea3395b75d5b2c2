"""The parameters of the REST interface that stand in an address."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from schemas.constraints import allowed, located
from schemas.requests import RequestError
from schemas.results import JobState
from schemas.selection import FIELDS, Embeddings

Field = Literal[FIELDS]  # type: ignore[valid-type]
Moment = Annotated[datetime, Meta(tz=True, extra_json_schema={"format": "date-time"})]


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are listed.

    Attributes:
        created_after, created_before: submitted at or after, and before, that moment.
        cursor: `next` of the page before this one.
    """

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    status: JobState | None = None
    source_id: Annotated[str, Meta(max_length=256)] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class ResultsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a result: its parts, and the form of its embeddings."""

    fields: Annotated[list[Field], Meta(min_length=1)] | None = None
    embeddings: Embeddings = "json"


Query = TypeVar("Query", JobsQuery, ResultsQuery)


class QueryError(RequestError):
    """A parameter of an address, or a header, that cannot be used."""


def parse_query(given: Mapping[str, str], query: type[Query]) -> Query:
    """Raises QueryError, with the parameter at fault."""
    values: dict[str, Any] = {name: given[name] for name in query.__struct_fields__ if name in given}
    if "fields" in values:
        values["fields"] = [name.strip() for name in values["fields"].split(",")]
    try:
        return msgspec.convert(values, query, strict=False)
    except msgspec.ValidationError as error:
        path, problem = located(error)
        raise QueryError(path.partition("[")[0], problem, allowed(query, path)) from error
