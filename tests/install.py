"""Installs the wheel with plain pip into empty environments and uses it as a new user does.

    python -m tests.install [PYTHON …]

PYTHON: interpreters, by default this one. For each: ``pip install``, ``faces --version``, ``faces analyze`` of a film
of six people, ``faces up`` and the same film by the client. Needs a package index and takes about two minutes each,
of which 60 s are processor time. CI runs it beside the tests.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMIT = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    "FACES_COMMIT": subprocess.run(COMMIT, capture_output=True, text=True, check=False).stdout.strip(),
}
"""With PYTHONPATH, pip would find the checkout and not install the wheel."""

CLIENT = r"""
import sys
from schemas.client import AnalyzeRequest, Client, SearchRequest
with Client(sys.argv[1]) as client:
    job = client.submit(AnalyzeRequest(video_path=sys.argv[2]))
    client.ended(job.job_id)
    print(len(client.result(job.job_id).faces))
    friends = client.collection("friends")
    enrolled = [friends.enrol(job.job_id, f"face_{n}", f"person {n}") for n in range(2)]
    found = friends.search(SearchRequest(job_id=job.job_id, face_id="face_1", limit=1)).matches
    assert [one.label for one in found] == ["person 1"], found
    assert [one.label for one in friends.people()] == ["person 0", "person 1"]
    assert friends.thumbnail(enrolled[0].face_id).startswith(b"\xff\xd8")
    assert friends.search_photograph(client.thumbnail(job.job_id, "face_0")).searched == 2
    assert friends.rename(enrolled[0].person_id, "Ada").label == "Ada"
    friends.erase(enrolled[0].person_id)
    friends.delete()
    assert client.collections() == []
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interpreters", nargs="*", metavar="PYTHON")
    interpreters = parser.parse_args().interpreters
    with tempfile.TemporaryDirectory(prefix="faces-install-") as made:
        work = Path(made)
        ENVIRONMENT["FACES_DATA"] = str(work / "data")  # the library of who runs this stays as it is
        film = work / "six-people.mp4"
        run(sys.executable, "-m", "compose.demo", film, cwd=ROOT)
        copy = work / "source"  # a build writes into its source, where tests may run
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "demo", "tests", "__pycache__")
        )
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work, copy)
        (wheel,) = work.glob("*.whl")
        for interpreter in interpreters or [sys.executable]:
            try_out(interpreter, wheel, film, work)


def try_out(interpreter: str, wheel: Path, film: Path, work: Path) -> None:
    environment = work / "environment"
    shutil.rmtree(environment, ignore_errors=True)
    began = time.monotonic()
    run(interpreter, "-m", "venv", environment)
    binaries = environment / "bin"
    run(binaries / "python", "-m", "pip", "install", "--quiet", f"{wheel}[cpu]")
    print(f"{interpreter}: installed in {time.monotonic() - began:.0f} s", flush=True)
    version = run(binaries / "faces", "--version").strip()
    assert ENVIRONMENT["FACES_COMMIT"] in version, version
    print(version)
    printed = run(binaries / "faces", "analyze", film)
    assert "6 people" in printed, printed
    print("faces analyze: 6 people")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [str(binaries / "faces"), "up", "--port", port, "--data", str(work / f"data-{port}")]
    with subprocess.Popen(command, cwd=work, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        try:
            next(line for line in service.stderr if "ready: http" in line)
            found = run(binaries / "python", "-c", CLIENT, f"http://127.0.0.1:{port}", film)
        finally:
            service.terminate()
    assert found.strip() == "6", found
    print("faces up and the client: 6 people")


def run(*command: str | Path, cwd: Path = Path("/")) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
