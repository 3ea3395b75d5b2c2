"""One distribution provides each of the imports that several could, and it is whole."""

from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import pytest

from facecore import device
from facecore.errors import DeviceUnavailable


def test_two_that_overwrite_each_other_are_named_with_the_command_that_repairs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device.check_distributions()

    def both(name: str) -> None:
        if name not in ("opencv-python", "opencv-python-headless", "onnxruntime"):
            raise PackageNotFoundError

    monkeypatch.setattr(device, "distribution", both)
    with pytest.raises(
        DeviceUnavailable, match=r"exactly one .* Run: pip uninstall --yes opencv-python-headless"
    ):
        device.check_distributions()


def test_what_the_removal_of_the_other_one_left_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None if name == "cv2" else find_spec(name))
    repair = "pip install --force-reinstall --no-deps opencv-python-headless"
    with pytest.raises(DeviceUnavailable, match=rf"Files of .* are missing.* Run: {repair}"):
        device.check_distributions()
