"""What is said when a source cannot be used."""


class SourceError(Exception):
    """The source cannot be used, now or later; its text is a sentence that a stranger understands."""
