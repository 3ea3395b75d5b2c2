"""The network and its export, where torch is installed (extra ``models``)."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is in the extra models")

import onnx  # noqa: E402

from models.occlusion.export import difference, exported  # noqa: E402
from models.occlusion.network import STAGES, ResNet18, pruned  # noqa: E402


def network() -> ResNet18:
    """Random weights, and normalisations that have seen something."""
    torch.manual_seed(3)
    made = ResNet18()
    made.train()
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
        for _ in range(3):
            made(torch.randn(8, 3, 64, 64))
    return made.eval()


@pytest.mark.parametrize("side", [224, 112])
@pytest.mark.parametrize(("quantised", "most", "size"), [(False, 5e-4, 45e6), (True, 0.02, 11.5e6)])
def test_the_export_equals_the_network(
    tmp_path: Path, quantised: bool, most: float, size: float, side: int
) -> None:
    made, file = network(), tmp_path / "made.onnx"
    onnx.save(exported(made, quantised, side), file)
    assert difference(made, file, side) < most
    assert file.stat().st_size < size


def test_pruning_takes_the_channels_that_change_nothing() -> None:
    """The weights of a network whose last blocks have more channels inside, which are read with the weight 0."""
    made = network()
    narrow = made.state_dict()
    wide, order = dict(narrow), torch.randperm(512)
    for block in ("stages.6.", "stages.7."):
        for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
            values = narrow[block + name]
            extra = torch.rand(512 - STAGES[-1][1], *values.shape[1:]) + 0.5
            wide[block + name] = torch.cat([values, extra])[order]
        read = narrow[f"{block}conv2.weight"]
        zeros = torch.zeros(read.shape[0], 512 - read.shape[1], 3, 3)
        wide[f"{block}conv2.weight"] = torch.cat([read, zeros], dim=1)[:, order]
    again = ResNet18().eval()
    again.load_state_dict(pruned(wide))
    pictures = torch.randn(4, 3, 112, 112)
    with torch.no_grad():
        assert torch.allclose(again(pictures), made(pictures), atol=1e-4)
    assert all(torch.equal(value, narrow[name]) for name, value in pruned(narrow).items())
