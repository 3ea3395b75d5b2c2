"""Fields are added to the faces of a stored result part by part."""

import msgspec
import pytest

from schemas.results import ResultBody
from schemas.store.results import face_ids, result_fields, with_fields
from tests.api.test_report import result


@pytest.mark.parametrize(("faces", "parts"), [(0, 1), (1, 1), (5, 3)])
def test_the_parts_of_a_result_get_fields_and_stay_one_text(faces: int, parts: int) -> None:
    whole = result("film")
    face = msgspec.structs.replace(whole.faces[0], detections=whole.faces[0].detections * 300)
    body = ResultBody(
        status="completed",
        faces=[msgspec.structs.replace(face, face_id=f"face_{number}") for number in range(faces)],
        metadata=whole.metadata,
    )
    stored = result_fields(body)
    assert stored["parts"] == parts
    changed = b""
    for number in range(parts):
        part = stored[f"part:{number}"]
        fields = {
            name: {"person_id": f"person of {name}", "label": None} for name in face_ids(part, number, parts)
        }
        changed += with_fields(part, number, parts, fields)
    decoded = msgspec.json.decode(changed, type=ResultBody)
    assert [one.person_id for one in decoded.faces] == [f"person of face_{number}" for number in range(faces)]
    plain = [
        msgspec.structs.replace(one, person_id=msgspec.UNSET, label=msgspec.UNSET) for one in decoded.faces
    ]
    assert msgspec.structs.replace(decoded, faces=plain) == body
