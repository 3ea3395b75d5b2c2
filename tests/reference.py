"""Writes the reference: parameters, endpoints, commands and metrics, derived from the code.

    python -m tests.reference > compose/docs/reference.md

A test compares the file with the output.
"""

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from api import metrics
from api.app import create_app
from api.endpoints import ENDPOINTS
from compose.cli import build_parser
from consumers.runtime.metrics import Metrics
from schemas.divisions import Division, Divisions, Spot
from schemas.requests import AnalyzeRequest, Enhancement, Parameters, Scene
from schemas.settings import Settings
from schemas.store.job_metrics import JobMetrics

HEAD = """# Reference

Derived from the code by `python -m tests.reference > compose/docs/reference.md`; a test compares both. The settings
are in [compose/README.md](../README.md#settings). A running service describes its interface with all responses at
`/faces/docs`.
"""
COMMON = ("help", "verbose", "as_json", "data")
COMMANDS = (
    "`--help` explains the arguments of a command, `--verbose` adds the traceback to an error, `--json` prints JSON"
    " (not of `up`, `migrate` and `completion`), `--data DIR` names the data directory (of commands that use one)."
)
REQUESTS = {
    "Request": (AnalyzeRequest, "The body of `POST /faces/analyze`, and of a message of `faces:requests`."),
    "Parameters": (Parameters, "`parameters` of a request, and `faces analyze --set NAME=VALUE`."),
    "Enhancement": (Enhancement, "`enhancement` of the parameters; `--set enhancement.NAME=VALUE`."),
    "Scene": (Scene, "One of `scene_boundaries`."),
    "Divisions": (Divisions, "`divisions` of the parameters."),
    "Division": (Division, "One of the `divisions`."),
    "Spot": (Spot, "One of the `spots` of a division."),
}


def main() -> int:
    sys.stdout.write(page())
    return 0


def page() -> str:
    lines = [HEAD]
    for title, (struct, text) in REQUESTS.items():
        lines += [
            f"## {title}",
            "",
            text,
            "",
            *table(("Field", "Type", "Default", "Meaning"), fields(struct)),
            "",
        ]
    lines += ["## Endpoints", "", "Scope: what a key must allow, where keys are needed."]
    lines += ["", *table(("Endpoint", "Scope", "What it does"), endpoints()), ""]
    lines += ["## Commands", "", COMMANDS]
    lines += ["", *table(("Command", "What it does"), commands(build_parser(), "faces")), ""]
    lines += ["## Metrics", "", "Of the API, at `/metrics`:", "", *metric_table(metrics.registry), ""]
    workers = Metrics()
    JobMetrics(workers.registry)
    return "\n".join(
        [*lines, "Of a worker, on `FACES_METRICS_PORT`:", "", *metric_table(workers.registry), ""]
    )


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    shown = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *shown]


def fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, ...]]:
    """Name, type, default and docstring of each field."""
    (_,), components = msgspec.json.schema_components([struct])
    texts = docstrings(struct)
    for field in msgspec.structs.fields(struct):
        schema = components[struct.__name__]["properties"][field.encode_name]
        default = schema.get("default")
        if field.required:
            shown = "required"
        elif isinstance(default, dict | list) or default is None or default == "":
            shown = "none"
        else:
            shown = f"`{msgspec.json.encode(default).decode()}`"
        yield f"`{field.encode_name}`", kind(schema), shown, texts.get(field.name, "").replace("``", "`")


def kind(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = "" if low is None or high is None else f" {whole(low)} to {whole(high)}"
    names = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    return names.get(schema.get("type", ""), schema.get("type", "anything")) + bounds


def whole(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The texts below the fields of a struct, and those under `Attributes:` of its docstring."""
    tree = ast.parse(Path(inspect.getfile(struct)).read_text())
    (body,) = (one.body for one in tree.body if isinstance(one, ast.ClassDef) and one.name == struct.__name__)
    texts, name = dict[str, str](), ""
    for line in (struct.__doc__ or "").partition("Attributes:")[2].splitlines():
        before, colon, text = line.strip().partition(": ")
        name = before if colon and before.isidentifier() else name
        texts[name] = f"{texts.get(name, '')} {text if name == before else line.strip()}".strip()
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def endpoints() -> Iterator[tuple[str, ...]]:
    scopes = {"public": "none", "page": "none"}
    for (method, path), endpoint in sorted(
        create_app(Settings())[ENDPOINTS].items(), key=lambda one: one[0][::-1]
    ):
        if endpoint.summary:
            yield f"`{method} {path}`", scopes.get(endpoint.access, endpoint.access), endpoint.summary


def commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, ...]]:
    """Each command and action with its arguments."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            for word, below in action.choices.items():
                deeper = list(commands(below, f"{name} {word}"))
                yield from deeper or [(f"`{name} {word}{arguments(below)}`", helps[word])]


def arguments(parser: argparse.ArgumentParser) -> str:
    words = ""
    for action in parser._actions:
        value = action.metavar or action.dest.upper()
        if isinstance(action.choices, list | tuple):
            value = "|".join(map(str, action.choices))
        if not action.option_strings:
            words += {"+": f" {value} …", "*": f" [{value} …]", "?": f" [{value}]"}.get(
                str(action.nargs), f" {value}"
            )
        elif action.dest not in COMMON:
            words += f" [{action.option_strings[-1]}{'' if action.nargs == 0 else f' {value}'}]"
    return words


def metric_table(registry: CollectorRegistry) -> list[str]:
    def rows() -> Iterator[tuple[str, ...]]:
        for collector in sorted(registry._collector_to_names, key=lambda one: one._name):  # type: ignore[attr-defined]
            (family,) = collector.describe()
            suffix = {"counter": "_total", "histogram": "_bucket, _sum, _count"}.get(family.type, "")
            labels = ", ".join(f"`{label}`" for label in collector._labelnames)  # type: ignore[attr-defined]
            yield (
                f"`{family.name}{'' if ',' in suffix else suffix}`",
                family.type,
                labels,
                family.documentation,
            )

    return table(("Metric", "Type", "Labels", "Meaning"), rows())


if __name__ == "__main__":
    sys.exit(main())
