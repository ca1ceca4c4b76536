"""Which files does a scan take by their names, which folders does it enter, and how many others seem to be video?

And which priority do files have by sidecars or a list, where a run's mode asks for that?
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator

from pyprocessor.containers.content import HEAD_BYTES, seems_video
from pyprocessor.models import BatchSettings, Mode, PriorityRule, Profile, display

VIDEO_EXTENSIONS = frozenset(
    b"264 265 360 3g2 3gp amv asf av1 avi bik dav divx dv dvr-ms evo f4v flv h264 h265 hevc insv ivf k3g m1v m2p "
    b"m2t m2ts m2v m4v mj2 mjpeg mjpg mk3d mkv mod mov mp2v mp4 mp4v mpe mpeg mpg mpv mpv2 mqv mts mxf nsv nut "
    b"nuv obu ogm ogv ogx pva qt rec rm rmvb roq tod tp trp ts ty vdr vob vro webm wmv wtv y4m".split()
)
AUDIO_EXTENSIONS = frozenset(
    b"aac ac3 aif aifc aiff amr ape au caf dts eac3 flac m4a m4b mka mp2 mp3 oga ogg opus ra spx tta wav wma wv".split()
)
ANIMATION_EXTENSIONS = frozenset(b"apng gif webp".split())
"""Pictures that often move: those that do are videos."""
PICTURE_EXTENSIONS = ANIMATION_EXTENSIONS | {b"png"}
"""Of files so named, those that do not move are passed over silently."""
UNFINISHED_EXTENSIONS = frozenset(
    b"!bt !qb !ut aria2 bc! crdownload crswap download filepart incomplete opdownload part partial td temp tmp "
    b"unfinished".split()
)
"""What downloads and copies are called until they are whole."""
OTHER_EXTENSIONS = UNFINISHED_EXTENSIONS | frozenset(
    b"3fr 7z a aep arw ass avif bak bat bdmv bmp bup bz2 c cfg clpi conf cpp cr2 cr3 crw css csv cue db dfxp djvu "
    b"dll dmg dng doc docx drp edl epub exe fcpxml gpx gz h heic heif htm html ico ics idx ifo ini iso jar java "
    b"jfif jp2 jpe jpeg jpg js json jxl kdc key lnk log lrc m3u m3u8 md md5 mobi mpd mpls nef nfo o odp ods odt "
    b"old orf otf pages par2 pdf pef php pls pnm ppm ppt pptx prproj psd pub py pyc raf rar rb rtf rw2 rwl sfv sh "
    b"sha1 sha256 smi so sqlite sr2 srt srw ssa sub sup svg tar tgz thm tif tiff toml torrent ttf ttml txt url "
    b"vtt webloc woff woff2 x3f xcf xls xlsx xml xmp xspf xz yaml yml zip zst".split()
)
"""No videos: files so named are not opened to find that out."""
_PASSED_FOLDERS = frozenset(
    b"#recycle/@recycle/$recycle.bin/recycler/recycled/network recycle bin/trashbox/network trash folder/"
    b"temporary items/#snapshot/~snapshot/@recently-snapshot/@eadir/@sharebin/@tmp/_gsdata_/system volume information/"
    b"lost+found/__macosx".split(b"/")
)
"""Bins, snapshots and metadata of Windows, macOS and network storage whose names do not begin with a dot."""


def is_passed_over(folder: bytes) -> bool:
    """Return whether folders of this name are not entered: bins, metadata, hidden ones."""
    return folder.startswith(b".") or folder.lower() in _PASSED_FOLDERS


def extension(name: bytes) -> bytes:
    """Return the extension of a file's name in lower case, without the dot."""
    return os.path.splitext(name)[1][1:].lower()


def extensions_of(profile: Profile) -> frozenset[bytes]:
    """Return the extensions to take: the profile's list, or all known ones that suit it and those in its `include`."""
    if profile.scan.extensions:
        return frozenset(os.fsencode(e) for e in profile.scan.extensions)
    known = VIDEO_EXTENSIONS | (AUDIO_EXTENSIONS if profile.video is None else ANIMATION_EXTENSIONS)
    return known | (extensions_in(profile.scan.include) - OTHER_EXTENSIONS)


def extensions_in(globs: Iterable[str]) -> frozenset[bytes]:
    """Return the extensions that patterns of names state plainly, such as `*.ogv`."""
    named = (extension(os.fsencode(glob.strip())) for glob in globs)
    return frozenset(kind for kind in named if kind and not set(kind) & set(b"*?[]/"))


MOST_LOOKED_AT = 400
"""Files opened in one walk: about 10 ms of CPU time, and some seconds on a slow disk."""
MOST_MISSES = 20
"""Files of one extension that proved no video, after which no more of it are opened."""
_MOST_NAMED = 3
_NOT_OPENED = OTHER_EXTENSIONS | AUDIO_EXTENSIONS


class UnknownFiles:
    """Counts files with unknown extensions whose content looks like video."""

    def __init__(self) -> None:
        self._opened = 0
        self._cut_short = False
        self._misses: Counter[bytes] = Counter()
        self._found: list[bytes] = []

    def wants(self, name: bytes) -> bool:
        kind = extension(name)
        return kind not in _NOT_OPENED and self._misses[kind] < MOST_MISSES

    def look(self, path: bytes, relative: bytes) -> bool:
        """Look into one file, unless enough were; returns whether it was opened."""
        if not self.wants(relative):
            return False
        self._cut_short = self._opened >= MOST_LOOKED_AT
        if self._cut_short:
            return False
        self._opened += 1
        if _is_video(path):
            self._found.append(relative)
        else:
            self._misses[extension(relative)] += 1
        return True

    def sentence(self) -> str | None:
        """Return how many there are, and how to take them; None where there are none."""
        if not self._found:
            return None
        count = len(self._found)
        written = Counter(os.path.splitext(relative)[1][1:] for relative in self._found)
        options = {kind: files for kind, files in written.most_common() if kind.isalnum()}
        shown = list(options)[:_MOST_NAMED]
        covered = sum(options[kind] for kind in shown)
        names = ", ".join(display(relative) for relative in self._found[:_MOST_NAMED])
        names += ", ..." if count > _MOST_NAMED else ""
        seem, are = ("file seems", "is") if count == 1 else ("files seem", "are")
        how = "rename them to have them done"
        if shown:
            them = "it" if count == 1 else "them" if covered == count else f"{covered:,} of them"
            how = " ".join(f"--include '*.{kind.decode()}'" for kind in shown) + f" takes {them}"
        least = "At least " if self._cut_short else ""
        return f"{least}{count:,} {seem} to be video by content, but not by name, and {are} not taken: {names}; {how}."


def _is_video(path: bytes) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb", buffering=0) as file:
            return seems_video(file.read(HEAD_BYTES))
    except OSError:
        return False


SIDECAR = b".priority"
"""What follows a file's name in that of the file which has its priority."""
_MOST_DIGITS = 15
_SIDECAR_BYTES = 100


class FilePriorities:
    """The priorities of files in one walk: 0 where neither a sidecar nor the list says otherwise."""

    def __init__(self, settings: BatchSettings) -> None:
        rule, name = settings.priority_rule
        asked = settings.mode is Mode.PRIORITY
        self._sidecars = asked and rule is PriorityRule.SIDECAR
        self._listed = _listed(name) if asked and rule is PriorityRule.LIST else {}
        self._unseen = set(self._listed)
        self._wrong: list[bytes] = []

    def of(self, path: bytes, relative: bytes) -> int:
        """Return the priority of a file."""
        if self._listed:
            self._unseen.discard(relative)
            return self._listed.get(relative, 0)
        if not self._sidecars:
            return 0
        try:
            with open(path + SIDECAR, "rb") as file:
                text = file.read(_SIDECAR_BYTES).strip()
        except FileNotFoundError:
            return 0
        except OSError:
            text = b""
        if not re.fullmatch(rb"[+-]?\d{1,%d}" % _MOST_DIGITS, text):
            self._wrong.append(relative)
            return 0
        return int(text)

    def sentences(self) -> Iterator[str]:
        """Yield what is wrong with sidecars or the list, for the user."""
        if self._wrong:
            more = f", nor {len(self._wrong) - 1} more such files" if len(self._wrong) > 1 else ""
            name = display(self._wrong[0] + SIDECAR)
            yield f"{name} cannot be read, or holds no whole number{more}; its file counts as 0."
        if self._unseen:
            number = len(self._unseen)
            lines = "1 line that names" if number == 1 else f"{number:,} lines that name"
            example = display(min(self._unseen)) + (" and others" if number > 1 else "")
            yield f"The list of priorities has {lines} no file of the input: {example}; a line is a path below it."


def _listed(name: str) -> dict[bytes, int]:
    """Return the priority of each path that a list names: the first is the lowest. A list that is gone is empty."""
    try:
        with open(name, "rb") as file:
            lines = [line.strip(b"\r\n") for line in file]
    except OSError:  # it was there as the run began
        return {}
    paths = list(dict.fromkeys(line for line in lines if line.strip() and not line.startswith(b"#")))
    return {path: place - len(paths) for place, path in enumerate(paths)}
