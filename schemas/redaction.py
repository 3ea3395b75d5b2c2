"""Removes secrets from texts that people read: logs, errors, dead letters, the output of ``faces up``."""

import re

_RULES = (
    (re.compile(r"""(://)[^\s"'<>]{0,512}@"""), r"\1***@"),  # user name and password of a URL
    (re.compile(r"""(://[^\s"'<>?]{0,2048}\?)[^\s"'<>]+"""), r"\1***"),  # its query: tokens, signatures
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), "whsec_***"),  # secrets of webhooks
    (re.compile(r"\b(faces_[A-Za-z0-9_.-]{1,64}\.)[A-Za-z0-9_-]{16,}"), r"\1***"),  # API keys
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),  # Authorization headers
)
MAX_TEXT_LENGTH = 16_384
"""Longest text that is returned; tracebacks of a few dozen frames fit."""


def redact(text: str) -> str:
    """A text without the credentials and queries of URLs, API keys and secrets of webhooks; cut when it is long."""
    if len(text) > MAX_TEXT_LENGTH:
        text = f"{text[: MAX_TEXT_LENGTH // 2]} … {text[-MAX_TEXT_LENGTH // 2 :]}"
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
