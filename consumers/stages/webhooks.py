"""Webhooks stage: sends the end of a job to the callback address of its request, and library events to theirs."""

import hashlib
import random
from collections.abc import Iterator
from http import HTTPStatus

import aiohttp
import msgspec
import structlog
from yarl import URL

from consumers.base_stage import OneByOneStage
from consumers.host_limits import HostLimits
from consumers.runtime.stage import Completion, Delivery, Reject, Retry
from consumers.service import Service, Shared
from consumers.sources.addresses import Lookup
from consumers.sources.http import checked_session
from schemas.addresses import AllowList, NotAllowed
from schemas.envelope import Envelope
from schemas.settings import SettingsError
from schemas.store.clock import server_time
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader
from schemas.webhooks import (
    Callback,
    LibraryWebhookTask,
    WebhookTask,
    delivery_body,
    library_body,
    parse_secrets,
    signed_headers,
)

log = structlog.get_logger(__name__)
Task = WebhookTask | LibraryWebhookTask

MAX_ATTEMPTS = 9
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 5.0, 3600.0
"""Pause before the second attempt, and the longest pause: each is four times as long as the one before, less up to a
quarter (jitter). The last attempt is about four hours after the first."""
RESPONSE_TIMEOUT_SECONDS = 10.0
QUICK_FACTOR = 0.1
"""A receiver that responds within this part of the timeout may have several requests in flight."""


class WebhooksStage(OneByOneStage[Task]):
    """Consumer group ``webhooks`` on ``webhooks``: delivers webhooks at least once.

    A worker that dies between the response and the acknowledgement causes a second delivery with the same id. A
    receiver that does not respond delays only its own webhooks (`HostLimits`).

    Args:
        lookup: resolves host names; the operating system's by default.
        first_retry: seconds before the second attempt.
        max_retry: longest pause between two attempts in seconds.
        response_timeout: seconds that a receiver has to respond.
    """

    concurrency = 32
    max_run = 60.0

    def __init__(
        self,
        service: Service,
        *,
        lookup: Lookup | None = None,
        first_retry: float = FIRST_RETRY_SECONDS,
        max_retry: float = MAX_RETRY_SECONDS,
        response_timeout: float = RESPONSE_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(service, "webhooks")
        self.max_attempts = MAX_ATTEMPTS
        settings = service.settings
        self._libraries = Libraries(service.redis, service.partitions.home)
        self._reader = LibraryReader(service.redis, service.partitions.home)
        self._lookup = lookup
        self._limits = HostLimits(self.concurrency, response_timeout * QUICK_FACTOR)
        self._first_retry = first_retry
        self._max_retry = max_retry
        self._response_timeout = response_timeout
        try:
            self._allowed = AllowList.parse(settings.callback_to, "FACES_CALLBACK_HOSTS")
        except ValueError as error:
            raise SettingsError(f"FACES_CALLBACK_HOSTS: {error}") from error
        try:
            self._keys = parse_secrets(settings.webhook_secret)
        except ValueError as error:
            raise SettingsError(f"FACES_WEBHOOK_SECRET: {error}") from error
        if settings.callback_to and not self._keys:
            raise SettingsError(
                "FACES_WEBHOOK_SECRET: required by FACES_CALLBACK_HOSTS, since receivers verify webhooks by it"
            )

        try:
            if settings.library_callback:
                self._allowed.check(URL(settings.library_callback))
        except ValueError as error:
            raise SettingsError(f"FACES_LIBRARY_CALLBACK: {error}") from error

    async def start(self) -> None:
        """Opens the HTTP session."""
        self._session = checked_session(self._allowed, self._lookup)

    async def stop(self) -> None:
        """Closes the HTTP session."""
        await self._session.close()

    def on_dead_letter(self, envelope: Envelope[Task], reason: str) -> Completion:
        """Has no effects: the dead letter can be replayed."""
        return Completion()

    async def _handle_one(self, delivery: Delivery[Task]) -> Completion:
        envelope = delivery.envelope
        if isinstance(task := envelope.body, LibraryWebhookTask):
            entries = await self._libraries.read(task.library, [task.entry_id])
            if not entries:
                return Completion()  # the library was deleted
            url = self._service.settings.library_callback
            body = library_body(task.library, await self._reader.event(task.library, entries[0]))
        else:
            callback = msgspec.json.decode(task.to, type=Callback)
            url, body = callback.url, delivery_body(envelope.job, task, callback.source_id)
        delivery_id = f"msg_{hashlib.sha256(envelope.id.encode()).hexdigest()[:32]}"
        now = await server_time(self._service.redis, self.stream)
        headers = signed_headers(body, delivery_id, now, self._keys)
        status = await self._post(url, body, headers, delivery.attempt)
        if 200 <= status < 300:
            log.info("webhook delivered", delivery=delivery_id, status=status)
            return Completion()
        if 300 <= status < 400:
            raise Reject(f"{url} answered with a redirect (status {status}), which webhooks do not follow")
        if status == HTTPStatus.GONE:
            raise Reject(f"{url} accepts no more webhooks (status 410)")
        raise Retry(f"{url} answered with status {status}", self._pause(delivery.attempt))

    async def _post(self, url: str, body: bytes, headers: dict[str, str], attempt: int) -> int:
        """Sends a webhook; returns the status of the response, whose body is not read."""
        if not self._keys:
            raise Reject("FACES_WEBHOOK_SECRET is not set, so that webhooks cannot be signed")
        headers |= {"Content-Type": "application/json", "User-Agent": "faces"}
        try:
            address = URL(url)
            self._allowed.check(address)
            timeout = aiohttp.ClientTimeout(total=self._response_timeout)
            with self._limits.slot(address.host or ""):
                async with self._session.post(
                    address, data=body, headers=headers, allow_redirects=False, timeout=timeout
                ) as response:
                    return response.status
        except (NotAllowed, ValueError) as error:  # ValueError: not an address
            raise Reject(str(error)) from error
        except TimeoutError as error:
            text = f"{url} did not respond within {self._response_timeout:g} s"
            raise Retry(text, self._pause(attempt)) from error
        except aiohttp.ClientError as error:
            raise Retry(f"{url} cannot be reached: {error}", self._pause(attempt)) from error

    def _pause(self, attempt: int) -> float:
        """Returns the seconds before the next attempt: exponential backoff with jitter."""
        longest = min(self._max_retry, self._first_retry * 4.0 ** min(attempt - 1, 16))
        return longest * random.uniform(0.75, 1.0)


def build(service: Service, _: Shared) -> Iterator[WebhooksStage]:
    """Builds the stage of a partition."""
    yield WebhooksStage(service)
