"""Which parameters change what is observed of a source; names of pictures and samplings."""

from typing import Any

import msgspec

from consumers.reuse import AT_LEAST, LAST_STAGE, picture_name, sampling_key, usable
from schemas.divisions import Divisions
from schemas.orientation import Display
from schemas.requests import AnalyzeRequest, Enhancement, Parameters, Scene
from schemas.settings import Settings
from tests.facecore.faces import frame

SAMPLING: dict[str, Any] = {
    "sampling_interval": 1.0,
    "sampling": "keyframes",
    "scene_boundaries": [Scene(start_timestamp=0, end_timestamp=1)],
    "use_sprites": True,
    "sprite_vtt_url": "/media/b.vtt",
    "sprite_image_url": "/media/b.jpg",
    "enhancement": Enhancement(enabled=True),
}
"""Parameters that change which pictures are analysed, or how, each with another value than the default."""
OF_THE_JOB = {"source_id", "job_id", "lenient", "priority", "callback_url", "tenant"}
"""Fields of a request that say nothing of the source."""
OF_THE_SOURCE = {"video_path", "images"}
"""Fields of a request that say which source it is: its content is the first part of every name."""


def test_every_parameter_is_known_to_change_the_observations_or_the_last_stage_alone() -> None:
    sets = [set(SAMPLING), set(AT_LEAST), set(LAST_STAGE)]
    assert sum(map(len, sets)) == len(set.union(*sets)), "a parameter is in two of them"
    unknown = set(Parameters.__struct_fields__) - set.union(*sets)
    assert not unknown, f"say in consumers/reuse.py, or here, what changes with {unknown}"
    fields = {*AnalyzeRequest.__struct_fields__} - {"parameters"}
    assert fields == OF_THE_JOB | OF_THE_SOURCE, "say here what changes with a new field of a request"


def test_a_sampling_is_found_with_other_parameters_of_the_last_stage_alone() -> None:
    base, settings = Parameters(sprite_vtt_url="/media/a.vtt"), Settings()
    others: dict[str, Any] = {
        "min_quality": 0.5, "max_faces": 3, "enable_deduplication": False, "include_unidentifiable": True,
        "embedding_similarity_threshold": 0.4, "cache_duration": 5, "match_collections": ["cast"], "library": "home",
        "divisions": Divisions(revision="1-0"),
        "min_confidence": 0.5, "detect_demographics": False,
    }  # fmt: skip
    assert others.keys() == LAST_STAGE | AT_LEAST
    key = sampling_key(base, settings, "1.5", served=False)
    same = [msgspec.structs.replace(base, **{name: value}) for name, value in others.items()]
    assert {sampling_key(one, settings, "1.5", served=False) for one in same} == {key}
    different = [msgspec.structs.replace(base, **{name: value}) for name, value in SAMPLING.items()]
    keys = [sampling_key(one, settings, "1.5", served=False) for one in different]
    keys += [
        sampling_key(base, settings, "1.6", served=False),
        sampling_key(base, settings, "1.5", served=True),
    ]
    changed = {"frame_format": "png", "frame_quality": 80, "max_pixels": 99, "segment_seconds": 9.0}
    keys += [
        sampling_key(base, msgspec.structs.replace(settings, **{name: value}), "1.5", served=False)
        for name, value in changed.items()
    ]
    assert len({key, *keys}) == 1 + len(keys)


def test_a_picture_is_named_by_all_that_the_models_are_given() -> None:
    display = Display(width=4, height=2, turnings=(), aspect=2.0)
    names = [
        picture_name("observer", 10, None, b"picture"),
        picture_name("another", 10, None, b"picture"),
        picture_name("observer", 11, None, b"picture"),
        picture_name("observer", 10, display, b"picture"),
        picture_name("observer", 10, None, b"picturf"),
    ]
    assert len(set(names)) == len(names)


def test_observations_serve_requests_that_are_no_less_strict() -> None:
    seen = frame(0, [])
    seen = msgspec.structs.replace(
        seen, provenance=msgspec.structs.replace(seen.provenance, min_confidence=0.5)
    )
    stored = msgspec.msgpack.encode(seen)
    assert usable(stored, 0.5) == seen
    assert usable(stored, 0.7) is not None
    assert usable(stored, 0.4) is None, "fainter faces were not described"
    assert usable(None, 0.5) is None
