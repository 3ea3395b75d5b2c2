"""Media by their names: which files of a folder are videos or pictures of its owner, and why others are skipped."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

VIDEO_SUFFIXES = frozenset((
    ".264", ".265", ".360", ".3g2", ".3gp", ".3gp2", ".3gpp", ".amv", ".apng", ".asf", ".avi", ".avifs", ".divx",
    ".dv", ".evo", ".f4v", ".flv", ".gif", ".gxf", ".h264", ".h265", ".heics", ".heifs", ".hevc", ".insv", ".ismv",
    ".ivf", ".lrv", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod",
    ".mov", ".mp2v", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg4", ".mpg", ".mpv", ".mpv2", ".mts", ".mxf", ".nsv",
    ".nut", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".ssif", ".swf", ".tod", ".tp", ".trp", ".ts",
    ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
))  # fmt: skip
"""Endings of videos and animations."""
PICTURE_SUFFIXES = frozenset((
    ".avif", ".bmp", ".dib", ".heic", ".heif", ".hif", ".jfi", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg", ".jps",
    ".mpo", ".pjp", ".pjpeg", ".png", ".tif", ".tiff", ".webp",
))  # fmt: skip
"""Endings of pictures; whether one can be read is known when it is opened."""
UNSUPPORTED_SUFFIXES = frozenset((
    ".3fr", ".ai", ".arw", ".bay", ".bdmv", ".bik", ".braw", ".cap", ".cr2", ".cr3", ".crw", ".dcm", ".dcr", ".dng",
    ".dvr-ms", ".emf", ".eps", ".erf", ".exr", ".fff", ".flc", ".fli", ".gpr", ".hdp", ".hdr", ".ico", ".ifo",
    ".iiq", ".iso", ".j2k", ".jls", ".jp2", ".jpc", ".jpf", ".jpx", ".jxl", ".jxr", ".kdc", ".m3u", ".m3u8", ".m4p",
    ".mef", ".mos", ".mpd", ".mpls", ".mrw", ".nef", ".nrw", ".orf", ".pbm", ".pcx", ".pdf", ".pef", ".pgm", ".pnm",
    ".ppm", ".psd", ".r3d", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".svg", ".tga", ".wdp", ".wmf",
    ".x3f", ".xcf",
))  # fmt: skip
"""Endings of films and pictures that cannot be read: raw photographs, drawings, playlists, images of discs."""
SYSTEM_NAMES = frozenset((
    "#recycle", "#snapshot", "#snapshots", "$recycle.bin", "@__thumb", "@eadir", "@recently-snapshot", "@recycle",
    "@sharebin", "@tmp", "@transcode", "__macosx", "desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r",
    "lost+found", "network trash folder", "recycle.bin", "recycled", "recycler", "system volume information",
    "temporary items", "thevolumesettingsfolder", "thumbs.db", "~snapshot",
))  # fmt: skip
"""Names of files and folders that operating systems and network storage keep beside the owner's, in lower case:
thumbnails, deleted files, snapshots."""

HIDDEN, SYSTEM = "hidden (names that begin with a dot)", "of the operating system"
OTHER, UNSUPPORTED = "no video or picture", "of a kind that is not supported"
VIDEO, FOLDER = "a video, which needs a job of its own", "a folder, whose pictures are not included"
LINK, UNREADABLE = "a link to a folder", "not readable"
MAX_NAMED = 5
"""Endings or names that a reason lists."""


def not_the_owners(name: str) -> str | None:
    """Returns why a file or folder of this name is none of the owner's; None: it may be."""
    if name.lower() in SYSTEM_NAMES:
        return SYSTEM
    return HIDDEN if name.startswith(".") else None


def why_skipped(name: str, taken: Iterable[str]) -> str | None:
    """Returns why a file is skipped; None: its ending is one of ``taken``."""
    if (reason := not_the_owners(name)) is not None:
        return reason
    suffix = PurePath(name).suffix.lower()
    if suffix in taken:
        return None
    if suffix in VIDEO_SUFFIXES:
        return VIDEO
    return UNSUPPORTED if suffix in UNSUPPORTED_SUFFIXES else OTHER


class Skipped:
    """Counts what a folder holds and is not analysed, by reason."""

    def __init__(self) -> None:
        self._names: dict[str, Counter[str]] = {}

    def add(self, name: str, reason: str) -> None:
        """Counts a file or folder."""
        by_kind = reason in (OTHER, UNSUPPORTED, VIDEO)
        shown = (PurePath(name).suffix.lower() or "no ending") if by_kind else name
        self._names.setdefault(reason, Counter())[shown] += 1

    @property
    def reasons(self) -> list[str]:
        """Returns a clause for each reason: the number, the reason, and the most frequent endings or names."""
        return [
            f"{names.total()} {reason} ({_listed(names)})" for reason, names in sorted(self._names.items())
        ]


def _listed(names: Counter[str]) -> str:
    ordered = sorted(names, key=lambda name: (-names[name], name))
    return ", ".join(ordered[:MAX_NAMED]) + (", …" if len(ordered) > MAX_NAMED else "")
