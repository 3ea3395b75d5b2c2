"""`--set NAME=VALUE`: every parameter of a request can be given, and all mistakes are named at once."""

import msgspec
import pytest

from compose.parameters import LISTS, WrongParameters, parse
from schemas.requests import Enhancement, Parameters, Scene

SCENE = '{"start_timestamp": 0, "end_timestamp": 2}'
VALUES = {
    "min_confidence": "0.5", "min_quality": "0.1", "max_faces": "3", "sampling_interval": "1",
    "sampling": "keyframes", "enable_deduplication": "false", "include_unidentifiable": "true",
    "embedding_similarity_threshold": "0.5", "detect_demographics": "false", "scene_boundaries": f"[{SCENE}]",
    "use_sprites": "true", "sprite_vtt_url": "/a.vtt", "sprite_image_url": "/a.jpg", "cache_duration": "0",
    "enhancement": '{"enabled": true}', "match_collections": "family, friends",
    "library": "travels", "divisions": '{"revision": "1-0"}',
}  # fmt: skip


def test_every_parameter_can_be_given() -> None:
    assert VALUES.keys() == set(Parameters.__struct_fields__)
    parameters = parse([f"{name}={value}" for name, value in VALUES.items()]).parameters
    unchanged = {name for name in VALUES if getattr(parameters, name) == getattr(Parameters(), name)}
    assert not unchanged
    assert parameters.match_collections == ["family", "friends"]
    assert {
        field.name
        for field in msgspec.structs.fields(Parameters)
        if "list" in str(field.type)
    } == LISTS  # fmt: skip


def test_nested_names_vision_apis_spellings_and_repeated_lists() -> None:
    texts = ["enhancement.model=gfpgan", "enhancement.fidelity_weight=1", "face_min_quality=0.2"]
    texts += ["match_collections=a", 'match_collections=["b"]', f"scene_boundaries={SCENE}"]
    parameters = parse(texts).parameters
    assert parameters.enhancement == Enhancement(model="gfpgan", fidelity_weight=1.0)
    assert parameters.min_quality == 0.2 and parameters.match_collections == ["a", "b"]
    assert parameters.scene_boundaries == [Scene(start_timestamp=0, end_timestamp=2)]


def test_all_mistakes_are_named_with_the_nearest_name() -> None:
    texts = [
        "min_confidenc=1",
        "enabled=true",
        "max_faces=0",
        "quality",
        "sampling=fast",
        "max_faces=1",
        "=3",
    ]
    texts += ["match_collections=a b", "min_quality=much"]
    with pytest.raises(WrongParameters) as refused:
        parse(texts)
    mistakes = refused.value.mistakes
    for beginning in (
        "min_confidenc: Unknown name; did you mean min_confidence?",
        "enabled: Unknown name; did you mean enhancement.enabled?",
        "max_faces: Expected `int` >= 1",
        "'quality' is not NAME=VALUE",
        "sampling: Invalid enum value 'fast'; expected adaptive or interval or keyframes",
        "max_faces: given twice",
        "'=3' is not NAME=VALUE",
        "match_collections[0]: ",
        "min_quality: Expected `float",
    ):
        assert any(mistake.startswith(beginning) for mistake in mistakes), (beginning, mistakes)
    assert len(mistakes) == 9


@pytest.mark.parametrize(
    ("texts", "mistake"),
    [
        (["use_sprites=true"], "use_sprites needs sprite_vtt_url"),
        (["enhancement={}", "enhancement.enabled=true"], "enhancement: given as a whole and in parts"),
        (["enhancement=true"], "enhancement: Expected `object`, got `bool`"),
        (["scene_boundaries=[{}]"], "scene_boundaries[0]: Object missing required field `start_timestamp`"),
    ],
)
def test_values_that_do_not_go_together_are_named(texts: list[str], mistake: str) -> None:
    with pytest.raises(WrongParameters) as refused:
        parse(texts)
    assert refused.value.mistakes == [mistake]
