"""Other stream libraries beside the runtime, measured if installed; each publishes and consumes in its own way."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Publish = Callable[[float], Awaitable[None]]
Seen = list[tuple[float, float]]
Peer = Callable[[str], Any]
"""URL -> context manager: how to publish a message that carries a time, how to consume (a context manager that
gives the times noted so far)."""


def available() -> dict[str, Peer]:
    return {
        name: peer
        for name, peer in {"faststream": faststream(), "taskiq-redis": taskiq()}.items()
        if peer is not None
    }


def faststream() -> Peer | None:
    """FastStream: one message a call, as its documentation shows; acknowledged after the handler."""
    try:
        from faststream.redis import RedisBroker, StreamSub
    except ImportError:
        return None

    @asynccontextmanager
    async def peer(url: str) -> AsyncIterator[tuple[Publish, Any]]:
        producer = RedisBroker(url, logger=None)
        await producer.connect()

        async def publish(created: float) -> None:
            await producer.publish({"created": created}, stream="peer")

        @asynccontextmanager
        async def consume() -> AsyncIterator[Callable[[], Seen]]:
            seen: Seen = []
            broker = RedisBroker(url, logger=None)

            @broker.subscriber(
                stream=StreamSub("peer", group="g", consumer="c", last_id=">", max_records=100)
            )  # type: ignore[untyped-decorator]
            async def handle(body: dict[str, float]) -> None:
                seen.append((body["created"], time.time()))

            await broker.start()
            try:
                yield lambda: seen
            finally:
                await broker.stop()

        try:
            yield publish, consume
        finally:
            await producer.stop()

    return peer


def taskiq() -> Peer | None:
    """TaskIQ: its stream broker and receiver, ten tasks at once."""
    try:
        from taskiq.receiver import Receiver
        from taskiq_redis import RedisStreamBroker
    except ImportError:
        return None

    @asynccontextmanager
    async def peer(url: str) -> AsyncIterator[tuple[Publish, Any]]:
        broker = RedisStreamBroker(url, queue_name="peer", xread_count=100)
        seen: Seen = []

        @broker.task  # type: ignore[untyped-decorator]
        async def handle(created: float) -> None:
            seen.append((created, time.time()))

        await broker.startup()

        async def publish(created: float) -> None:
            await handle.kiq(created)

        @asynccontextmanager
        async def consume() -> AsyncIterator[Callable[[], Seen]]:
            seen.clear()
            finish = asyncio.Event()
            listening = asyncio.create_task(
                Receiver(broker, max_async_tasks=10, run_startup=False).listen(finish)
            )
            try:
                yield lambda: seen
            finally:
                finish.set()
                while not listening.done():
                    listening.cancel()
                    await asyncio.wait([listening], timeout=0.1)

        try:
            yield publish, consume
        finally:
            await broker.shutdown()

    return peer
