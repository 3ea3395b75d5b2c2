"""A network with its pre- and post-processing, run in fixed-size batches on worker threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from facecore.device import on_gpu

Item = TypeVar("Item")
Value = TypeVar("Value")
Sample = NDArray[np.float32] | NDArray[np.uint8]
Outputs = Sequence[NDArray[Any]]
"""Output tensors of one run."""


@dataclass(frozen=True, slots=True)
class Model(Generic[Item, Value]):
    """A network with its pre- and post-processing.

    Attributes:
        session: ONNX Runtime session with one input, batch axis first.
        prepare: item → one sample, without the batch axis.
        read: outputs of a batch → one value a sample.
        batch: samples in every run. Shorter runs are padded with zeros, so that a sample is always computed by the
            same kernels and memory use stays constant.
    """

    session: Any
    prepare: Callable[[Item], Sample]
    read: Callable[[Outputs], list[Value]]
    batch: int = 1

    def run(self, items: Sequence[Item]) -> list[Value]:
        """Computes one value for each item.

        Args:
            items: at most ``batch`` items whose samples have the same shape.
        """
        samples = np.stack([self.prepare(item) for item in items])
        if missing := self.batch - len(items):
            samples = np.concatenate([samples, np.zeros((missing, *samples.shape[1:]), samples.dtype)])
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: samples})
        return self.read(outputs)[: len(items)]


def batch_size(session: Any, gpu_batch: int) -> int:
    """Returns the samples in each run: the graph's own number if fixed, else ``gpu_batch`` on a GPU and 1 on a CPU.

    On a CPU a batch saves nothing, and its samples run on as many threads one by one (open pack, milliseconds a
    sample alone and in a batch of eight, one thread: embedder 3.5 and 4.1, pose 4.5 and 4.8, age and gender 9.0 and
    9.3).
    """
    fixed = session.get_inputs()[0].shape[0]
    if isinstance(fixed, int):
        return fixed
    return gpu_batch if on_gpu(session) else 1


class Workers:
    """A thread pool that prepares samples and runs sessions; ONNX Runtime and OpenCV release the GIL."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(max(1, threads), "faces")

    def start(self, model: Model[Item, Value], items: Sequence[Item]) -> Callable[[], list[Value]]:
        """Starts a model over items at once.

        Returns:
            A function that waits and returns one value for each item, in order.
        """
        chunks = [items[i : i + model.batch] for i in range(0, len(items), model.batch)]
        runs = [self._pool.submit(model.run, chunk) for chunk in chunks]
        return lambda: [value for run in runs for value in run.result()]

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> Callable[[], list[Value]]:
        """Starts a function over items, as `start` does a model."""
        runs = [self._pool.submit(function, item) for item in items]
        return lambda: [run.result() for run in runs]

    def close(self) -> None:
        """Waits for running work and stops the threads."""
        self._pool.shutdown()
