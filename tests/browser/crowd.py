"""A library of many people without any analysis: random faces, some of whom may be one person."""

from pathlib import Path

import cv2
import numpy as np

from consumers.libraries.writer import LibraryWriter
from consumers.service import Service
from facecore.vectors import to_bytes, unit
from schemas.library import FilmEntry, LibraryFace
from schemas.names import Partitions
from schemas.results import Appearance
from schemas.settings import Settings
from schemas.store.additions import Addition
from schemas.store.connection import connect
from schemas.store.jobs import Jobs

DOUBTFUL = 0.575, 0.605
"""Least and greatest cosine of two faces of whom the library asks whether they are one person."""


async def fill(redis_url: str, name: str, people: int, doubtful: int, photograph: Path) -> None:
    """Adds two films: one with all the people, one with somebody who may be one of them, for some of them."""
    partitions, settings = Partitions("faces"), Settings.from_env({})
    image = cv2.imread(str(photograph))
    async with connect(redis_url) as redis:
        jobs = Jobs(redis, partitions, settings)
        writer = LibraryWriter(Service(redis, partitions.home, settings, jobs, partitions))
        everyone = [_random(number) for number in range(people)]
        cosines = np.linspace(*DOUBTFUL, doubtful)
        alike = [
            _alike(everyone[number], float(cosines[number]), people + number) for number in range(doubtful)
        ]
        for number, vectors in enumerate((everyone, alike)):
            await writer.add(_film(name, number, vectors, image))


async def merge(redis_url: str, name: str) -> None:
    """Adds films that show, one after the other, that two people are one: the library merges them itself."""
    partitions, settings = Partitions("faces"), Settings.from_env({})
    face = _random(0)
    async with connect(redis_url) as redis:
        jobs = Jobs(redis, partitions, settings)
        writer = LibraryWriter(Service(redis, partitions.home, settings, jobs, partitions))
        for number, cosine in enumerate((0.58, 0.58, *(0.9 for _ in range(8)))):
            vectors = [_alike(face, cosine, 1 + number)]
            await writer.add(_film(name, number, vectors, np.zeros((320, 320, 3), np.uint8)))


def _random(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=512).astype(np.float32))


def _alike(face: np.ndarray, cosine: float, seed: int) -> np.ndarray:
    """Returns a face at this cosine to another one."""
    other = _random(seed)
    return cosine * face + (1 - cosine**2) ** 0.5 * unit(other - (other @ face) * face)


def _film(name: str, number: int, vectors: list[np.ndarray], image: np.ndarray) -> Addition:
    job = f"{name}-{number}"
    entry = FilmEntry(
        film_id=f"film-{number:024x}",
        job_id=job,
        source=f"/films/{name} {number}.mp4",
        at=1.0 + number,
        pack="open",
        duration=3600.0,
        faces=tuple(
            LibraryFace(
                face_id=f"{job}/face_{place}",
                prototype=to_bytes(vector),
                sureness=20.0,
                detections=1 + place % 9,
                quality=0.5,
                appearances=(Appearance(float(place), place + 5.0), Appearance(place + 900.0, place + 901.0)),
            )
            for place, vector in enumerate(vectors)
        ),
    )
    pictures = {f"face_{place}": _picture(image, place) for place in range(len(vectors))}
    return Addition(name, entry, pictures)


def _picture(image: np.ndarray, place: int) -> bytes:
    """A part of the photograph, another one for each place."""
    height, width = image.shape[:2]
    left, top = place * 37 % (width - 160), place * 53 % (height - 160)
    return bytes(cv2.imencode(".jpg", image[top : top + 160, left : left + 160])[1])
