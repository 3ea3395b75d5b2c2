"""Renders the picture of the report page in README.md: ``python -m tests.browser.picture``.

The film is made of two photographs that may be shown: Eileen Collins by NASA (scikit-image ships it as ``astronaut``)
and Grace Hopper by the U.S. Navy (matplotlib ships it as sample data), both in the public domain. It needs Chromium
and the environment of ``make bench``, which has matplotlib.
"""

import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from compose.demo import Shot, make_video
from facecore.video.picture import Image
from tests.browser.conftest import FLAGS

PICTURE = Path(__file__).parents[2] / "api" / "pages" / "report.webp"
WIDTH, HEIGHT = 1000, 695
PHOTOGRAPH_HEIGHT = 512
COLLINS = files("skimage") / "data" / "astronaut.png"
HOPPER = files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
BOTH: Shot = ((0.00, 0.00, 1.00), (0.02, 0.00, 0.95))
LEFT: Shot = ((0.00, 0.00, 0.55), (0.02, 0.00, 0.52))
RIGHT: Shot = ((0.50, 0.07, 0.50), (0.52, 0.07, 0.47))
SHOTS = (LEFT, BOTH, RIGHT, RIGHT, BOTH, LEFT, RIGHT, LEFT, LEFT)
"""Collins stands on the left, Hopper on the right."""


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        film, page = folder / "two-pioneers.mp4", folder / "page.html"
        cv2.imwrite(str(folder / "both.png"), _side_by_side())
        make_video(folder / "both.png", film, SHOTS)
        command = ["-m", "compose.cli", "analyze", film, "--report", page, "--data", folder / "data"]
        command += ["--set", "sampling_interval=1.0", "--set", "detect_demographics=false"]
        subprocess.run([sys.executable, *command], check=True)
        page.write_text(page.read_text().replace(f"{folder}/", "/media/"))  # no path of this machine
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            tab.goto(page.as_uri())
            tab.locator("#gallery img").first.wait_for()
            screenshot = np.frombuffer(tab.screenshot(), np.uint8)
            browser.close()
    cv2.imwrite(str(PICTURE), cv2.imdecode(screenshot, cv2.IMREAD_COLOR), [cv2.IMWRITE_WEBP_QUALITY, 92])


def _side_by_side() -> Image:
    photographs = [cast("Image", cv2.imread(str(path))) for path in (COLLINS, HOPPER)]
    return np.hstack([_scaled(photograph) for photograph in photographs])


def _scaled(photograph: Image) -> Image:
    height, width = photograph.shape[:2]
    size = (round(width * PHOTOGRAPH_HEIGHT / height), PHOTOGRAPH_HEIGHT)
    return cast("Image", cv2.resize(photograph, size, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    main()
