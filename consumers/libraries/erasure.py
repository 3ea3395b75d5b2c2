"""Erases people and films of a library from the jobs that found them."""

from collections.abc import Set
from typing import cast

import msgspec

from consumers.runtime.stage import NotReady
from consumers.service import Service
from schemas.results import Face, ResultBody
from schemas.store.results import ResultChanged, read_head, read_parts

RETRY_SECONDS = 2.0
"""Pause before a result that was replaced while it was read is read again."""


async def forget_faces(service: Service, job_id: str, faces: Set[str]) -> None:
    """Removes people from the result of a job, and all that would be needed to build it again.

    Raises:
        NotReady: the result was replaced in the meantime.
    """
    keys = service.partitions.of(job_id).job(job_id)
    await service.jobs.forget_observations(job_id)
    await service.redis.unlink(service.partitions.of(job_id).film(job_id))
    for key in (keys.faces, keys.portraits, keys.preview, keys.frames):
        await service.redis.unlink(key)
    head = await read_head(service.redis, keys.result)
    if head is None:
        return
    try:
        body = b"".join([part async for part in read_parts(service.redis, keys.result, head)])
    except ResultChanged as error:
        raise NotReady(RETRY_SECONDS, f"the result of {job_id} is being replaced") from error
    result = msgspec.json.decode(body, type=ResultBody)
    left = [_without(face, faces) for face in result.faces if face.face_id not in faces]
    metadata = msgspec.structs.replace(
        result.metadata,
        unique_faces=len(left),
        total_detections=sum(len(face.detections) for face in left),
    )
    await service.jobs.rewrite(job_id, msgspec.structs.replace(result, faces=left, metadata=metadata))
    await service.redis.hdel(
        keys.result, *(f"{kind}:{face}" for face in sorted(faces) for kind in ("thumbnail", "strip"))
    )


async def forget_job(service: Service, job_id: str) -> None:
    """Deletes a job, with those that it has answered."""
    names = service.partitions.of(job_id)
    fields = cast("list[bytes]", await service.redis.hkeys(names.job(job_id).metadata))
    others = [
        field.decode().partition(":")[2] for field in fields if field.startswith((b"follower:", b"answered:"))
    ]
    for other in (*others, job_id):
        await service.jobs.forget_observations(other)  # they may outlive the job
        await service.jobs.delete(other)
    await service.redis.unlink(names.film(job_id))


def _without(face: Face, erased: Set[str]) -> Face:
    if face.nearest is None or face.nearest.face_id not in erased:
        return face
    return msgspec.structs.replace(face, nearest=None)
