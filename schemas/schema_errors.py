"""Explains validation errors: which value is wrong, and what the schema of the struct allows there."""

import re
from functools import cache
from typing import Any

import msgspec

KEYWORDS = (
    "type", "enum", "const", "format", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength",
    "maxLength", "pattern", "minItems", "maxItems",
)  # fmt: skip
"""Keywords of JSON Schema that are passed on to the caller."""


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
        if step.startswith("["):
            place = place.get("items", place.get("additionalProperties"))
        else:
            place = place.get("properties", {}).get(step)
        if not isinstance(place, dict):
            return None
    schema = _resolved(place, components)
    kept = {keyword: schema[keyword] for keyword in KEYWORDS if keyword in schema}
    return None if not kept or kept == {"type": "object"} else kept


def _resolved(place: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Follows references, and takes the alternative beside null."""
    while True:
        if "$ref" in place:
            place = components[place["$ref"].rpartition("/")[2]]
        elif options := [option for option in place.get("anyOf", ()) if option != {"type": "null"}]:
            place = options[0]
        else:
            return place


@cache
def _schema(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    (root,), components = msgspec.json.schema_components([struct])
    return root, components
