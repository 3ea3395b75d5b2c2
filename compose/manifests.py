"""``python -m compose.manifests``: writes ``kubernetes/keda.yml``, whose triggers follow from the topology."""

from pathlib import Path
from typing import NamedTuple

from schemas.names import Names
from schemas.store.fair_queue import waiting
from schemas.topology import PROCESSES, process_of, stages

KEDA = Path(__file__).parent / "kubernetes" / "keda.yml"


class Limits(NamedTuple):
    """Most replicas of a process, and the seconds without work after which KEDA removes one."""

    replicas: int
    cooldown: int


LIMITS = {
    "frames": Limits(replicas=8, cooldown=300),
    "analyze": Limits(replicas=16, cooldown=120),
    "enhance": Limits(replicas=4, cooldown=120),
    "finalize": Limits(replicas=4, cooldown=120),
}
HEAD = """\
# Written by python -m compose.manifests from schemas/topology.py.
# Scales each process on the outstanding entries of the streams it reads: an entry is deleted when it is acknowledged,
# so the lengths of a stream and of its fair queue are the work that is left. A long film holds its request until it
# is sampled, so frames scales on waiting ones slowly.
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: { name: faces-redis }
spec: { secretTargetRef: [{ parameter: address, name: faces-redis, key: address }] }
"""
SCALER = """\
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: faces-%s }
spec:
  scaleTargetRef: { name: faces-%s }
  minReplicaCount: 1
  maxReplicaCount: %d
  cooldownPeriod: %d
  triggers:
"""
TRIGGER = """\
    - type: redis-streams
      metadata: { stream: "%s", streamLength: "%d" }
      authenticationRef: { name: faces-redis }
"""
WAITING_TRIGGER = """\
    - type: redis
      metadata: { listName: "%s", listLength: "%d" }
      authenticationRef: { name: faces-redis }
"""


def keda() -> str:
    """The manifest for KEDA: a scaler for each process, with a trigger for each stream that it reads."""
    text = HEAD
    for process in PROCESSES:
        text += SCALER % (process, process, *LIMITS[process])
        for stage in stages(Names()):
            if process_of(stage) == process:
                text += "".join(TRIGGER % (stream, stage.backlog) for stream in stage.streams)
                if stage.fair:
                    queues = map(waiting, stage.streams)
                    text += "".join(WAITING_TRIGGER % (queue, stage.backlog) for queue in queues)
    return text


if __name__ == "__main__":
    KEDA.write_text(keda())
