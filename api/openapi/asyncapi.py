"""The AsyncAPI 3.0 document of the streams: channels from the topology, payloads from the structs."""

from typing import Any

import msgspec

from api.openapi.components import HEADERS, VERSION, add_spellings, components_of
from schemas import topology
from schemas.envelope import Envelope
from schemas.names import Names
from schemas.webhooks import JobEnded, LibraryChanged


def asyncapi(prefix: str = "faces") -> dict[str, Any]:
    """The document: streams, their messages and the consumer group that reads each.

    Args:
        prefix: FACES_PREFIX, the first part of the streams' names.
    """
    names = Names(prefix)
    stages = topology.stages(names)
    bodies = [body for stage in stages for body in stage.messages.values()]
    components = components_of([Envelope[msgspec.Raw], JobEnded, LibraryChanged, *bodies])
    add_spellings(components)
    channels, operations, messages = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    for stage in stages:
        for address, description in stage.streams.items():
            stream = names.short(address)
            channels[stream] = {
                "address": address,
                "description": f"{description}. One entry has one field, msgpack or json; "
                f"read by consumer group {stage.group}.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in stage.messages},
            }
            operations[f"{stage.group}-reads-{stream.replace(':', '-')}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{stream}"},
            }
        for name, body in stage.messages.items():
            messages[name] = {
                "contentType": "application/msgpack",
                "payload": _enveloped(components, name, body),
            }
    channels["events"] = {
        "address": names.events,
        "description": "Ends of jobs, each once; the latest 100,000 or so are kept. For whoever wants to follow: "
        "read it from the id that was seen last (XREAD), or with a consumer group of your own, and delete nothing. "
        f"{names.shared_events} has the same entries; other programs may clear it. "
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
    channels["library-callback"] = {
        "address": None,
        "description": "FACES_LIBRARY_CALLBACK: each entry of the log of a library, sent as the ends of jobs are.",
        "messages": {"library-changed": {"$ref": "#/components/messages/library-changed"}},
    }
    operations["changes-are-sent"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/library-callback"},
        "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    }
    for name, payload in (("job-ended", JobEnded), ("library-changed", LibraryChanged)):
        messages[name] = {
            "contentType": "application/json",
            "headers": {"type": "object", "properties": HEADERS, "required": list(HEADERS)},
            "payload": {"$ref": f"#/components/schemas/{payload.__name__}"},
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
