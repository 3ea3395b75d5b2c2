"""The document that describes the streams, derived from the structs: AsyncAPI 3.0."""

from collections.abc import Mapping
from typing import Any

import msgspec

from api.openapi.components import HEADERS, VERSION, add_spellings, components_of
from schemas.envelope import Envelope
from schemas.messages import COLLECTIONS, ENHANCE, FINALIZE, FRAMES, PHOTOGRAPHS, SEGMENTS, WEBHOOKS
from schemas.requests import AnalyzeRequest
from schemas.webhooks import JobEnded


def asyncapi(prefix: str = "faces") -> dict[str, Any]:
    """The streams, their messages and the consumer group that reads each.

    Args:
        prefix: first part of the streams' names.
    """
    streams: dict[str, tuple[str, str, Mapping[str, type[Any]]]] = {
        **{
            name: ("frames", "Videos to find the people in", {"analyze": AnalyzeRequest})
            for name in ("requests:high", "requests", "requests:low")
        },
        **dict.fromkeys(
            ("segments:high", "segments", "segments:low"),
            ("frames", "Parts of long films to sample", SEGMENTS),
        ),
        "frames": ("analyze", "Frames to find the faces of", FRAMES),
        "frames:express": ("analyze", "The same, of short jobs, beginnings and enhanced frames", FRAMES),
        "frames:urgent": ("analyze", "The same, of high priority; the best shots of all jobs", FRAMES),
        "enhance": ("enhance", "Frames to have enhanced", ENHANCE),
        "finalize": (
            "finalize",
            "Jobs whose frames are complete, or whose people so far are asked for",
            FINALIZE,
        ),
        "webhooks": ("webhooks", "Ends of jobs to tell to their callback_url", WEBHOOKS),
        "collections": ("collections", "Faces to enrol, to look for and to erase", COLLECTIONS),
        "photographs": ("photographs", "Uploaded photographs to look for the face of", PHOTOGRAPHS),
    }
    bodies = [body for _, _, types in streams.values() for body in types.values()]
    components = components_of([Envelope[msgspec.Raw], JobEnded, *bodies])
    add_spellings(components)
    channels, operations, messages = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    for stream, (group, told, types) in streams.items():
        channels[stream] = {
            "address": f"{prefix}:{stream}",
            "description": f"{told}. One entry has one field, msgpack or json; read by consumer group {group}.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
        }
        operations[f"{group}-reads-{stream.replace(':', '-')}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{stream}"},
        }
        for name, body in types.items():
            messages[name] = {
                "contentType": "application/msgpack",
                "payload": _enveloped(components, name, body),
            }
    channels["events"] = {
        "address": f"{prefix}:events",
        "description": "Ends of jobs, each once; the latest 100,000 or so are kept. For whoever wants to follow: "
        "read it from the id that was seen last (XREAD), or with a consumer group of your own, and delete nothing. "
        "The fields of an entry are the fields of the message.",
        "messages": {"ended": {"$ref": "#/components/messages/ended"}},
    }
    operations["ends-are-published"] = {"action": "send", "channel": {"$ref": "#/channels/events"}}
    ended = {"job_id": {"type": "string"}, "status": {"enum": ["completed", "failed", "cancelled"]}}
    messages["ended"] = {"payload": {"type": "object", "properties": ended, "required": list(ended)}}
    channels["callback"] = {
        "address": None,
        "description": "The callback_url of a request, when its job has ended: a POST, signed as Standard Webhooks "
        "says. Any answer but 2xx, and none within 10 s, is tried again for about four hours; a redirect is not "
        "followed, and 410 ends it. A delivery may come twice, with the same webhook-id.",
        "messages": {"job-ended": {"$ref": "#/components/messages/job-ended"}},
    }
    operations["ends-are-told"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/callback"},
        "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    }
    messages["job-ended"] = {
        "contentType": "application/json",
        "headers": {"type": "object", "properties": HEADERS, "required": list(HEADERS)},
        "payload": {"$ref": "#/components/schemas/JobEnded"},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Faces", "version": VERSION, "description": "The streams between the stages."},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


def _enveloped(components: dict[str, Any], name: str, body: type[Any]) -> dict[str, Any]:
    envelope = next(schema for title, schema in components.items() if title.startswith("Envelope"))
    properties = envelope["properties"] | {
        "type": {"const": name},
        "body": {"$ref": f"#/components/schemas/{body.__name__}"},
    }
    return {"type": "object", "properties": properties, "required": envelope["required"]}
