"""The webhooks stage: tells receivers that asked for it that their jobs have ended."""

import hashlib
import random
from collections.abc import Iterator

import aiohttp
import msgspec
import structlog
from yarl import URL

from consumers.base_stage import OneByOneStage
from consumers.runtime.stage import Completion, Delivery, Reject, Retry
from consumers.service import Service, Shared
from consumers.sources.addresses import Lookup
from consumers.sources.http import checked_session
from schemas.addresses import AllowList, NotAllowed
from schemas.envelope import Envelope
from schemas.settings import SettingsError
from schemas.webhooks import Callback, WebhookTask, secrets_of, signed, told

log = structlog.get_logger(__name__)

ATTEMPTS = 9
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
"""Seconds between attempts: four times as long each time; the last one is about four hours after the first."""
PATIENCE = 10.0
GONE = 410


class WebhooksStage(OneByOneStage[WebhookTask]):
    """Consumer group ``webhooks`` on ``faces:webhooks``. At least once: a worker that dies between the answer and its
    acknowledgement makes a second delivery, under the same id.

    Args:
        lookup: resolves names.
        first_pause: seconds before the second attempt.
        patience: seconds that a receiver has for its answer.
    """

    concurrency = 32
    max_run = 60.0

    def __init__(
        self,
        service: Service,
        *,
        lookup: Lookup | None = None,
        first_pause: float = FIRST_PAUSE,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(service, "webhooks")
        self.max_attempts = ATTEMPTS
        settings = service.settings
        self._lookup = lookup
        self._first_pause = first_pause
        self._patience = patience
        try:
            self._allowed = AllowList.parse(settings.callback_to, "FACES_CALLBACK_HOSTS")
        except ValueError as error:
            raise SettingsError(f"FACES_CALLBACK_HOSTS: {error}") from error
        try:
            self._keys = secrets_of(settings.webhook_secret)
        except ValueError as error:
            raise SettingsError(f"FACES_WEBHOOK_SECRET: {error}") from error
        if settings.callback_to and not self._keys:
            raise SettingsError("FACES_WEBHOOK_SECRET: without it nobody can tell who calls back")

    async def start(self) -> None:
        self._session = checked_session(self._allowed, self._lookup)

    async def stop(self) -> None:
        await self._session.close()

    def on_dead_letter(self, envelope: Envelope[WebhookTask], reason: str) -> Completion:
        """The dead letter is all that is left; it can be replayed."""
        return Completion()

    async def _handle_one(self, delivery: Delivery[WebhookTask]) -> Completion:
        envelope = delivery.envelope
        to = msgspec.json.decode(envelope.body.to, type=Callback)
        body = told(envelope.job, envelope.body, to.source_id)
        delivery_id = f"msg_{hashlib.sha256(envelope.id.encode()).hexdigest()[:32]}"
        status = await self._post(to.url, body, signed(body, delivery_id, self._keys), delivery.attempt)
        if 200 <= status < 300:
            log.info("called back", delivery=delivery_id, status=status)
            return Completion()
        if 300 <= status < 400:
            raise Reject(f"{to.url} leads elsewhere ({status}), which is not followed")
        if status == GONE:
            raise Reject(f"{to.url} does not want to be called any more (410)")
        raise Retry(f"{to.url} was answered with {status}", self._pause(delivery.attempt))

    async def _post(self, url: str, body: bytes, headers: dict[str, str], attempt: int) -> int:
        """The status of the answer, whose body is not read."""
        if not self._keys:
            raise Reject("no secret is set to sign with (FACES_WEBHOOK_SECRET)")
        headers |= {"Content-Type": "application/json", "User-Agent": "faces"}
        try:
            place = URL(url)
            self._allowed.check(place)
            async with self._session.post(
                place,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._patience),
            ) as answer:
                return answer.status
        except (NotAllowed, ValueError) as error:  # ValueError: no address at all
            raise Reject(str(error)) from error
        except TimeoutError as error:
            raise Retry(f"{url} did not answer within {self._patience:g} s", self._pause(attempt)) from error
        except aiohttp.ClientError as error:
            raise Retry(f"{url} cannot be reached: {error}", self._pause(attempt)) from error

    def _pause(self, attempt: int) -> float:
        longest = min(LONGEST_PAUSE, self._first_pause * 4.0 ** min(attempt - 1, 16))
        return longest * random.uniform(0.75, 1.0)


def build(service: Service, _: Shared) -> Iterator[WebhooksStage]:
    """The stage on its stream."""
    yield WebhooksStage(service)
