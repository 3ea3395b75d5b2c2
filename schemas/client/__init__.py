"""Clients of the service: over REST, and straight to the stream; in asyncio, or blocking.

A distribution of its own (``pip install ./schemas/client``, without models, pictures or workers) has the same under
the name `faces_client`.
"""

from schemas.client.blocking import Client, Publisher
from schemas.client.publishing import AsyncPublisher
from schemas.client.rest import AsyncClient, FacesError
from schemas.requests import AnalyzeRequest, Enhancement, Parameters, Scene
from schemas.results import Health, JobEvent, JobResult, JobStatus, Problem, Submitted
from schemas.store.jobs import JobExists, QueueFull
from schemas.webhooks import JobEnded, NotGenuine, received

__all__ = (
    "AnalyzeRequest",
    "AsyncClient",
    "AsyncPublisher",
    "Client",
    "Enhancement",
    "FacesError",
    "Health",
    "JobEnded",
    "JobEvent",
    "JobExists",
    "JobResult",
    "JobStatus",
    "NotGenuine",
    "Parameters",
    "Problem",
    "Publisher",
    "QueueFull",
    "Scene",
    "Submitted",
    "received",
)
