"""One request to an endpoint as a curl command that runs once the words in capitals are replaced."""

import json
import re
import shlex
from typing import Any

BODIES: dict[str, Any] = {
    "AnalyzeRequest": {"video_path": "/media/film.mp4"},
    "CorrectionRequest": {"change": {"type": "name", "person_id": "PERSON_ID", "label": "Ann"}},
    "EnrolRequest": {"job_id": "JOB_ID", "face_id": "face_0", "label": "Ann"},
    "RegroupRequest": {},
    "RenameRequest": {"label": "Ann"},
    "SearchRequest": {"job_id": "JOB_ID", "face_id": "face_0"},
}
"""Body of a request, by the name of its struct."""
VALUES = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": "1048576",
    "Upload-Offset": "0",
    "Upload-Metadata": "filename ZmlsbS5tcDQ=",
    "jobs": "JOB_ID",
}
"""Value of a required parameter, by name."""
OUTPUT = {
    "text/event-stream": ["-N"],
    "text/html": ["-o", "page.html"],
    "image/jpeg": ["-o", "face.jpg"],
    "image/*": ["-o", "film"],
}
"""Options for a response, by the beginning of its type."""
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


def curl(url: str, path: str, method: str, operation: dict[str, Any]) -> str:
    """Returns the command.

    Args:
        url: of the API.
        operation: of the OpenAPI document.
    """
    required = [one for one in operation["parameters"] if one.get("required")]
    query = "&".join(f"{one['name']}={VALUES[one['name']]}" for one in required if one["in"] == "query")
    address = url + _PATH_PARAMETER.sub(lambda found: found[1].upper(), path) + (f"?{query}" if query else "")
    words = ["curl", *_options(method, operation), address if "?" not in address else shlex.quote(address)]
    for one in required:
        if one["in"] == "header":
            words += ["-H", shlex.quote(f"{one['name']}: {VALUES[one['name']]}")]
    bodies: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    kind = next(iter(bodies), "")
    if kind == "application/json":
        body = BODIES.get(bodies[kind]["schema"].get("$ref", "").rpartition("/")[2], {})
        words += ["-H", shlex.quote(f"Content-Type: {kind}"), "-d", shlex.quote(json.dumps(body))]
    elif kind:
        words += ["-H", shlex.quote(f"Content-Type: {kind}"), "--data-binary", "@film.mp4"]
    return " ".join(words)


def _options(method: str, operation: dict[str, Any]) -> list[str]:
    implied = method == "get" or (method == "post" and "requestBody" in operation)
    kind = next(iter(operation["responses"].get("200", {}).get("content", {})), "")
    options = [] if implied else ["-X", method.upper()]
    return options + next((some for beginning, some in OUTPUT.items() if kind.startswith(beginning)), [])
