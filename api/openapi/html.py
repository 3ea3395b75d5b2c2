"""The documentation page: both documents as one HTML page, with a request to each endpoint."""

from html import escape
from typing import Any

from api.openapi.examples import curl
from api.openapi.rest import COMMON_PROBLEMS
from api.pages.page import AppPage

ORIGIN = "<span class=origin>http://127.0.0.1:5003</span>"
"""Where the API is; the page's script puts the address of the browser there."""
URL = "ORIGIN"
"""Stands for it while texts are escaped."""
START = f"""curl {URL}/faces/analyze -H 'Content-Type: application/json' \\
     -d '{{"video_path": "/media/film.mp4"}}'
curl -N {URL}/faces/jobs/JOB_ID/events
curl '{URL}/faces/jobs/JOB_ID/results?embeddings=none'"""
LIMITS = (
    ("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"), ("exclusiveMaximum", "below"),
    ("minLength", "length at least"), ("maxLength", "length at most"), ("minItems", "items at least"),
    ("maxItems", "items at most"), ("pattern", "pattern"), ("format", "format"),
)  # fmt: skip


def page(rest: dict[str, Any], streams: dict[str, Any], prefix: str) -> AppPage:
    """Renders the page.

    Args:
        rest, streams: the OpenAPI and the AsyncAPI document.
        prefix: first part of the streams' names.
    """
    operations = [
        _operation(path, method, operation)
        for path, item in rest["paths"].items()
        for method, operation in item.items()
    ]
    schemas = rest["components"]["schemas"] | streams["components"]["schemas"]
    parts = (
        f"<h1>{escape(rest['info']['title'])} <small>{escape(rest['info']['version'])}</small></h1>",
        f"<p>{escape(rest['info']['description'])} Submit a video, follow the job, read its people:</p>",
        _command(START),
        "<p>For machines: <a href='openapi.json'>openapi.json</a>, <a href='asyncapi.json'>asyncapi.json</a>.</p>",
        "<h2>Operations</h2>",
        "<p>Each has a request: replace the words in capitals, and where keys are required add "
        f"<code>-H 'Authorization: Bearer KEY'</code>. {_problems()}</p>",
        *operations,
        "<h2>Streams</h2><p>One entry is one message. To publish a job, the bare request is enough, in the field "
        "<code>json</code>:</p>",
        _command(_publish(prefix)),
        *(_channel(channel) for channel in streams["channels"].values()),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
    )
    return AppPage("docs", "Documents · Faces", content="".join(parts))


def _command(text: str) -> str:
    return f"<pre tabindex=0>{escape(text).replace(URL, ORIGIN)}</pre>"


def _publish(prefix: str) -> str:
    return f"""redis-cli XADD {prefix}:requests '*' json '{{"video_path": "/media/film.mp4"}}'"""


def _problems() -> str:
    codes = ", ".join(map(str, COMMON_PROBLEMS))
    return (
        f"Every operation may answer {codes}. Every error is a {_link('Problem')} (RFC 9457) with the field at "
        "fault and what is allowed there. <code>X-Request-ID</code> is in every response, and in the log."
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code><td>{p['in']}<td>{_type(p['schema'])}<td>"
        f"{escape(p.get('description', ''))}"
        for p in operation.get("parameters", ())
    )
    body = "".join(
        f"<p>Body: {_type(content.get('schema', {}))} <small>{escape(kind)}</small></p>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    responses = "".join(
        f"<tr><td>{status}<td>{_content(response)}<td>{escape(response['description'])}"
        for status, response in operation["responses"].items()
        if int(status) not in COMMON_PROBLEMS
    )
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary>"
        + (f"<p>{escape(operation['description'])}</p>" if "description" in operation else "")
        + _command(curl(URL, path, method, operation))
        + (f"<table>{rows}</table>" if rows else "")
        + body
        + f"<table><tr><th>Status<th>Body<th>Meaning{responses}</table></details>"
    )


def _content(response: dict[str, Any]) -> str:
    return ", ".join(
        _type(content["schema"]) if "schema" in content else f"<code>{escape(kind)}</code>"
        for kind, content in response.get("content", {}).items()
    )


def _channel(channel: dict[str, Any]) -> str:
    messages = ", ".join(f"<code>{escape(message)}</code>" for message in channel["messages"])
    address = channel["address"] or "the callback_url of the request"
    return (
        f"<details><summary><code>{escape(address)}</code></summary>"
        f"<p>{escape(channel['description'])}</p><p>Messages: {messages}</p></details>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{' *' if field in required else ''}<td>{_type(value)}<td>"
        f"{escape(value.get('description', ''))}"
        for field, value in schema.get("properties", {}).items()
    )
    return (
        f"<details><summary>{escape(name)}</summary>"  # a link to what is within opens it
        f"<p id='{escape(name)}'>{escape(schema.get('description', ''))}</p><table>{rows}</table></details>"
    )


def _type(schema: dict[str, Any]) -> str:
    """Describes a schema in words."""
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        text = " or ".join(_type(option) for option in schema["anyOf"])
    elif "enum" in schema:
        text = " | ".join(f"<code>{escape(str(choice))}</code>" for choice in schema["enum"])
    elif schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        text = f"list of {_type(schema['items'])}"
    else:
        text = escape(str(schema.get("type", schema.get("const", "anything"))))
    limits = [f"{word} <code>{escape(str(schema[key]))}</code>" for key, word in LIMITS if key in schema]
    default = schema.get("default")
    if default is not None and not isinstance(default, dict):
        limits.append(f"default <code>{escape(str(default))}</code>")
    return text + (f" <small>({', '.join(limits)})</small>" if limits else "")


def _link(name: str) -> str:
    return f"<a href='#{escape(name)}'>{escape(name)}</a>"
