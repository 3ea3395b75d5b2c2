"""The parameters of the REST interface that stand in an address."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from multidict import MultiMapping

from api.selection import FIELDS
from schemas.collections import MATCH_THRESHOLD
from schemas.questions import LIMIT, Limit, Threshold
from schemas.requests import RequestError
from schemas.results import Embeddings, JobState, Thumbnails
from schemas.schema_errors import allowed, locate

Field = Literal[FIELDS]  # type: ignore[valid-type]
Moment = Annotated[datetime, Meta(tz=True, extra_json_schema={"format": "date-time"})]
Cursor = Annotated[str, Meta(pattern=r"^[0-9]{1,15}~[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(?!\n)$")]
"""A place in the list of jobs: when one was submitted (ms), and its id."""


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are listed. In an address nothing is null: what is not wanted is not there.

    Attributes:
        created_after, created_before: submitted at or after, and before, that moment.
        cursor: `next` of the page before this one.
    """

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    status: JobState | UnsetType = UNSET
    source_id: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    created_after: Moment | UnsetType = UNSET
    created_before: Moment | UnsetType = UNSET
    cursor: Cursor | UnsetType = UNSET


class ResultsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a result: its parts, and the form of its embeddings."""

    fields: Annotated[list[Field], Meta(min_length=1)] | UnsetType = UNSET
    embeddings: Embeddings = "json"
    thumbnails: Thumbnails = "url"


class PeopleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which people of a collection are listed.

    Attributes:
        after: `after` of the page before this one.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[int, Meta(ge=0, le=1 << 53)] = 0


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """As in the body of a search, for one whose body is a picture."""

    limit: Limit = LIMIT
    threshold: Threshold = MATCH_THRESHOLD


_INTEGER = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
Query = TypeVar("Query", JobsQuery, ResultsQuery, PeopleQuery, SearchQuery)


class QueryError(RequestError):
    """A parameter of an address, or a header, that cannot be used."""


def parse_query(given: MultiMapping[str], query: type[Query]) -> Query:
    """Raises QueryError, with the parameter at fault. What is no parameter is ignored."""
    values: dict[str, Any] = {}
    for name in query.__struct_fields__:
        match given.getall(name, []):
            case []:
                continue
            case [value]:
                values[name] = _number(value, (allowed(query, name) or {}).get("type"))
            case _:
                raise QueryError(name, "Expected it once.", allowed(query, name))
    if "fields" in values:
        values["fields"] = [name.strip() for name in values["fields"].split(",")]
    try:
        return msgspec.convert(values, query)
    except msgspec.ValidationError as error:
        path, problem = locate(error)
        raise QueryError(path.partition("[")[0], problem, allowed(query, path)) from error


def _number(text: str, type_: str | None) -> int | float | str:
    """The number that is expected; a text that is none as it is, which says what is wrong."""
    if type_ == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if type_ == "number" and _DECIMAL.fullmatch(text) else text
