"""Texts without secrets: the credentials and queries of URLs, keys, secrets; logs in both formats."""

import json
import logging
import time

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from schemas.logs import configure_logs
from schemas.redaction import MAX_TEXT_LENGTH, redact
from schemas.settings import Settings, SettingsError

PASSWORD, TOKEN = "pa-ss-w0rd-17", "t0ken-4711-abcdefghij"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"redis://:{PASSWORD}@h:6379/0", "redis://***@h:6379/0"),
        (f"rediss://user:{PASSWORD}@h", "rediss://***@h"),
        (f"redis://user:{PASSWORD}/@x@h/1", "redis://***@h/1"),
        (f"the server at unix://u:{PASSWORD}@/run/s.sock fails", "the server at unix://***@/run/s.sock fails"),
        (f"https://h/film.mp4?sig={TOKEN}&a=1 failed", "https://h/film.mp4?*** failed"),
        (f"https://u:{PASSWORD}@h/a?b={TOKEN}#c", "https://***@h/a?***"),
        (f"whsec_{TOKEN}==", "whsec_***"), (f"key faces_root.{TOKEN}.", "key faces_root.***."),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        ("job faces-0a1b of /media/a?b.mp4 at 10:00", "job faces-0a1b of /media/a?b.mp4 at 10:00"),
        ("http://127.0.0.1:5003/faces/health", "http://127.0.0.1:5003/faces/health"),
    ],
)  # fmt: skip
def test_a_text_shows_no_secret(text: str, expected: str) -> None:
    assert redact(text) == expected


@given(st.text("/?#:ab.%", max_size=40))
def test_no_form_of_a_password_is_shown(rest: str) -> None:
    assert PASSWORD not in redact(f"cannot reach redis://u{rest}:{PASSWORD}{rest}@host/0: refused")


@pytest.mark.parametrize("unit", ["://", "a", "://a?", "faces_", "Bearer ", "@", "whsec_"])
def test_long_texts_take_no_time(unit: str) -> None:
    began = time.process_time()
    assert len(redact(unit * (1 << 20))) < 2 * MAX_TEXT_LENGTH
    assert time.process_time() - began < 5


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_logs_show_no_secret_and_no_variables(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configured = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    redis_url, key = f"redis://:{PASSWORD}@h/0", f"faces_root.{TOKEN}"

    def fail() -> None:
        secret = PASSWORD  # noqa: F841 - a variable that a traceback could show
        raise ValueError(f"cannot use {redis_url}")

    try:
        configure_logs(Settings.from_env({"LOG_FORMAT": log_format}))
        log = structlog.get_logger()
        log.warning("x", url=redis_url, key=key, headers=f"Bearer {TOKEN}", fine="plain")
        try:
            fail()
        except ValueError:
            log.exception("request failed", text="y" * (1 << 20))
            logging.getLogger("aiohttp.server").exception("of %s", redis_url)
    finally:
        structlog.configure(**configured)
        logging.basicConfig(handlers=handlers, level=level, force=True)
    printed = capsys.readouterr().err
    assert PASSWORD not in printed and TOKEN not in printed
    assert printed.count("ValueError: cannot use redis://***@h/0") == 2 and "plain" in printed
    assert max(map(len, printed.splitlines())) < 3 * MAX_TEXT_LENGTH
    if log_format == "json":
        assert len([json.loads(line) for line in printed.splitlines()]) == 3


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD[:2]}/{PASSWORD}@h:6379",
        f"redis://:/{PASSWORD}@h",
        f"rediss://#{PASSWORD}@h",
        f"redis://h:{PASSWORD}",
        PASSWORD,
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL") as refused:
        Settings.from_env({"REDIS_URL": url})
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost", "localhost:6379", "redis:localhost", "redis://", "redis:///0", "redis://h/db", "redis://h/0/1",
        "redis://h:0", " redis://h", "unix://", "unix://h", "http://h:6379",
    ],
)  # fmt: skip
def test_an_address_without_scheme_host_or_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_URL: expected redis://"):
        Settings.from_env({"REDIS_URL": url})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FRAME_SERVER_URL", "frame-server:5001"), ("FRAME_SERVER_URL", "ftp://frame-server"),
        ("FRAME_SERVER_URL", "http://:5001"), ("FRAME_SERVER_URL", "http://h:70000"),
        ("FACES_CORS_ORIGINS", "localhost:5020"), ("FACES_CORS_ORIGINS", "http://a, http://b/page"),
    ],
)  # fmt: skip
def test_an_address_that_can_never_match_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: "):
        Settings.from_env({name: value})


def test_origins_are_compared_as_browsers_send_them() -> None:
    listed = "HTTP://LocalHost:5020/,chrome-extension://abc,null,*"
    origins = Settings.from_env({"FACES_CORS_ORIGINS": listed}).origins
    assert origins == ("http://localhost:5020", "chrome-extension://abc", "null", "*")


@pytest.mark.parametrize(
    "url",
    ["redis://h", "redis://h/", "rediss://u:p@h:6380/3", "redis://[::1]:6379/0", "unix:///run/redis.sock"],
)
def test_addresses_of_servers(url: str) -> None:
    assert Settings.from_env({"REDIS_URL": url}).redis_url == url
