"""Writes the documents as they are now: ``python -m tests.api.documents``; the commit shows what changed."""

import json
from pathlib import Path

from api.app import create_app
from api.endpoints import ENDPOINTS
from api.openapi.asyncapi import asyncapi
from api.openapi.rest import openapi
from schemas.settings import Settings


def main() -> None:
    endpoints = create_app(Settings.from_env({}))[ENDPOINTS].values()
    for name, document in (("openapi", openapi(endpoints)), ("asyncapi", asyncapi())):
        text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
        Path(__file__).with_name(f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
