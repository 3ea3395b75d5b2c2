"""Errors of facecore."""


class DeviceUnavailable(Exception):
    """The requested device or its libraries cannot be used; the text says what to do."""
