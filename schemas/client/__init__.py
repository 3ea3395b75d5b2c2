"""Clients of the service: over REST and directly over the stream, for asyncio and blocking.

``pip install ./schemas/client`` installs the same as the package `faces_client`, without models and workers.
"""

from schemas.client.blocking import Client, Publisher
from schemas.client.publishing import AsyncPublisher
from schemas.client.rest import AsyncClient, FacesError
from schemas.collections import EnrolledFace, KnownPerson
from schemas.questions import SearchRequest, SearchResult
from schemas.requests import AnalyzeRequest, Enhancement, Parameters, Scene
from schemas.results import Health, JobEvent, JobResult, JobStatus, Problem, Submitted
from schemas.store.submissions import QueueFull
from schemas.webhooks import JobEnded, LibraryChanged, NotGenuine, received, received_change

__all__ = (
    "AnalyzeRequest",
    "AsyncClient",
    "AsyncPublisher",
    "Client",
    "Enhancement",
    "EnrolledFace",
    "FacesError",
    "Health",
    "JobEnded",
    "JobEvent",
    "JobResult",
    "JobStatus",
    "KnownPerson",
    "LibraryChanged",
    "NotGenuine",
    "Parameters",
    "Problem",
    "Publisher",
    "QueueFull",
    "Scene",
    "SearchRequest",
    "SearchResult",
    "Submitted",
    "received",
    "received_change",
)
