"""A server that knows the users of the recipe (compose.acl), and an administrator to look at it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from compose.acl import ROLES, users
from compose.server import free_port
from tests.waiting import eventually

PASSWORDS = {name: f"{name}-secret" for name in ROLES}


@contextmanager
def server_with_users(program: str, folder: Path, *, redis6: bool = False) -> Iterator[int]:
    """Runs the server; yields its port."""
    port = free_port()
    (folder / "users.acl").write_text(users(PASSWORDS, redis6=redis6) + "user root on >root ~* &* +@all\n")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
         "--aclfile", str(folder / "users.acl"), "--loglevel", "warning"],
    )  # fmt: skip

    def answers() -> bool:
        assert process.poll() is None
        try:
            with as_user(port, "root") as root:
                return bool(root.ping())
        except redis.ConnectionError:
            return False

    try:
        eventually(answers)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def as_user(port: int, name: str) -> "redis.Redis":
    """A client with the rights of a role, or of the administrator (``root``)."""
    user, password = ("root", "root") if name == "root" else (f"faces-{name}", PASSWORDS[name])
    return redis.Redis(port=port, username=user, password=password, driver_info=None)
