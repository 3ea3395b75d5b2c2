"""The source of a job: where it is, and what it held when the job began."""

from pathlib import Path
from typing import NamedTuple, cast

from consumers.sources.album import Album
from consumers.sources.content import Content, Version, begins_with
from consumers.sources.segmentation import MTIME_TOLERANCE_SECONDS, changed, check_unchanged
from facecore.video.byte_range import ByteRange
from schemas.opened_file import OpenedFile


class Source(NamedTuple):
    """A source that was found, with the identity that the result cache uses.

    Attributes:
        name: path or address.
        version: changes with the content: modification time or hash; empty when this host cannot determine it.
        path: the file on this host, opened or downloaded; None when only the Frame Server has it, and for albums and
            sprite maps.
        content: what the file, the album or the pictures of the sprite map are; empty for other sources.
        album: the pictures, where the source is an album.
        changed: time of the last change of the file or of its status (ns), which nothing but its file system sets; 0:
            the version and the content say all.
    """

    name: str
    version: float | str
    path: ByteRange | Path | None
    content: str = ""
    album: Album | None = None
    changed: int = 0

    @property
    def state(self) -> str:
        """Returns what differs whenever the source may have changed: `content` knows some blocks of a large file, and
        its modification time can be set."""
        return f"{self.version} {self.changed}"

    @property
    def fingerprint(self) -> str:
        """Returns what is the same for equal content, wherever it lies; empty when this host cannot determine it."""
        return self.content or (self.version if isinstance(self.version, str) else "")

    def as_recorded(self, version: str, content: str) -> "Source":
        """Returns the source as an earlier attempt found it, perhaps on another host.

        Raises:
            SourceError: it has changed since.
        """
        if content and isinstance(self.path, ByteRange):
            recorded = Content.parse(content)
            if begins_with(self.path, recorded):
                return self._replace(path=ByteRange(self.path.path, 0, recorded.size), content=content)
        elif content:
            if content == self.content:
                return self
        elif isinstance(self.version, float):
            if abs(float(version) - self.version) <= MTIME_TOLERANCE_SECONDS:
                return self
        elif version == self.version:
            return self
        raise changed(self.name)

    def check_unchanged(self) -> list[str]:
        """Returns warnings, or raises SourceError, as `segmentation.check_unchanged`; an album checks its pictures
        when it reads them."""
        if isinstance(self.path, ByteRange) and isinstance(self.version, float):
            opened = cast("OpenedFile", self.path.path)
            return check_unchanged(opened, self.name, Version(self.version, Content.parse(self.content)))
        return []
