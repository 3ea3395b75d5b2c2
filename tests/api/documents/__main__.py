"""Writes the documents as they are now: ``python -m tests.api.documents``; the commit shows what changed."""

import json
from pathlib import Path

from api.openapi.asyncapi import asyncapi
from api.openapi.rest import openapi


def main() -> None:
    for name, document in (("openapi", openapi()), ("asyncapi", asyncapi())):
        text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
        Path(__file__).with_name(f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
