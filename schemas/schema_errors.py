"""What was wrong with a value, where, and what is allowed there: from a struct's own schema."""

import re
from functools import cache
from typing import Any

import msgspec

KEYWORDS = (
    "type", "enum", "const", "format", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength",
    "maxLength", "pattern", "minItems", "maxItems",
)  # fmt: skip
"""Keywords of JSON Schema that say what a value may be."""


def locate(error: msgspec.ValidationError) -> tuple[str, str]:
    """The dotted path of the value at fault ("" for the whole) and what is wrong with it."""
    problem, _, where = str(error).partition(" - at `$")
    return where.strip("`."), problem


def allowed(struct: type[msgspec.Struct], path: str) -> dict[str, Any] | None:
    """What the schema of a struct says of the value at a path; None where it says nothing but that it is an object.

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
    said = _resolved(place, components)
    told = {keyword: said[keyword] for keyword in KEYWORDS if keyword in said}
    return None if not told or told == {"type": "object"} else told


def _resolved(place: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Follows references, and takes the one thing beside null that a value may be."""
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
