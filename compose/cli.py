"""The ``faces`` command."""

import argparse
import math
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import argcomplete
import msgspec
from argcomplete.shell_integration import shellcode

from compose.failures import Failures
from schemas.topology import PROCESSES


def main() -> int:
    """Parses the command line and runs the command; the exit status."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next
        argcomplete.autocomplete(parser)
    arguments = parser.parse_args()
    sys.excepthook = Failures(arguments.command, arguments.verbose)
    status: int = arguments.run(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="faces", description="Finds the people in videos.")
    parser.add_argument("--version", action="version", version=f"faces {version('faces')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--verbose", action="store_true", help="show the whole trace of an error")
    readable = argparse.ArgumentParser(add_help=False, parents=[common])
    readable.add_argument("--json", action="store_true", help="answer in JSON")

    up = commands.add_parser("up", help="run the whole service on this machine", parents=[common])
    up.add_argument("--host", default="127.0.0.1", help="address of the API (default %(default)s)")
    up.add_argument("--port", type=int, default=5003, help="port of the API (default %(default)s)")
    up.add_argument(
        "--data", type=Path, default=Path("~/.local/share/faces").expanduser(), metavar="DIR",
        help="where the embedded server keeps its data (default %(default)s); REDIS_URL uses another server",
    )  # fmt: skip
    up.add_argument(
        "--server-port",
        type=int,
        default=0,
        metavar="N",
        help="port of the embedded server (default: a free one)",
    )
    up.add_argument(
        "--scale", type=_scale, default={}, metavar="TYPE=N,…", help="processes of a type: analyze=2,frames=2"
    )
    up.add_argument(
        "--insecure", action="store_true", help="listen to other machines without asking for keys"
    )
    up.set_defaults(run=_up)

    analyze = commands.add_parser("analyze", help="find the people in videos, here and now")
    analyze.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a video, a picture, a folder or a pattern"
    )
    analyze.add_argument(
        "--set", action="append", default=[], type=_assignment, metavar="NAME=VALUE", dest="parameters",
        help="a parameter of the request, nested names with dots: enhancement.enabled=true",
    )  # fmt: skip
    analyze.add_argument(
        "--out", metavar="FILE", help="write the results as JSON; DIR/: a file for each source"
    )
    analyze.add_argument(
        "--report", metavar="FILE", help="write a page with the people; DIR/: one for each source"
    )
    analyze.add_argument(
        "--csv", type=Path, metavar="FILE", help="write a table with a row for each detection"
    )
    analyze.add_argument(
        "--parquet", type=Path, metavar="FILE", help="write the same table as Parquet (extra parquet)"
    )
    analyze.add_argument("--json", action="store_true", help="print a line of JSON for each source")
    analyze.add_argument(
        "--resume", action="store_true",
        help="skip sources whose files in --out DIR/ are complete and younger, whatever the parameters were",
    )  # fmt: skip
    analyze.add_argument(
        "--verbose", action="store_true", help="show what the stages log, and the whole trace of an error"
    )
    analyze.set_defaults(run=_analyze)

    jobs = commands.add_parser("jobs", help="the jobs on the server of REDIS_URL")
    actions = jobs.add_subparsers(required=True, metavar="ACTION")
    for action, told in (
        ("list", "the latest first"), ("show", "state and result"), ("again", "the same request as a new job"),
        ("cancel", "stop the work"),
        ("delete", "forget what has ended"),
    ):  # fmt: skip
        command = actions.add_parser(action, help=told, parents=[readable])
        if action == "list":
            command.add_argument("--limit", type=int, default=50, metavar="N")
        else:
            command.add_argument("jobs", nargs="+", metavar="JOB_ID")
        command.set_defaults(run=_jobs, action=action)

    dead = commands.add_parser("dead", help="messages that were given up, on the server of REDIS_URL")
    actions = dead.add_subparsers(required=True, metavar="ACTION")
    for action, told in (
        ("list", "oldest first"), ("show", "all that is known of a letter"), ("replay", "send again"),
        ("drop", "delete for good"),
    ):  # fmt: skip
        command = actions.add_parser(action, help=told, parents=[readable])
        command.add_argument("--reason", metavar="TEXT", help="letters whose reason contains this")
        if action != "list":
            command.add_argument("letters", nargs="*", metavar="LETTER")
            command.add_argument("--all", action="store_true")
        command.set_defaults(run=_dead, action=action)

    keys = commands.add_parser("keys", help="who may use the API, on the server of REDIS_URL")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it, this once", parents=[readable])
    create.add_argument("name", metavar="NAME")
    create.add_argument(
        "--scope", action="append", choices=("submit", "read", "admin"), dest="scopes",
        help="may be given several times (default: submit and read); admin may do everything",
    )  # fmt: skip
    revoke = actions.add_parser("revoke", help="the key is refused from now on", parents=[readable])
    revoke.add_argument("name", metavar="NAME")
    listing = actions.add_parser("list", help="names and scopes", parents=[readable])
    for action, command in (("create", create), ("revoke", revoke), ("list", listing)):
        command.set_defaults(run=_keys, action=action)

    load = commands.add_parser("plan", help="how many workers of each stage a load needs", parents=[readable])
    load.add_argument("--jobs-per-hour", type=_positive, required=True, metavar="N")
    load.add_argument("--minutes", type=_positive, required=True, metavar="M", help="length of a film")
    load.add_argument(
        "--interval", type=_positive, default=2.0, metavar="S", help="seconds between samples (default 2)"
    )
    load.add_argument(
        "--faces", type=float, default=2.0, metavar="N", help="in a frame, on average (default 2)"
    )
    load.add_argument(
        "--arrivals", choices=("steady", "poisson", "burst"), default="poisson",
        help="evenly, at random (default), or those of an hour all at once",
    )  # fmt: skip
    load.add_argument(
        "--gpu", type=_positive, metavar="FPS",
        help="frames/s of an analyze worker on its GPU, as python -m tests.bench.gpu measures it",
    )  # fmt: skip
    load.add_argument(
        "--cores", type=_positive, default=2.0, metavar="N", help="of an analyze worker (default 2)"
    )
    load.add_argument(
        "--within", type=_positive, default=4.0, metavar="TIMES",
        help="95 in 100 jobs take at most so many times as long as one alone (default 4)",
    )  # fmt: skip
    load.add_argument(
        "--times", type=Path, metavar="FILE", help="service times of python -m tests.bench.service_times"
    )
    load.set_defaults(run=_plan)

    doctor = commands.add_parser(
        "doctor",
        help="is all there that the service needs, and how do its queues stand",
        parents=[readable],
    )
    doctor.set_defaults(run=_doctor)

    models = commands.add_parser("models", help="the model packs on this machine")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    for action, told in (
        ("list", "what there is"),
        ("fetch", "bring a pack here"),
        ("verify", "check the files"),
    ):
        command = actions.add_parser(action, help=told, parents=[readable])
        if action != "list":
            command.add_argument("pack", nargs="?", help="default: the one INSIGHTFACE_MODEL names")
        command.set_defaults(run=_models, action=action)

    completion = commands.add_parser(
        "completion",
        parents=[common],
        help="what a shell needs to complete this command: eval it, or keep it",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    completion.set_defaults(run=_completion)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    from compose.launcher import UpOptions, up

    return up(
        UpOptions(
            arguments.host,
            arguments.port,
            arguments.data,
            arguments.server_port,
            arguments.scale,
            arguments.insecure,
        )
    )


def _analyze(arguments: argparse.Namespace) -> int:
    from compose.commands.analyze import analyze
    from compose.outputs import Wanted

    parameters: dict[str, Any] = {}
    for path, value in arguments.parameters:
        *parents, last = path.split(".")
        within = parameters
        for parent in parents:
            within = within.setdefault(parent, {})
        within[last] = value
    wanted = Wanted(
        out=arguments.out,
        report=arguments.report,
        csv=arguments.csv,
        parquet=arguments.parquet,
        json=arguments.json,
        resume=arguments.resume,
    )
    return analyze(arguments.sources, parameters, wanted, arguments.verbose)


def _jobs(arguments: argparse.Namespace) -> int:
    from compose.commands.jobs import run

    if arguments.action == "list":
        return run("list", (), arguments.limit, arguments.json)
    return run(arguments.action, arguments.jobs, 0, arguments.json)


def _plan(arguments: argparse.Namespace) -> int:
    from compose.commands import plan
    from compose.simulation import Film

    film = Film(minutes=arguments.minutes, interval=arguments.interval, faces=arguments.faces)
    load = plan.Load(jobs_per_hour=arguments.jobs_per_hour, film=film, arrivals=arguments.arrivals)
    return plan.run(
        load,
        arguments.times or plan.TIMES,
        arguments.gpu,
        {"frames": 1.0, "analyze": 1.0 if arguments.gpu else arguments.cores, "finalize": 1.0},
        arguments.within,
        arguments.json,
    )


def _dead(arguments: argparse.Namespace) -> int:
    from compose.commands.dead import run

    if arguments.action == "list":
        return run("list", (), arguments.reason, False, arguments.json)
    return run(arguments.action, arguments.letters, arguments.reason, arguments.all, arguments.json)


def _keys(arguments: argparse.Namespace) -> int:
    from compose.commands.keys import run

    scopes = getattr(arguments, "scopes", None)
    return run(arguments.action, getattr(arguments, "name", ""), scopes, arguments.json)


def _doctor(arguments: argparse.Namespace) -> int:
    from compose.commands.doctor import run

    return run(arguments.json)


def _models(arguments: argparse.Namespace) -> int:
    from compose.commands.models import run

    return run(arguments.action, getattr(arguments, "pack", None), arguments.json)


def _completion(arguments: argparse.Namespace) -> int:
    sys.stdout.write(shellcode(["faces"], shell=arguments.shell))
    return 0


def _scale(text: str) -> dict[str, int]:
    scale = {}
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in PROCESSES or not count.isdigit():
            raise argparse.ArgumentTypeError(f"{part!r} is not TYPE=N with TYPE {', '.join(PROCESSES)}")
        scale[name] = int(count)
    return scale


def _positive(text: str) -> float:
    value = float(text)
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _assignment(text: str) -> tuple[str, Any]:
    """``name=value``; the value is JSON where it can be read as such, else a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
