"""The network and its export, where torch is installed (extra ``models``)."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is in the extra models")

import onnx  # noqa: E402

from models.occlusion.export import difference, exported  # noqa: E402
from models.occlusion.network import ResNet18  # noqa: E402


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


@pytest.mark.parametrize("side", [224, 160])
@pytest.mark.parametrize(("quantised", "most", "size"), [(False, 5e-4, 45e6), (True, 0.02, 11.5e6)])
def test_the_export_equals_the_network(
    tmp_path: Path, quantised: bool, most: float, size: float, side: int
) -> None:
    made, file = network(), tmp_path / "made.onnx"
    onnx.save(exported(made, quantised, side), file)
    assert difference(made, file, side) < most
    assert file.stat().st_size < size
