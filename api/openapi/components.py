"""Schemas of structs for both documents, with descriptions from docstrings and the accepted spellings."""

import inspect
import re
from typing import Any

import msgspec

from schemas.requests import PARAMETER_SPELLINGS, REQUEST_SPELLINGS
from schemas.webhooks import ID, SIGNATURE, TIMESTAMP

VERSION = "1.0.0"
_ATTRIBUTE = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.+(?:\n[ \t]+.+)*)", re.MULTILINE)
"""Names and their text in an Attributes section, on one line or several indented ones."""
_PUBLISHED_WITHOUT_DESCRIPTION = frozenset((
    "CollectionInfo", "CollectionList", "Detection", "EndedJob", "EnrolledFace", "Face", "Found", "KnownPerson",
    "Metadata", "Occlusion", "PersonSummary", "Quality", "QualityComponents", "RenameRequest", "ResultSummary",
))  # fmt: skip
"""Structs that were published without a description; adding one changes the document."""
HEADERS: dict[str, Any] = {
    ID: {"type": "string", "description": "The same in every attempt of a delivery"},
    TIMESTAMP: {"type": "string", "description": "Unix seconds of this attempt"},
    SIGNATURE: {
        "type": "string",
        "description": "v1, and the base64 of HMAC-SHA256 over id.timestamp.body; several with spaces between",
    },
}
"""Headers of a webhook delivery, by name, with their schemas."""
_NUMBER = {"type": "string", "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"}
TEXTS: dict[str, dict[str, Any]] = {
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": {"enum": [0, 1, "0", "1", "false", "true"]},
}
"""What is accepted for a value of a type beside that type, since callers send values as texts."""


def components_of(types: list[Any]) -> dict[str, Any]:
    """The schemas of these structs and of all structs inside them, by name."""
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for name, schema in components.items():
        _split_docstring(schema)
        if name in _PUBLISHED_WITHOUT_DESCRIPTION:
            schema.pop("description", None)
    return dict(sorted(components.items()))


def _split_docstring(schema: dict[str, Any]) -> None:
    """Moves what a struct's docstring says under Attributes to the properties it describes."""
    description, _, attributes = str(schema.get("description", "")).partition("Attributes:")
    if description := inspect.cleandoc(description).strip():
        schema["description"] = description
    else:
        schema.pop("description", None)
    for names, text in _ATTRIBUTE.findall(inspect.cleandoc(attributes)):
        for name in names.split(", "):
            if name in schema.get("properties", {}):
                described = " ".join(text.split())
                schema["properties"][name] = schema["properties"][name] | {"description": described}


def add_spellings(components: dict[str, Any]) -> None:
    """Adds what `schemas.requests` accepts beside the specification: other spellings of names, numbers as texts, and
    null for absent."""
    for struct in ("AnalyzeRequest", "Parameters", "Enhancement", "Scene"):
        properties = components[struct]["properties"]
        components[struct]["properties"] = {name: _or_text(schema) for name, schema in properties.items()}
    for struct, spellings in (("AnalyzeRequest", REQUEST_SPELLINGS), ("Parameters", PARAMETER_SPELLINGS)):
        schema = components[struct]
        for other, name in spellings.items():
            schema["properties"][other] = schema["properties"][name] | {
                "description": f"Another spelling of {name}."
            }
    for struct in ("AnalyzeRequest", "Parameters", "Enhancement"):  # a null counts as not given
        properties = components[struct]["properties"]
        for name, schema in properties.items():
            outer = {key: schema[key] for key in ("default", "description") if key in schema}
            inner = {key: value for key, value in schema.items() if key not in outer}
            options = inner.get("anyOf", [inner])
            if {"type": "null"} not in options:
                properties[name] = {"anyOf": [*options, {"type": "null"}]} | outer
    request = components["AnalyzeRequest"]
    request["anyOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("video_path", "source", "images")
    ]
    request["required"] = []
    sprites = {"properties": {"use_sprites": {"enum": [True, 1, "1", "true"]}}, "required": ["use_sprites"]}
    not_null = {"not": {"type": "null"}}
    two_sources = {
        "required": ["images", "parameters"],
        "properties": {"images": not_null, "parameters": sprites},
    }
    request["not"] = {"anyOf": [two_sources, *(_both(*pair) for pair in REQUEST_SPELLINGS.items())]}
    parameters = components["Parameters"]
    parameters["not"] = {"anyOf": [_both(*pair) for pair in PARAMETER_SPELLINGS.items()]}
    parameters["if"] = sprites
    parameters["then"] = {
        "properties": {"sprite_vtt_url": {"type": "string", "minLength": 1}}, "required": ["sprite_vtt_url"]
    }  # fmt: skip


def _or_text(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a value that may also be the text of a number, or of true and false."""
    if "anyOf" in schema:
        return schema | {"anyOf": [one for option in schema["anyOf"] for one in _options(option)]}
    if "items" in schema:
        return schema | {"items": _or_text(schema["items"])}
    inner = {key: value for key, value in schema.items() if key not in ("default", "description")}
    options = _options(inner)
    outer = {key: value for key, value in schema.items() if key not in inner}
    return schema if len(options) == 1 else {"anyOf": options} | outer


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    text = TEXTS.get(schema.get("type", ""))
    return [_or_text(schema) if "items" in schema else schema, *([text] if text else [])]


def _both(one: str, other: str) -> dict[str, Any]:
    """Matches requests with both spellings of a parameter. A schema cannot express that equal values are allowed."""
    not_null = {"not": {"type": "null"}}
    return {"required": [one, other], "properties": {one: not_null, other: not_null}}
