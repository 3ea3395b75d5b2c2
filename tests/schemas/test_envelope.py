"""Messages decode to what was encoded; unreadable ones are refused as a whole."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import EnvelopeError, open_entry, seal, valid_traceparent
from schemas.messages import FileFrame, FrameTask, PortraitsTask, Shot, StoredFrame, open_request
from schemas.names import Names
from schemas.topology import stage

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
FRAMES = stage(Names(), "analyze").messages
TASK = FrameTask(index=3, timestamp=6.0, frame=StoredFrame("3"), source="/v.mp4")


def test_a_message_decodes_to_what_was_encoded() -> None:
    envelope = open_entry(seal("frame", "job", "3", TASK, traceparent=TRACEPARENT), FRAMES)
    assert envelope.body == TASK
    assert (envelope.id, envelope.job, envelope.traceparent) == ("job/frame/3", "job", TRACEPARENT)


def test_equal_work_has_an_equal_id() -> None:
    ids = {open_entry(seal("frame", "job", "3", TASK), FRAMES).id for _ in range(3)}
    assert ids == {"job/frame/3"}


def test_the_message_type_selects_the_struct() -> None:
    shots = (Shot("0/1", 0.8, 0.7), Shot("2/0", 0.75, 0.5)), (Shot("4+/0", 0.8, 0.6),)
    portraits = PortraitsTask(portraits=("0/1", "4+/0"), shots=shots)
    assert open_entry(seal("portraits", "job", "", portraits), FRAMES).body == portraits
    by_path = msgspec.structs.replace(TASK, frame=FileFrame("/frames/3.jpg"))
    assert open_entry(seal("frame", "job", "3", by_path), FRAMES).body == by_path


def test_json_and_msgpack_decode_alike() -> None:
    packed = msgspec.msgpack.decode(seal("frame", "job", "3", TASK)[b"msgpack"])
    assert open_entry({b"json": msgspec.json.encode(packed)}, FRAMES).body == TASK


def test_fields_of_a_newer_version_are_ignored() -> None:
    packed = msgspec.msgpack.decode(seal("frame", "job", "3", TASK)[b"msgpack"])
    packed["later"], packed["body"]["later"] = 1, 2
    assert open_entry({b"msgpack": msgspec.msgpack.encode(packed)}, FRAMES).body == TASK


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"type": "other"}, {"body": {"index": "three"}}, {"job": 7}]
)
def test_unreadable_messages_are_refused(change: dict[str, object]) -> None:
    packed = msgspec.msgpack.decode(seal("frame", "job", "3", TASK)[b"msgpack"]) | change
    with pytest.raises(EnvelopeError):
        open_entry({b"msgpack": msgspec.msgpack.encode(packed)}, FRAMES)


@given(st.dictionaries(st.sampled_from([b"msgpack", b"json", b"x"]), st.binary(max_size=60), max_size=2))
def test_any_entry_decodes_to_a_request_or_is_refused(fields: dict[bytes, bytes]) -> None:
    try:
        assert open_request("1-1", fields).type == "analyze"
    except EnvelopeError as refused:
        assert str(refused)


def test_a_request_without_an_id_takes_the_entry_s() -> None:
    envelope = open_request("1700000000000-0", {b"json": b'{"source": "/v.mp4"}'})
    assert (envelope.job, envelope.body) == ("1700000000000-0", {"source": "/v.mp4"})
    assert open_request("1-1", {b"json": b'{"source": "/v.mp4", "job_id": "mine"}'}).job == "mine"


@pytest.mark.parametrize(
    "sent", ["", "x" * (1 << 20), "00-a-b-01", TRACEPARENT.upper(), f"{TRACEPARENT}\n", f"ff{TRACEPARENT[2:]}",
             f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01"],
)  # fmt: skip
def test_an_invalid_trace_context_is_replaced(sent: str) -> None:
    raw = msgspec.json.encode({"id": "a", "job": "a", "type": "frame", "body": TASK, "traceparent": sent})
    for entry in (seal("frame", "job", "3", TASK, traceparent=sent), {b"json": raw}):
        kept = open_entry(entry, FRAMES).traceparent
        assert kept != sent and valid_traceparent(kept) == kept


@pytest.mark.parametrize("attempt", [-1, 1 << 40])
def test_a_number_of_attempts_is_bounded(attempt: int) -> None:
    raw = msgspec.json.encode({"id": "a", "job": "a", "type": "frame", "body": TASK, "attempt": attempt})
    with pytest.raises(EnvelopeError):
        open_entry({b"json": raw}, FRAMES)


def test_a_deeply_nested_entry_is_refused() -> None:
    with pytest.raises(EnvelopeError):
        open_entry({b"json": b'{"id": "a", "job": "a", "type": "frame", "x": ' + b"[" * 200_000}, FRAMES)
