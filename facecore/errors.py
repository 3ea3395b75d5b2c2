"""Why models cannot be used."""


class DeviceUnavailable(Exception):
    """The device, or the library for it, cannot be used as asked; the text says what to do."""
