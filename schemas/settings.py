"""Settings, read once at start: from environment variables, else from the configuration file."""

import ipaddress
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, field

from schemas import config_file
from schemas.cgroups import memory_limit, usable_cores
from schemas.names import CALLER, LIBRARY, PUBLISHED
from schemas.schema_errors import unknown_name

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0.0)]

ENVIRONMENT = "environment"
"""Origin of a value that an environment variable holds."""
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@]+|null|\*")
"""Origins as browsers send them; extensions have schemes of their own."""
WEIGHT = re.compile(r"(?=.*[1-9])(\d{1,2}(\.\d{1,2})?|100(\.0{1,2})?)")
"""Weights of FACES_SHARES, 0.01 to 100."""
DEFAULT_MEMORY_BYTES, MEMORY_SHARE = 8 << 30, 0.875
"""Default of FACES_MAX_MEMORY, and the share of a smaller limit of the container: the rest is for memory that
RLIMIT_DATA does not count, such as libraries and the page cache."""


class SettingsError(ValueError):
    """A setting has an invalid value; the text names it."""


class Given(NamedTuple):
    """A value that is not the default.

    Attributes:
        origin: ``environment``, or the path of the file.
    """

    value: Any
    origin: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of all processes; each field is the environment variable, or the entry of the file, named beside
    it."""

    # The server
    redis_url: str = field(default="redis://localhost:6379/0", name="REDIS_URL")
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.{}-]{1,64}$")] = field(
        default="faces", name="FACES_PREFIX"
    )
    partitions: Annotated[int, Meta(ge=1, le=1024)] = field(default=1, name="FACES_PARTITIONS")
    cache_ttl: Annotated[int, Meta(ge=1)] = field(default=3600, name="CACHE_TTL")

    # The API
    host: str = field(default="127.0.0.1", name="FACES_HOST")
    port: Annotated[int, Meta(ge=0, le=65535)] = field(default=5003, name="FACES_PORT")
    auth: Literal["auto", "required", "off"] = field(default="auto", name="FACES_AUTH")
    max_body_bytes: Positive = field(default=8 << 20, name="FACES_MAX_BODY_BYTES")
    max_requests: Positive = field(default=1000, name="FACES_MAX_REQUESTS")
    rate: Annotated[float, Meta(ge=0.0)] = field(default=0.0, name="FACES_RATE")
    api_hosts: str = field(default="", name="FACES_API_HOSTS")
    cors_origins: str = field(default="", name="FACES_CORS_ORIGINS")
    callback_hosts: str = field(default="", name="FACES_CALLBACK_HOSTS")
    webhook_secret: str = field(default="", name="FACES_WEBHOOK_SECRET")
    library_callback: str = field(default="", name="FACES_LIBRARY_CALLBACK")
    serve_media: bool = field(default=True, name="FACES_SERVE_MEDIA")
    upload_directory: str = field(default="", name="FACES_UPLOAD_DIRECTORY")
    max_upload_bytes: Annotated[int, Meta(ge=0)] = field(default=8 << 30, name="FACES_MAX_UPLOAD_BYTES")
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = field(default=0, name="FACES_METRICS_PORT")

    # Models
    pack: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = field(
        default="open", name="INSIGHTFACE_MODEL"
    )
    device: Literal["auto", "cpu", "cuda"] = field(default="auto", name="INSIGHTFACE_DEVICE")
    tensorrt: Literal["off", "fp32", "fp16"] = field(default="off", name="INSIGHTFACE_TENSORRT")
    models_cache: str = field(default="~/.insightface", name="INSIGHTFACE_MODELS_CACHE")
    engines_cache: str = field(default="~/.insightface/engines", name="INSIGHTFACE_ENGINES_CACHE")
    threads: Annotated[int, Meta(ge=0)] = field(default=0, name="FACES_THREADS")
    batch: Positive = field(default=8, name="FACES_BATCH")

    # Defaults of requests
    min_confidence: Fraction | None = field(default=None, name="FACES_MIN_CONFIDENCE")
    min_quality: Fraction = field(default=0.0, name="FACES_MIN_QUALITY")
    quality_trigger: Fraction = field(default=0.5, name="FACES_ENHANCEMENT_QUALITY_TRIGGER")
    library: Annotated[str, Meta(pattern=rf"^{LIBRARY.pattern}(?!\n)$")] | None = field(
        default=None, name="FACES_LIBRARY"
    )

    # Sources
    media_roots: str = field(default="/media", name="FACES_MEDIA_ROOTS")
    check_sources: bool = field(default=False, name="FACES_CHECK_SOURCES")
    frame_server_url: str | None = field(default=None, name="FRAME_SERVER_URL")
    enhance_timeout: Seconds = field(default=240.0, name="FACES_ENHANCE_TIMEOUT")
    frame_source: Literal["auto", "local", "frame-server"] = field(default="auto", name="FRAME_SOURCE")
    frame_roots: str = field(default="/tmp/frames:/tmp/sprites", name="FACES_FRAME_ROOTS")  # noqa: S108
    allowed_hosts: str = field(default="", name="FACES_ALLOWED_HOSTS")
    max_download_bytes: Positive = field(default=8 << 30, name="FACES_MAX_DOWNLOAD_BYTES")
    max_frames: Positive = field(default=100_000, name="FACES_MAX_FRAMES")
    max_pixels: Positive = field(default=100_000_000, name="FACES_MAX_PIXELS")
    max_memory: Annotated[int, Meta(ge=0)] = field(default=0, name="FACES_MAX_MEMORY")
    frame_directory: str = field(default="", name="FACES_FRAME_DIRECTORY")
    frame_format: Literal["jpeg", "webp", "png"] = field(default="jpeg", name="FACES_FRAME_FORMAT")
    frame_quality: Annotated[int, Meta(ge=1, le=100)] = field(default=95, name="FACES_FRAME_QUALITY")
    segment_seconds: Seconds = field(default=300.0, name="FACES_SEGMENT_SECONDS")
    frame_ttl: Positive = field(default=7200, name="FACES_FRAME_TTL")

    observations_bytes: Annotated[int, Meta(ge=0)] = field(default=256 << 20, name="FACES_OBSERVATIONS_BYTES")
    observations_ttl: Positive = field(default=86400, name="FACES_OBSERVATIONS_TTL")

    # Flow
    max_queued_jobs: Positive = field(default=1000, name="FACES_MAX_QUEUED_JOBS")
    frames_high_water: Positive = field(default=512, name="FACES_FRAMES_HIGH_WATER")
    shares: str = field(default="", name="FACES_SHARES")
    job_window: Positive = field(default=64, name="FACES_JOB_WINDOW")
    job_window_bytes: Positive = field(default=64 << 20, name="FACES_JOB_WINDOW_BYTES")
    jobs_per_worker: Positive = field(default=4, name="FACES_JOBS_PER_WORKER")
    job_deadline: Seconds = field(default=6 * 3600.0, name="FACES_JOB_DEADLINE")
    lease: Seconds = field(default=30.0, name="FACES_LEASE")
    max_attempts: Positive = field(default=4, name="FACES_MAX_ATTEMPTS")

    data: str = field(default="", name="FACES_DATA")
    worker: str = field(default="", name="FACES_WORKER")  # consumer name that survives a restart

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = field(default="INFO", name="LOG_LEVEL")
    log_format: Literal["json", "console"] = field(default="json", name="LOG_FORMAT")

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Reads an environment, by default that of this process, and the configuration file that it leads to.

        Raises:
            SettingsError: a value is of the wrong type or out of range, or the file is unreadable.
        """
        found = given(os.environ if environment is None else environment)
        try:
            settings = msgspec.convert(
                {name: entry.value for name, entry in found.items()}, cls, strict=False
            )
        except msgspec.ValidationError as error:
            problem, _, where = str(error).partition(" - at `$.")
            name = where.rstrip("`").partition("[")[0]
            origin = found[name].origin if name in found else ENVIRONMENT
            place = "" if origin == ENVIRONMENT else f" ({origin})"
            raise SettingsError(f"{name or 'settings'}{place}: {problem}") from error
        _check_redis_url(settings.redis_url)
        if settings.frame_server_url and not _is_web_address(settings.frame_server_url):
            raise SettingsError("FRAME_SERVER_URL: expected http://HOST:PORT, or https://…")
        for page in settings.origins:
            if not ORIGIN.fullmatch(page):
                raise SettingsError(
                    f"FACES_CORS_ORIGINS: {page!r} is not an origin; expected http://HOST:PORT, https://HOST or *"
                )
        _weights(settings.shares)
        if settings.partitions > 1 and set("{}") & set(settings.prefix):
            raise SettingsError(
                "FACES_PREFIX: remove the braces; with several FACES_PARTITIONS they are added"
            )
        return settings

    @property
    def roots(self) -> tuple[Path, ...]:
        """Directories (or single files) that sources may be read from, links resolved; uploads lie there too."""
        return (*_paths(self.media_roots), *([self.upload_path] if self.upload_path else []))

    @property
    def upload_path(self) -> Path | None:
        """Directory of uploaded films; None: none are accepted."""
        return _paths(self.upload_directory)[0] if self.upload_directory and self.max_upload_bytes else None

    @property
    def shared_roots(self) -> tuple[Path, ...]:
        """Directories of the Frame Server's volume, where this host has it mounted."""
        return _paths(self.frame_roots)

    @property
    def frame_store(self) -> Path | None:
        """Directory that stores frames between the stages; None: the Redis server stores them."""
        return _expanded(self.frame_directory).resolve() if self.frame_directory else None

    @property
    def keys_required(self) -> bool:
        """Whether the API requires a key; with "auto", when it listens to other machines."""
        return self.auth == "required" or (self.auth == "auto" and not is_loopback(self.host))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts and networks that sources may be downloaded from."""
        return _listed(self.allowed_hosts)

    @property
    def served_hosts(self) -> tuple[str, ...]:
        """Names in Host headers that the API serves without keys, beside its own address and loopback names."""
        return tuple(host.lower() for host in _listed(self.api_hosts))

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins whose pages may use the API (CORS); ``*``: all."""
        return tuple(origin.rstrip("/").lower() for origin in _listed(self.cors_origins))

    @property
    def callback_to(self) -> tuple[str, ...]:
        """Hosts and networks that webhooks may be sent to."""
        return _listed(self.callback_hosts)

    @property
    def weights(self) -> Mapping[str, float]:
        """Weights of callers, by name; others have 1."""
        return _weights(self.shares)

    @property
    def data_path(self) -> Path:
        """Data directory of `faces up`."""
        home = os.environ.get("XDG_DATA_HOME", "")
        base = home if os.path.isabs(home) else "~/.local/share"  # noqa: PTH117
        return _expanded(self.data or f"{base}/faces")

    @property
    def models_path(self) -> Path:
        """Directory of the model packs."""
        return _expanded(self.models_cache)

    @property
    def engines_path(self) -> Path:
        """Directory of TensorRT's engines."""
        return _expanded(self.engines_cache)

    @property
    def memory_bytes(self) -> int:
        """Bytes that a process may use for sources: FACES_MAX_MEMORY, else by the container's limit."""
        limit = memory_limit()
        share = DEFAULT_MEMORY_BYTES if limit is None else int(limit * MEMORY_SHARE)
        return self.max_memory or min(DEFAULT_MEMORY_BYTES, share)

    @property
    def worker_threads(self) -> int:
        """Threads of a process for decoding and inference: FACES_THREADS, else one for each usable core."""
        return self.threads or usable_cores()


def given(environment: Mapping[str, str]) -> dict[str, Given]:
    """Returns the settings that are not defaults, by name; an empty variable counts as not set.

    Raises:
        SettingsError: the configuration file is unreadable, or names a setting that does not exist.
    """
    names = [field.encode_name for field in msgspec.structs.fields(Settings)]
    found = {}
    if (file := config_file.locate(environment)) is not None:
        try:
            values = config_file.read(file)
        except config_file.ConfigFileError as error:
            raise SettingsError(str(error)) from error
        for name, value in values.items():
            if name not in names:
                raise SettingsError(f"{file}: {name}: {unknown_name(name, names)}")
            found[name] = Given(value, str(file))
    return found | {name: Given(environment[name], ENVIRONMENT) for name in names if environment.get(name)}


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_redis_url(url: str) -> None:
    """Refuses a URL that cannot be used, without showing it: redis-py's errors show a part of the password."""
    try:
        parts = urlsplit(url)
        scheme, port = parts.scheme.removesuffix("+cluster"), parts.port
    except ValueError:
        scheme, parts, port = "", urlsplit(""), None
    if scheme == "unix":
        is_valid = parts.path.startswith("/")
    else:
        # a "/", "?" or "#" in the password ends what urlsplit takes for the host
        is_cut = "@" in url and "@" not in parts.netloc
        is_valid = (
            scheme in ("redis", "rediss")
            and bool(parts.hostname)
            and port != 0
            and not is_cut
            and re.fullmatch(r"(/\d*)?", parts.path) is not None
        )
    if not is_valid or url != url.strip():
        raise SettingsError(
            "REDIS_URL: expected redis://[USER:PASSWORD@]HOST:PORT/DB, rediss://… or unix:///PATH; special characters"
            " in the password are percent-encoded"
        )


def _listed(joined: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in joined.split(",") if entry.strip())


def _expanded(path: str) -> Path:
    """A path whose ``~`` is the home directory.

    Raises:
        SettingsError: there is none.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SettingsError(
            f"{path}: this user has no home directory; set HOME, or FACES_DATA and INSIGHTFACE_MODELS_CACHE"
        ) from error


@lru_cache(8)
def _weights(shares: str) -> dict[str, float]:
    """Reads FACES_SHARES.

    Raises:
        SettingsError: an entry is not a caller and its weight.
    """
    weights = {}
    for entry in _listed(shares):
        name, _, weight = (part.strip() for part in entry.partition("="))
        published = name == PUBLISHED
        if not (published or CALLER.fullmatch(name.removeprefix(PUBLISHED))) or not WEIGHT.fullmatch(weight):
            raise SettingsError(
                f"FACES_SHARES: {entry!r} is not NAME=WEIGHT or {PUBLISHED}NAME=WEIGHT, with a weight of 0.01 to 100"
            )
        weights[name] = float(weight)
    return weights


def _paths(joined: str) -> tuple[Path, ...]:
    """Returns the paths with their links resolved; a loop of links stays, where `Path.resolve` raises."""
    paths = (_expanded(path) for path in joined.split(os.pathsep) if path)
    return tuple(Path(os.path.realpath(path)) for path in paths)
