"""Trains the occlusion classifier: ``python -m models.occlusion.train --train DIR --val DIR --out DIR``.

Starts with small pictures and continues with larger ones (progressive resizing); the export needs the last side.
Runs on CPU or GPU. After an interruption the same command resumes from the last complete epoch, with the same final
result.
"""

import argparse
import json
import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from models.occlusion.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SIDE,
    Crop,
    Epoch,
    load,
    normalised,
    read_folder,
    read_mafa,
    resized,
)
from models.occlusion.evaluate import figures
from models.occlusion.network import ResNet18, pruned
from models.occlusion.painting import Image

log = structlog.get_logger(__name__)

STAGES = "96:50,160:14,224:10"
"""Side of the pictures in pixels and number of epochs of each stage."""
EMA_DECAY = 0.995
"""Decay of the exponential moving average of the weights in each step; the average restarts with every stage."""
STAGE_PEAKS = (1.0, 0.5, 0.3)
"""Highest learning rate of each stage, relative to --lr."""
WARM_UP_STEPS = 100
"""Steps of linear increase of the learning rate at the start of each stage."""
WEIGHT_DECAY, LABEL_SMOOTHING = 0.05, 0.05
CHECKPOINT = "checkpoint.pt"


def main() -> None:
    """Runs the command line."""
    args = _arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    crops = read_folder(args.train)
    if args.mafa_labels:
        crops += read_mafa(args.mafa_labels, args.mafa_images)
    images = [load(crop) for crop in crops]
    held_out = read_folder(args.val)
    held_out_images = np.stack([load(crop) for crop in held_out])
    training = Training(args.size, args.batch, args.lr, args.seed, stages_of(args.stages), args.workers)
    if args.init is not None:
        training.load_weights(args.init)
        training.difficulty = training.probabilities(np.stack(images))
    args.out.mkdir(parents=True, exist_ok=True)
    if (args.out / CHECKPOINT).is_file():
        training.resume(args.out / CHECKPOINT)
    while training.epoch < len(training.sides):
        loss = training.run_epoch(crops, images)
        found = figures(held_out, training.probabilities(held_out_images))
        training.save(args.out / CHECKPOINT)
        torch.save(training.average.state_dict(), args.out / "weights.pt")
        with (args.out / "history.jsonl").open("a") as history:
            history.write(json.dumps({"epoch": training.epoch, "loss": loss, **found}) + "\n")
        log.info("epoch completed", epoch=training.epoch, loss=round(loss, 4), **found)


def stages_of(text: str) -> list[int]:
    """Parses ``side:epochs,…``; returns the side of the pictures in each epoch."""
    return [
        int(side)
        for stage in text.split(",")
        for side, count in [stage.split(":")]
        for _ in range(int(count))
    ]


class Training:
    """The state of a training: weights, their moving average, optimizer, epoch and step."""

    def __init__(self, size: int, batch: int, lr: float, seed: int, sides: list[int], workers: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = ResNet18().to(self.device, memory_format=torch.channels_last)
        self.average = deepcopy(self.network).eval()
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
            lr=lr,
        )
        self.size, self.batch, self.lr, self.seed, self.sides, self.workers = (
            size,
            batch,
            lr,
            seed,
            sides,
            workers,
        )
        self.epoch = self.step = 0
        self.difficulty: np.ndarray[Any, np.dtype[np.float64]] | None = None

    def run_epoch(self, crops: list[Crop], images: list[Image]) -> float:
        """Trains one epoch; returns the mean loss."""
        self.network.train()
        criterion = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
        losses = []
        for samples, labels in self._batches(crops, images):
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * self._rate()
            with self._autocast():
                logits = self.network(samples)
            loss = criterion(logits.float(), labels)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.step += 1
            self._update_average()
            losses.append(loss.item())
        self.epoch += 1
        return float(np.mean(losses))

    @torch.no_grad()
    def probabilities(self, images: Image) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Returns the averaged network's probability of occlusion for (N, 224, 224, 3) BGR pictures.

        The pictures are resized to the side of the last training epoch, before the first one to its side; at other
        sides the features have another scale.
        """
        parts, side = [], self.sides[max(self.epoch - 1, 0)]
        for start in range(0, len(images), 64):
            pictures = np.stack([resized(image, side) for image in images[start : start + 64]])
            samples = torch.from_numpy(normalised(pictures)).to(self.device)
            with self._autocast():
                logits = self.average(samples.to(memory_format=torch.channels_last))
            parts.append(logits.float().softmax(dim=1)[:, 1].cpu().numpy())
        return np.concatenate(parts).astype(np.float64)

    def _autocast(self) -> torch.autocast:
        """Selects bfloat16 where it is faster: CPUs without AVX-512 emulate it, 15 times slower than float32."""
        fast = self.device.type == "cuda" or "AVX512" in torch.backends.cpu.get_cpu_capability()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=fast)

    def save(self, file: Path) -> None:
        """Writes a checkpoint atomically: an interrupted write leaves the previous one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "epoch": self.epoch,
            "step": self.step,
        }
        partial = file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(file)

    def load_weights(self, weights: Path) -> None:
        """Loads the weights of an earlier training, of a wider network too; the rest of the state stays initial."""
        state = pruned(torch.load(weights, map_location=self.device, weights_only=True))
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)

    def resume(self, file: Path) -> None:
        """Loads a checkpoint."""
        state = torch.load(file, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"].cpu())
        self.epoch, self.step = state["epoch"], state["step"]

    def _batches(self, crops: list[Crop], images: list[Image]) -> Iterator[tuple[Tensor, Tensor]]:
        samples: Any = Epoch(
            crops, images, self.sides[self.epoch], self.size, self.seed, self.epoch, self.difficulty
        )
        mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(IMAGENET_STD, device=self.device).view(1, 3, 1, 1) * 255
        # The samples define their own order and seeds; the loader only draws them in parallel.
        loader = DataLoader(
            samples,
            self.batch,
            num_workers=self.workers,
            drop_last=True,
            worker_init_fn=_one_thread,
            prefetch_factor=3,
        )
        for pictures, labels in loader:
            normal = (pictures.to(self.device).float() - mean) / std
            yield normal.contiguous(memory_format=torch.channels_last), labels.to(self.device)

    def _rate(self) -> float:
        """Returns the learning rate relative to --lr: warm-up, then cosine decay to 0 in each stage (Loshchilov and
        Hutter 2017)."""
        done, steps, number = self._stage()
        peak = STAGE_PEAKS[min(number, len(STAGE_PEAKS) - 1)]
        return (
            peak
            * min(1.0, (done + 1) / WARM_UP_STEPS)
            * 0.5
            * (1 + math.cos(math.pi * min(1.0, done / steps)))
        )

    def _stage(self) -> tuple[int, int, int]:
        """Returns the steps done in the current stage, its total steps, and its number."""
        side, an_epoch = self.sides[self.epoch], self.size // self.batch
        before = self.sides.index(side)
        return self.step - before * an_epoch, self.sides.count(side) * an_epoch, len(set(self.sides[:before]))

    @torch.no_grad()
    def _update_average(self) -> None:
        done, _, _ = self._stage()
        decay = min(EMA_DECAY, done / (10 + done))
        for mean, value in zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the occlusion classifier.")
    parser.add_argument("--train", type=Path, required=True, help="folder with clean/ and occluded/<type>_*")
    parser.add_argument(
        "--val", type=Path, required=True, help="folder of the same layout, for validation only"
    )
    parser.add_argument(
        "--mafa-labels", type=Path, help="MAFA's LabelTrainAll.mat, added to the training folder"
    )
    parser.add_argument("--mafa-images", type=Path, help="MAFA's pictures; needed with --mafa-labels")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="directory of checkpoint, weights and history; an existing checkpoint is resumed",
    )
    parser.add_argument(
        "--init",
        type=Path,
        help="weights.pt to start from; clean crops that these weights find difficult are drawn more often",
    )
    parser.add_argument("--stages", default=STAGES, help=f"side:epochs, in order (default {STAGES})")
    parser.add_argument("--size", type=int, default=3584, help="samples in an epoch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare samples")
    args = parser.parse_args()
    if bool(args.mafa_labels) != bool(args.mafa_images):
        parser.error("--mafa-labels and --mafa-images go together")
    if max(stages_of(args.stages)) > SIDE:
        parser.error(f"sides above {SIDE}, the side of the network's input, are not supported")
    return args


if __name__ == "__main__":
    main()
