"""Runs the commands of the documents as they stand, in a home directory and a working directory of their own.

    python -m tests.documents [PAGE …]

PAGE: a document, by default all. Needs port 5003, bash, curl, node and redis-cli, and takes about two minutes. A test
runs the first steps, `tests.integration.proxies` the proxies. What is not run says why in `NOT_RUN`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import insightface

from compose.demo import SHOTS, make_video
from schemas.client import AnalyzeRequest, Client
from tests.test_readmes import BLOCK, PAGES, ROOT
from tests.waiting import eventually

FIRST_STEPS = "compose/docs/first-steps.md"
NOT_RUN = {
    r"make \w": "installs, or takes minutes; CI runs make test",
    r"pip install": "installs; tests/schemas/test_client_wheel.py and tests.install do",
    r"-m tests\.|-m pytest": "a command of its own: minutes, footage or a browser",
    r"-m models\.": "needs torch and labelled material",
    r"docker|kubectl|-m compose\.acl": "needs Docker, a cluster, or a server with users",
    r"-m consumers|faces migrate": "needs a Redis server of one's own; tests/compose starts both",
    r"redis-cli -u|cp -rT|rm -rf": "tests/compose/test_runbook.py performs the backup",
    r"examples/receiver\.py": "runs until it is stopped; tests/integration/test_client.py starts it",
    r"faces\.example\.com|http://NAS": "needs that host",
    r"INSIGHTFACE_MODEL=auraface": "needs that pack; tests/facecore loads one of the same kind",
    r"models fetch": "tests/models fetches",
    r"\$ID": "needs the answer of the command before; tests/api/test_uploads.py does it",
}
"""Commands, by what they contain, that this program does not run, and why."""
UP = re.compile(r"\bfaces up\b")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", type=lambda name: ROOT / name, metavar="PAGE")
    pages = parser.parse_args().pages or [page for page in PAGES if shown(page) != FIRST_STEPS]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="faces-documents-") as made:
        world = World(Path(made))
        try:
            for page in pages:
                for number, block in enumerate(sh_blocks(page)):
                    if lines := [line for line in logical_lines(block) if why_not_run(line) is None]:
                        failed += not world.run(f"{shown(page)} {number}", lines)
        finally:
            world.close()
    print(f"{failed} blocks failed" if failed else "all blocks ran")
    sys.exit(bool(failed))


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def sh_blocks(page: Path) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if name == "sh"]


def logical_lines(block: str) -> Iterator[str]:
    """The commands of a block, continued lines joined."""
    return (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())


def why_not_run(line: str) -> str | None:
    command = re.sub(r"\s#.*", "", line)
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, command)), None)


class World:
    """A directory with films under the names of the documents, and a service that knows two of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{folder / 'client'}",
            "INSIGHTFACE_MODELS_CACHE": str(Path("~/.insightface").expanduser()),
            "COLUMNS": "200",
        }
        self._lay_out()
        self.service = self._started("faces up")
        with Client() as client:
            for number, film in enumerate(("demo/six-people.mp4", "second.mp4"), 1):
                request = AnalyzeRequest(video_path=str(folder / film), job_id=f"film-{number}")
                client.submit(request)
                assert client.ended(f"film-{number}").status == "completed"
            people = [one.person_id for one in client.library("home").people()]
            first = next(face for face in client.result("film-2").faces if face.person_id == people[0])
        self._names = {
            "/media/": f"{folder}/media/",
            "JOB_ID": "film-1",
            "local-5d1a-1/face_2": f"film-2/{first.face_id}",
            **{f"person-1790000000000-0-{number}": person for number, person in enumerate(people)},
        }

    def _lay_out(self) -> None:
        for name in ("home", "demo", "footage", "more/day 1", "media"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / ".venv").symlink_to(Path(sys.prefix))
        (self.folder / "schemas").symlink_to(ROOT / "schemas")
        photograph = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
        make_video(photograph, self.folder / "demo" / "six-people.mp4")
        make_video(photograph, self.folder / "second.mp4", SHOTS[::5])
        for name in (
            "video.mp4",
            "other.mkv",
            "footage/a.mp4",
            "more/day 1/b.mkv",
            "media/film.mp4",
            "media/other.mp4",
            "film.mp4",
        ):
            shutil.copy(self.folder / "second.mp4", self.folder / name)
        for name in ("who.jpg", "photograph.jpg"):
            shutil.copy(photograph, self.folder / name)
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(self.folder / "client"))
        subprocess.run([sys.executable, *install, str(ROOT / "schemas" / "client")], check=True)

    def run(self, name: str, lines: list[str]) -> bool:
        """Runs the commands of a block and says how it went."""
        began = time.monotonic()
        errors = [
            error for line in lines if (error := self._up(line) if UP.search(line) else self._bash(line))
        ]
        verdict = f"{'FAILED' if errors else 'ok':<7}{time.monotonic() - began:5.1f} s  {name}"
        print(verdict, *errors, sep="\n", flush=True)
        return not errors

    def _bash(self, line: str) -> str:
        """Runs a command in which ids and places are those of this world; returns what went wrong."""
        for name, real in self._names.items():
            line = line.replace(name, real)
        curl = 'curl() { command curl -sS --fail-with-body "$@"; }; set -o pipefail;'
        done = subprocess.run(
            ["bash", "-ec", f"{curl} {line}"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return (
            ""
            if done.returncode == 0
            else f"{line}\n{done.returncode}: {done.stdout[-500:]}{done.stderr[-1500:]}"
        )

    def _up(self, line: str) -> str:
        """Starts a service beside the one that runs, and stops it; returns what went wrong."""
        data = re.search(r"--data \S+", line)
        if data is None:
            return ""  # that one runs
        service = self._started(re.sub(r"\s#.*", "", line))
        return self._bash(f"faces down {data[0]}") or (
            f"it ended with {status}" if (status := service.wait(60)) else ""
        )

    def _started(self, command: str) -> subprocess.Popen[bytes]:
        log = self.folder / "up.log"
        with log.open("wb") as to:
            service = subprocess.Popen(
                ["bash", "-ec", f"exec {command}"], cwd=self.folder, env=self.environment, stderr=to
            )
        eventually(lambda: "ready:" in log.read_text() or service.poll() is not None)
        assert service.poll() is None, f"{command}: {log.read_text()}"
        return service

    def close(self) -> None:
        self.service.terminate()
        self.service.wait(60)


if __name__ == "__main__":
    main()
