"""The face models of a process: loaded once, used by one thread, shared by the analyze stages of its partitions."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from consumers.fair_lock import FairLock
from facecore.analyzer import Analyzer
from facecore.device import TensorRT
from schemas.settings import Settings

T = TypeVar("T")


class InferenceThread:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "models")
        self._lock = FairLock()
        self._loading = asyncio.Lock()
        self._analyzer: Analyzer | None = None

    async def load(self) -> None:
        """Loads the models, unless that has been done.

        Raises:
            ModelsUnavailable: the pack is not there and cannot be fetched.
            DeviceUnavailable: the device asked for is not there.
        """
        settings = self._settings
        tensorrt = None if settings.tensorrt == "off" else TensorRT(settings.tensorrt, settings.engines_path)
        async with self._loading:
            if self._analyzer is None:
                self._analyzer = await self.run(
                    "loading",
                    lambda: Analyzer.load(
                        settings.pack,
                        settings.models_path,
                        device=settings.device,
                        tensorrt=tensorrt,
                        threads=settings.worker_threads,
                    ),
                )

    @property
    def analyzer(self) -> Analyzer:
        assert self._analyzer is not None, "load() comes first"
        return self._analyzer

    async def run(self, stage: str, work: Callable[[], T]) -> T:
        """Runs in the thread of the models, one call after another; stages that wait take turns."""
        async with self._lock.hold(stage):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        self._thread.shutdown()
        if self._analyzer is not None:
            self._analyzer.close()
