"""ResNet18 (He et al., "Deep Residual Learning for Image Recognition", 2015, table 1) with two classes and a narrower
last stage."""

import torch
from torch import Tensor, nn

STAGES = ((64, 64, 1), (128, 128, 2), (256, 256, 2), (512, 192, 2))
"""Channels, channels inside the blocks, and stride of each stage; a stage has two blocks.

The last stage's blocks have fewer channels inside: its maps are so small that most of the time is spent on reading
the weights."""


class Block(nn.Module):
    """A residual block: two 3×3 convolutions and a shortcut, which is a 1×1 convolution if the shape changes."""

    def __init__(self, channels_in: int, inside: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, inside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == channels
            else nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Computes the output of the block."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet18(nn.Module):
    """The classifier: (N, 3, H, W) float32 RGB, normalised for ImageNet → (N, 2) logits: clean, occluded.

    H and W may be any size from 32 on, because global average pooling follows the last stage; training starts with
    small pictures.
    """

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        blocks: list[nn.Module] = []
        channels_in = 64
        for channels, inside, stride in STAGES:
            blocks += [Block(channels_in, inside, channels, stride), Block(channels, inside, channels, 1)]
            channels_in = channels
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels_in, 2)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Block):
                # Every block starts as its shortcut, which stabilises training from random weights (Goyal et al.
                # 2017, 5.1).
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the logits."""
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits


def pruned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights of a wider network without the least important channels inside its blocks.

    A channel's importance is the L1 norm of its filter after normalisation times that of the weights that read it
    (after Li et al., "Pruning Filters for Efficient ConvNets", 2017). Weights of the right width stay as they are.
    """
    state = dict(state)
    for number in range(2 * len(STAGES)):
        block, inside = f"stages.{number}.", STAGES[number // 2][1]
        gain = state[f"{block}bn1.weight"] / (state[f"{block}bn1.running_var"] + 1e-5).sqrt()
        made = state[f"{block}conv1.weight"].abs().sum((1, 2, 3)) * gain.abs()
        read = state[f"{block}conv2.weight"].abs().sum((0, 2, 3))
        kept = (made * read).argsort(descending=True)[:inside].sort().values
        for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
            state[block + name] = state[block + name][kept]
        state[f"{block}conv2.weight"] = state[f"{block}conv2.weight"][:, kept]
    return state
