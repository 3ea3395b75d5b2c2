"""The distribution of the client: it contains the modules that the client imports, and no others."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from schemas.client.backend import PACKAGE, build_wheel

LIST_MODULES = f"""
import sys, {PACKAGE}
for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "{PACKAGE}"]:
    print(module.__file__.partition(".whl/")[2])
"""


def test_the_wheel_contains_exactly_the_modules_that_the_client_imports(tmp_path: Path) -> None:
    wheel = tmp_path / build_wheel(str(tmp_path))
    loaded = subprocess.run(
        [sys.executable, "-c", LIST_MODULES],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(wheel)},
    ).stdout.split()  # fmt: skip
    contained = {name for name in ZipFile(wheel).namelist() if name.endswith(".py")}
    assert contained == set(loaded)
