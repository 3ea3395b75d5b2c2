"""Inference thread: the face models of a process, loaded once and shared by its stages."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from consumers.batch_size import BatchSize
from consumers.fair_lock import FairLock
from consumers.observer import observer_of
from consumers.sources.memory_budget import MemoryBudget
from facecore.analyzer import Analyzer
from facecore.device import TensorRT
from schemas.settings import Settings

T = TypeVar("T")


class InferenceThread:
    """One thread that loads the face models and runs them; a fair lock orders the stages that use it.

    One thread, since the models use all cores or the GPU by themselves.

    Attributes:
        picture_memory: for the decoded pictures of all stages of the process.
        batch: frames in a batch of all stages of the process.
        observer: name of what this process sees pictures with, once the models are loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "models")
        self._lock = FairLock()
        self._loading = asyncio.Lock()
        self._analyzer: Analyzer | None = None
        self.observer = ""
        self.picture_memory = MemoryBudget(settings.memory_bytes)
        self.batch = BatchSize(settings.batch, settings.worker_threads)

    async def load(self) -> None:
        """Loads the models at the first call.

        Raises:
            ModelsUnavailable: the model pack is not installed and cannot be downloaded.
            DeviceUnavailable: this host does not have the configured device.
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
                self.observer = observer_of(self._analyzer.describe(), settings)

    @property
    def analyzer(self) -> Analyzer:
        """The loaded models; `load` comes first."""
        assert self._analyzer is not None, "load() comes first"
        return self._analyzer

    async def run(self, stage: str, work: Callable[[], T]) -> T:
        """Calls ``work`` in the inference thread. Waiting stages are served in turn.

        Args:
            stage: lane of the fair lock.
        """
        async with self._lock.hold(stage):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Ends the thread and releases the models."""
        self._thread.shutdown()
        if self._analyzer is not None:
            self._analyzer.close()
