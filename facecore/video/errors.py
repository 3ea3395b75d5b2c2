"""Errors of video sources."""


class SourceError(Exception):
    """The source cannot be used, and retrying does not help. The text is a sentence for the caller of the API."""


class NoPicture(SourceError):
    """The file has no video stream."""
