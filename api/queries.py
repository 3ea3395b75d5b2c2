"""Query parameters of the REST interface: structs, and the parser that fills them."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from multidict import MultiMapping

from api.selection import FIELDS
from schemas.collections import MATCH_THRESHOLD
from schemas.library import PersonId
from schemas.questions import DEFAULT_LIMIT, Limit, Threshold
from schemas.requests import RequestError
from schemas.results import Embeddings, JobState, Thumbnails
from schemas.schema_errors import MAX_NAME_LENGTH, allowed, locate, unknown_name

Field = Literal[FIELDS]  # type: ignore[valid-type]
Timestamp = Annotated[datetime, Meta(tz=True, extra_json_schema={"format": "date-time"})]
Cursor = Annotated[str, Meta(pattern=r"^[0-9]{1,15}~[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(?!\n)$")]
"""Position in the list of jobs: submission time in milliseconds, and job id."""


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters and page of a list of jobs. A filter that is left out matches every job.

    Attributes:
        limit: most jobs of a page.
        job_id: this job alone, or none when it is gone.
        library: jobs whose people join this library; an empty text: those that join none.
        status: jobs in this state.
        source_id: jobs whose request gave it.
        created_after: submitted at this time or later.
        created_before: submitted before this time.
        cursor: `next` of the page before this one.
    """

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    status: JobState | UnsetType = UNSET
    source_id: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    job_id: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    library: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    created_after: Timestamp | UnsetType = UNSET
    created_before: Timestamp | UnsetType = UNSET
    cursor: Cursor | UnsetType = UNSET


class ResultsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a result to return, and the form of embeddings and thumbnails.

    Attributes:
        fields: names of the fields to return, with commas between; all when it is left out.
        embeddings: as numbers, as base64 of little-endian 32-bit floats, or left out.
        thumbnails: as addresses, or inline as `data:` addresses.
    """

    fields: Annotated[list[Field], Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    embeddings: Embeddings = "json"
    thumbnails: Thumbnails = "url"


class PeopleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Page of a list of people.

    Attributes:
        limit: most people of a page.
        after: `after` of the page before this one.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[int, Meta(ge=0, le=1 << 53)] = 0


class LibraryPeopleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Page and filters of a list of a library's people.

    Attributes:
        limit: most people of a page.
        after: `next` of the page before this one.
        text: part of the label, whatever its case.
        only: people with a label, or without one.
        hidden: whether hidden people are in the list.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: PersonId | Literal[""] = ""
    text: Annotated[str, Meta(max_length=200)] = ""
    only: Literal["named", "unnamed"] | UnsetType = UNSET
    hidden: Literal["no", "only", "all"] = "no"


class LibraryPageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Page of a list of a library.

    Attributes:
        limit: most entries of a page.
        after: `next` of the page before this one.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[str, Meta(max_length=200)] = ""


class LibraryFilmsQuery(LibraryPageQuery, frozen=True, kw_only=True):
    """Page and filter of a list of films.

    Attributes:
        limit: most films of a page.
        after: `next` of the page before this one.
        people: ids of people, with commas between; only films in which all of them are.
    """

    people: Annotated[str, Meta(max_length=2000)] = ""


class TimeRangeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a film.

    Attributes:
        since: where the part begins, in seconds from the start of the film.
        until: where it ends.
    """

    since: Annotated[float, Meta(ge=0.0, le=1e9)] = 0.0
    until: Annotated[float, Meta(ge=0.0, le=1e9)] = 1e9


class PicturesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Form of a job's people for pages.

    Attributes:
        pictures: whether pictures of completed jobs are in it.
    """

    pictures: Literal["inline", "none"] = "inline"


class LimitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Length of a list.

    Attributes:
        limit: most entries of the list.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a search whose body is a picture.

    Attributes:
        limit: most people to answer with.
        threshold: cosine similarity below which nobody is a match.
    """

    limit: Limit = DEFAULT_LIMIT
    threshold: Threshold = MATCH_THRESHOLD


_INTEGER = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
Query = TypeVar("Query", bound=msgspec.Struct)


class QueryError(RequestError):
    """A query, path or header parameter that is not valid."""


def parse_query(parameters: MultiMapping[str], query: type[Query]) -> Query:
    """Parses query parameters into a struct.

    Raises:
        QueryError: with the parameter at fault; of an unknown one, the nearest known name.
    """
    for name in parameters:
        if name not in query.__struct_fields__:
            raise QueryError(name[:MAX_NAME_LENGTH], unknown_name(name, query.__struct_fields__))
    values: dict[str, Any] = {}
    for name in query.__struct_fields__:
        match parameters.getall(name, []):
            case []:
                continue
            case [value]:
                values[name] = _number(value, (allowed(query, name) or {}).get("type"))
            case _:
                raise QueryError(name, "Expected it only once.", allowed(query, name))
    if "fields" in values:
        values["fields"] = [name.strip() for name in values["fields"].split(",")]
    try:
        return msgspec.convert(values, query)
    except msgspec.ValidationError as error:
        path, problem = locate(error)
        raise QueryError(path.partition("[")[0], problem, allowed(query, path)) from error


def _number(text: str, type_: str | None) -> int | float | str:
    """Converts a text to the expected type of number; returns other texts unchanged, for msgspec to refuse."""
    if type_ == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if type_ == "number" and _DECIMAL.fullmatch(text) else text
