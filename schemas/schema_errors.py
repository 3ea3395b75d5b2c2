"""Explains validation errors: which value is wrong, what the schema of the struct allows there, and the nearest name
of an unknown field."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

import msgspec

KEYWORDS = (
    "type", "enum", "const", "format", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength",
    "maxLength", "pattern", "minItems", "maxItems",
)  # fmt: skip
"""Keywords of JSON Schema that are passed on to the caller."""
MAX_NAME_LENGTH = 100
"""Most characters of an unknown name that are compared and quoted."""
MIN_PART_LENGTH = 4
"""Least characters of an unknown name that is looked for as a part of the known ones."""


def locate(error: msgspec.ValidationError) -> tuple[str, str]:
    """Returns the dotted path of the invalid value ("" for the whole) and what is wrong with it."""
    problem, _, where = str(error).partition(" - at `$")
    return where.strip("`."), problem


def allowed(struct: type[msgspec.Struct], path: str) -> dict[str, Any] | None:
    """Returns what the schema of a struct allows at a path; None when it only says "object".

    Args:
        path: names with dots between, ``[…]`` for the items of a list or the values of a map.
    """
    root, components = _schema(struct)
    place: Any = root
    for step in re.findall(r"\[.*?\]|[^.\[\]]+", path):
        place = _resolved(place, components)
        if kinds := place.get("discriminator"):
            return {"enum": list(kinds["mapping"])} if step == kinds["propertyName"] else None
        if step.startswith("["):
            place = place.get("items", place.get("additionalProperties"))
        else:
            place = place.get("properties", {}).get(step)
        if not isinstance(place, dict):
            return None
    schema = _resolved(place, components)
    kept = {keyword: schema[keyword] for keyword in KEYWORDS if keyword in schema}
    return None if not kept or kept == {"type": "object"} else kept


def unknown_name(name: str, names: Sequence[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """Returns the problem of a name that does not exist, as a sentence with the nearest of those that do.

    Args:
        elsewhere: names that exist at another place, each with its dotted path.
    """
    name, elsewhere = name[:MAX_NAME_LENGTH].lower(), elsewhere or {}
    if name not in elsewhere:
        known = {one.lower(): one for one in names}
        parts = [one for one in known if len(name) >= MIN_PART_LENGTH and name in one]
        if near := get_close_matches(name, known, n=1) or parts:
            return f"Unknown name; did you mean {known[near[0]]}?"
    if near := get_close_matches(name, elsewhere, n=1, cutoff=0.8):
        return f"Unknown name here; did you mean {elsewhere[near[0]]}?"
    return f"Unknown name; expected {', '.join(names)}."


def unknown_fields(data: Any, struct: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the fields of an object that a struct does not have, nested structs and their lists included.

    Args:
        data: decoded JSON or msgpack.
        path: of the object, ending with a dot; empty for the whole.

    Yields:
        the path of the object and the name of the field; quotes for an empty name.
    """
    if not isinstance(data, Mapping):
        return
    nested = _nested_structs(struct)
    for name, value in data.items():
        if name not in struct.__struct_encode_fields__:
            yield path, str(name) or '""'
        elif inner := nested.get(name):
            for number, item in enumerate(value) if isinstance(value, list) else [(-1, value)]:
                place = f"{path}{name}." if number < 0 else f"{path}{name}[{number}]."
                yield from unknown_fields(item, inner, place)


@cache
def _nested_structs(struct: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """Returns the fields of a struct that are structs, or lists of them. Of a union of tagged structs, each refuses
    unknown fields itself."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    nested = {}
    for field in info.fields:
        types = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        for kind in types:
            item = kind.item_type if isinstance(kind, msgspec.inspect.ListType) else kind
            if isinstance(item, msgspec.inspect.StructType) and item.tag is None:
                nested[field.encode_name] = item.cls
    return nested


def _resolved(place: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Follows references, and takes the alternative beside null."""
    while True:
        if "$ref" in place:
            place = components[place["$ref"].rpartition("/")[2]]
        elif "discriminator" in place:
            return place
        elif options := [option for option in place.get("anyOf", ()) if option != {"type": "null"}]:
            place = options[0]
        else:
            return place


@cache
def _schema(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    (root,), components = msgspec.json.schema_components([struct])
    return root, components
