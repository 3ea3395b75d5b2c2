"""The prototypes of a library's faces, by model pack."""


class Vectors:
    """Unit vectors of faces."""

    def put(self, face: int, pack: str, prototype: bytes) -> None:
        """Keeps the vector of a face, in place of an earlier one."""

    def drop(self, face: int) -> None:
        """Forgets the vector of a face."""

    def touch(self, person: str) -> None:
        """Notes that the faces of a person have changed."""
