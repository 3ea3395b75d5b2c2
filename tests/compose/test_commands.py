"""The command line as a whole: every command takes what its parser gives, and none is slow to parse."""

import argparse
import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest

from compose.cli import build_parser

SLOW = {"aiohttp", "av", "cv2", "facecore", "insightface", "numpy", "onnxruntime", "redis", "rich", "scipy"}


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers that run something."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not actions:
        yield parser
    for action in actions:
        for child in action.choices.values():
            yield from leaves(child)


@pytest.mark.parametrize("parser", list(leaves(build_parser())), ids=lambda parser: parser.prog)
def test_a_command_takes_the_arguments_that_its_parser_gives(parser: argparse.ArgumentParser) -> None:
    given = {action.dest for action in parser._actions} | parser._defaults.keys()
    unused = given - inspect.signature(parser.get_default("run")).parameters.keys()
    assert unused <= {"help", "run", "verbose", "action"}
    assert inspect.signature(parser.get_default("run")).parameters.keys() <= given


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["completion", "bash"], ["jobs", "show"], ["up", "--scale", "x"], ["config"],
        ["status", "--data", "/nowhere"], ["analyze", "/nope.mp4", "--set", "max_face=1", "--out", "no/such"],
    ],
)  # fmt: skip
def test_help_completion_and_mistakes_import_nothing_slow(arguments: list[str]) -> None:
    """Shells start the command at every press of the tab key; a mistake is named at once."""
    code = (
        "import atexit, sys\nfrom compose.cli import main\n"
        "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}))\n"
        f"sys.argv = ['faces', *{arguments}]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "argparse" in loaded and not loaded & (SLOW - {"rich"} if "analyze" in arguments else SLOW)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analyse"], "faces: error: argument COMMAND: invalid choice: 'analyse'|did you mean analyze?"),
        (["jobs", "lst"], "usage: faces jobs|did you mean list?|faces jobs --help explains the options."),
        (
            ["analyze", "a.mp4", "--repport", "x"],
            "usage: faces analyze|did you mean --report?|faces analyze --help",
        ),
        (
            ["jobs", "list", "--limit", "-1"],
            "'-1' is not a whole number from 1|usage: faces jobs list|faces jobs list --help explains the options.",
        ),
    ],
)
def test_a_mistake_shows_the_usage_of_its_command(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(arguments)
    printed = capsys.readouterr().err
    assert ended.value.code == 2 and all(part in printed for part in said.split("|")), printed
