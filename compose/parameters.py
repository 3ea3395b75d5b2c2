"""Parameters of a request from ``--set NAME=VALUE``."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from schemas.requests import (
    PARAMETER_SPELLINGS,
    AnalyzeRequest,
    Enhancement,
    Parameters,
    RequestError,
    to_request,
)
from schemas.schema_errors import unknown_name

NAMES = (
    *Parameters.__struct_fields__,
    *(f"enhancement.{name}" for name in Enhancement.__struct_fields__),
    *PARAMETER_SPELLINGS,
)
LISTS = frozenset(("match_collections", "scene_boundaries"))
"""Parameters that hold a list; a test holds them against the struct."""


class WrongParameters(ValueError):
    """Assignments cannot be used.

    Attributes:
        mistakes: a sentence for each.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def parse(assignments: Sequence[str], defaults: Mapping[str, Any] = {}) -> AnalyzeRequest:
    """Returns a request with these parameters and a placeholder for its source.

    Values are JSON where they can be decoded, else text. Lists are JSON, or texts separated by commas; a list that is
    given several times is joined.

    Raises:
        WrongParameters: names all mistakes.
    """
    given: dict[str, Any] = {}
    mistakes: list[str] = []
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name:
            mistakes.append(f"{text!r} is not NAME=VALUE")
        elif name not in NAMES:
            mistakes.append(f"{name}: {unknown_name(name, NAMES)}")
        elif name in LISTS:
            given[name] = [*given.get(name, []), *_items(value)]
        elif name in given:
            mistakes.append(f"{name}: given twice")
        else:
            given[name] = _value(value)
    if "enhancement" in given and any(name.startswith("enhancement.") for name in given):
        mistakes.append("enhancement: given as a whole and in parts")
    else:
        mistakes += _invalid(given)
    if mistakes:
        raise WrongParameters(mistakes)
    try:
        return _request({**defaults, **given})
    except RequestError as error:  # values that do not go together
        raise WrongParameters([error.problem]) from error


def _invalid(given: dict[str, Any]) -> list[str]:
    """Returns a sentence for each value that is wrong by itself."""
    mistakes = []
    for name, value in given.items():
        try:
            _request({name: value})
        except RequestError as error:
            field = error.field.removeprefix("parameters").removeprefix(".")
            if field:
                mistakes.append(f"{field}: {error.problem}")
    return mistakes


def _request(given: dict[str, Any]) -> AnalyzeRequest:
    parameters: dict[str, Any] = {}
    for path, value in given.items():
        parent, _, name = path.rpartition(".")
        (parameters.setdefault(parent, {}) if parent else parameters)[name] = value
    return to_request({"video_path": "?", "parameters": parameters})


def _items(text: str) -> list[Any]:
    value = _value(text)
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, dict) else [part.strip() for part in text.split(",")]


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
