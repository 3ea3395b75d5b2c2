"""Uploaded films on disk: parts that grow, complete files, and their removal. Everything here blocks.

Each upload has a directory, named by its id. It holds ``info.json``; ``part`` until all bytes have arrived, then the
file under its own name; and ``jobs``, the ids of the jobs that are about it. An upload exists as long as one of its
jobs; without any it is removed after `IDLE_SECONDS`.
"""

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

import msgspec

from schemas.file_names import printable
from schemas.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES

UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{22}")
IDLE_SECONDS = 24 * 3600.0
"""Time after its last byte for which an upload without a job is kept."""
MAX_UPLOADS = 10_000
"""Uploads that exist at the same time."""
MAX_UNFINISHED = 32
"""Uploads of which bytes are missing."""
RESERVED_BYTES = 1 << 30
"""Bytes of the disk that stay free."""
MAX_NAME_BYTES = 200
MAX_JOBS = 1000
"""Jobs of one upload that are remembered."""
_PART, _INFO, _JOBS = "part", "info.json", "jobs"


class UploadRefused(Exception):
    """The upload cannot be accepted; the text says why."""


class StorageFull(UploadRefused):
    """There is no room for the upload."""


class Busy(Exception):
    """Another request writes to this upload."""


class _Info(msgspec.Struct, frozen=True):
    name: str
    length: int


class StoredUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload as it is on disk.

    Attributes:
        path: of the complete file; None: bytes are missing.
        offset: bytes that have arrived.
        expires: Unix seconds at which it is removed, without a job and without further bytes.
    """

    upload_id: str
    name: str
    length: int
    offset: int
    path: Path | None
    expires: float


def checked_name(name: str) -> str:
    """The name of a film or picture, if a file may have it.

    Raises:
        UploadRefused: it may not.
    """
    if not name or "/" in name or name != printable(name) or name.startswith("."):
        raise UploadRefused("Expected the name of a file without a directory and without control characters.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UploadRefused(f"The name is longer than {MAX_NAME_BYTES} bytes.")
    if PurePath(name).suffix.lower() not in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
        raise UploadRefused(f"{name} has not the ending of a film or picture that can be analysed.")
    return name


class UploadStore:
    """The uploads of a directory; several processes may share it.

    Args:
        directory: is made when the first upload begins.
        max_bytes: of one upload.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    def create(self, name: str, length: int) -> StoredUpload:
        """Begins an upload.

        Raises:
            UploadRefused: of its name or size.
            StorageFull: too many exist, or the disk has no room for it.
        """
        checked_name(name)
        if not 0 < length <= self._max_bytes:
            raise UploadRefused(f"Expected 1 to {self._max_bytes} bytes (FACES_MAX_UPLOAD_BYTES).")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        existing = [self._read(upload_id) for upload_id in self.ids()]
        unfinished = [one for one in existing if one is not None and one.path is None]
        if len(existing) >= MAX_UPLOADS or len(unfinished) >= MAX_UNFINISHED:
            raise StorageFull("Too many uploads exist already; delete jobs, or finish others first.")
        promised = sum(one.length - one.offset for one in unfinished)
        free = shutil.disk_usage(self._directory).free
        if length + promised + RESERVED_BYTES > free:
            raise StorageFull(f"The disk has no room for {length} more bytes.")
        upload_id = secrets.token_urlsafe(16)
        place = self._directory / upload_id
        place.mkdir(mode=0o700)
        (place / _PART).touch(mode=0o600)
        (place / _INFO).write_bytes(msgspec.json.encode(_Info(name, length)))
        return self.find(upload_id)

    def find(self, upload_id: str) -> StoredUpload:
        """An upload; raises KeyError when there is none."""
        found = self._read(upload_id)
        if found is None:
            raise KeyError(upload_id)
        return found

    def ids(self) -> list[str]:
        """The ids of all uploads."""
        with suppress(FileNotFoundError):
            return [name for name in os.listdir(self._directory) if UPLOAD_ID.fullmatch(name)]  # noqa: PTH208
        return []

    @contextmanager
    def writing(self, upload_id: str, offset: int) -> Iterator[int]:
        """Yields the descriptor of a part, for this caller alone; afterwards the upload may be complete.

        Raises:
            KeyError: there is no such upload, or it is complete.
            Busy: another one writes.
            ValueError: it has another number of bytes than `offset`.
        """
        upload, part = self.find(upload_id), self._directory / upload_id / _PART
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise KeyError(upload_id) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy from error
            if os.fstat(descriptor).st_size != offset:
                raise ValueError(upload_id)
            try:
                yield descriptor
            finally:
                os.fdatasync(descriptor)
                if os.fstat(descriptor).st_size == upload.length:
                    part.rename(part.with_name(upload.name))
        finally:
            os.close(descriptor)

    def remove(self, upload_id: str) -> None:
        """Deletes an upload with its file."""
        shutil.rmtree(self._directory / upload_id, ignore_errors=True)

    def upload_of(self, path: str) -> str | None:
        """The id of the upload whose complete file has this path."""
        place = Path(path).parent
        if place.parent != self._directory or not UPLOAD_ID.fullmatch(place.name):
            return None
        found = self._read(place.name)
        return place.name if found is not None and found.path == Path(path) else None

    def note_job(self, path: str, job_id: str) -> None:
        """Notes that a job is about the file at a path, if that is an upload."""
        if (upload_id := self.upload_of(path)) is not None:
            with (self._directory / upload_id / _JOBS).open("a") as file:
                file.write(f"{job_id}\n")

    def jobs(self, upload_id: str) -> list[str]:
        """The jobs that were noted for an upload, the latest `MAX_JOBS`."""
        with suppress(OSError):
            return list(dict.fromkeys((self._directory / upload_id / _JOBS).read_text().split()))[-MAX_JOBS:]
        return []

    def is_stale(self, upload_id: str) -> bool:
        """Whether an upload without jobs has had its time."""
        upload = self._read(upload_id)
        with suppress(OSError):
            place = self._directory / upload_id
            return (upload.expires if upload else place.stat().st_mtime + IDLE_SECONDS) < time.time()
        return False

    def _read(self, upload_id: str) -> StoredUpload | None:
        place = self._directory / upload_id
        try:
            info = msgspec.json.decode((place / _INFO).read_bytes(), type=_Info)
        except (OSError, msgspec.DecodeError):
            return None
        for file in (place / _PART, place / info.name):
            with suppress(OSError):
                status = file.stat(follow_symlinks=False)
                return StoredUpload(
                    upload_id=upload_id,
                    name=info.name,
                    length=info.length,
                    offset=status.st_size,
                    path=None if file.name == _PART else file,
                    expires=status.st_mtime + IDLE_SECONDS,
                )
        return None
