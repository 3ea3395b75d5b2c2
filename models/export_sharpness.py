"""Exports pyiqa's sharpness networks to ONNX: ``python -m models.export_sharpness topiq_nr --out DIRECTORY``.

Needs the extra ``models`` (torch, torchvision, pyiqa); pyiqa downloads the weights. Input: (N, 3, S, S) float32 RGB
0-1, normalised inside the network. Output: (N, 1).
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import structlog
import torch
from torch import Tensor, nn

log = structlog.get_logger(__name__)

OPSET = 18
SCORE_TOLERANCE = 1e-3
"""Largest allowed difference of a score between a network and its export."""


class Network(NamedTuple):
    """An exportable network.

    Attributes:
        side: of the square input in pixels.
        file: name that facecore.sharpness searches for.
    """

    side: int
    file: str


NETWORKS = {"topiq_nr": Network(384, "topiq_nr.onnx"), "clipiqa+": Network(224, "clipiqa_plus.onnx")}


class ClipIqa(nn.Module):
    """CLIP-IQA+ (Wang et al. 2023) with precomputed text features: its two prompts are the same for every picture.

    Args:
        metric: pyiqa's ``CLIPIQA`` of model type ``clipiqa+``.
    """

    def __init__(self, metric: Any) -> None:
        super().__init__()
        clip = metric.clip_model[0].float()
        with torch.no_grad():
            text = metric.prompt_learner(clip)
        self.visual = clip.visual
        self.register_buffer("text", clip.logit_scale.exp() * text / text.norm(dim=-1, keepdim=True))
        self.register_buffer("mean", metric.default_mean)
        self.register_buffer("std", metric.default_std)

    def forward(self, pictures: Tensor) -> Tensor:
        """Computes the scores, (N, 3, 224, 224) → (N, 1)."""
        features = self.visual((pictures - self.mean) / self.std, pos_embedding=False)
        features = features / features.norm(dim=-1, keepdim=True)
        return (features @ self.text.T).softmax(dim=-1)[:, :1]


def trained(name: str) -> nn.Module:
    """Returns a network with pyiqa's weights."""
    import pyiqa

    net = pyiqa.create_metric(name, device=torch.device("cpu")).net
    return exportable(name, net)


def exportable(name: str, net: nn.Module) -> nn.Module:
    """Returns the network in a form that can be exported."""
    return (ClipIqa(net) if name == "clipiqa+" else net).eval()


def export(name: str, network: nn.Module, directory: Path) -> Path:
    """Exports the network and compares the file with it.

    Returns:
        The file.

    Raises:
        ValueError: the scores differ.
    """
    side, file = NETWORKS[name].side, directory / NETWORKS[name].file
    pictures = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.onnx.export(
            network, (pictures,), str(file), input_names=["input"], output_names=["score"], opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=256)},), dynamo=True, external_data=False,
        )  # fmt: skip
    if (found := difference(network, file, side)) > SCORE_TOLERANCE:
        raise ValueError(f"the scores of {file} differ by up to {found:.4f} from those of the network")
    return file


def difference(network: nn.Module, file: Path, side: int) -> float:
    """Returns the largest difference of a score between network and file, for batches of one and three pictures."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    most = 0.0
    for batch in (1, 3):
        pictures = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = network(pictures).numpy()
        (scores,) = session.run(None, {session.get_inputs()[0].name: pictures.numpy()})
        most = max(most, float(np.abs(np.asarray(scores) - expected).max()))
    return most


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Export a sharpness network of pyiqa to ONNX.")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIRECTORY")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = export(args.network, trained(args.network), args.out)
    log.info("network exported", file=str(file), bytes=file.stat().st_size)


if __name__ == "__main__":
    main()
