"""What both documents say of structs: their schemas, with what is accepted beside them."""

import inspect
import re
from typing import Any

import msgspec

from schemas.requests import PARAMETER_SPELLINGS, REQUEST_SPELLINGS
from schemas.webhooks import ID, SIGNATURE, TIMESTAMP

VERSION = "1.0.0"
_ATTRIBUTE = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.+(?:\n[ \t]+.+)*)", re.MULTILINE)
"""Names, and what is said of them, on one line or several that are indented."""
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
"""Headers of a webhook's delivery."""


def components_of(types: list[Any]) -> dict[str, Any]:
    """The schemas of structs and of all they hold, by name."""
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
    """What schemas.requests accepts beside the specification's names."""
    for struct, spellings in (("AnalyzeRequest", REQUEST_SPELLINGS), ("Parameters", PARAMETER_SPELLINGS)):
        schema = components[struct]
        for other, name in spellings.items():
            schema["properties"][other] = schema["properties"][name] | {
                "description": f"Another spelling of {name}."
            }
    for struct in ("AnalyzeRequest", "Parameters", "Enhancement"):  # a null counts as not given
        properties = components[struct]["properties"]
        for name, schema in properties.items():
            options = schema.get("anyOf", [])
            if {"type": "null"} not in options:
                told = {key: schema[key] for key in ("default", "description") if key in schema}
                rest = {key: value for key, value in schema.items() if key not in told}
                properties[name] = {"anyOf": [rest, {"type": "null"}]} | told
    request = components["AnalyzeRequest"]
    request["anyOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("video_path", "source", "images")
    ]
    request["required"] = []
    sprites = {"properties": {"use_sprites": {"const": True}}, "required": ["use_sprites"]}
    given = {"not": {"type": "null"}}
    two_sources = {
        "required": ["images", "parameters"],
        "properties": {"images": given, "parameters": sprites},
    }
    request["not"] = {"anyOf": [two_sources, *(_both(*pair) for pair in REQUEST_SPELLINGS.items())]}
    parameters = components["Parameters"]
    parameters["not"] = {"anyOf": [_both(*pair) for pair in PARAMETER_SPELLINGS.items()]}
    parameters["if"] = sprites
    parameters["then"] = {
        "properties": {"sprite_vtt_url": {"type": "string", "minLength": 1}}, "required": ["sprite_vtt_url"]
    }  # fmt: skip


def _both(one: str, other: str) -> dict[str, Any]:
    """Both spellings of a parameter are given; that they may then be equal is more than a schema can say."""
    given = {"not": {"type": "null"}}
    return {"required": [one, other], "properties": {one: given, other: given}}
