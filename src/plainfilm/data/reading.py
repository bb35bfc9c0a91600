"""The bytes of films in files, folders and zips, under limits, and which files are films at all."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from plainfilm.data import dicom
from plainfilm.data.films import FilmError, Source
from plainfilm.errors import InputError
from plainfilm.storage.tables import is_table

MAX_BYTES = dicom.MAX_BYTES  # a film's file: its pixels have a limit of their own, which is reached far sooner
MAX_OTHER = 16 * 2**20  # a file that begins as no film does
MAX_FILMS = 5_000_000
READABLE = "pictures (JPEG, PNG, TIFF, BMP, …) or DICOM files"

PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".pgm", ".ppm", ".pnm", ".pbm"),
)
FILM_ENDINGS = (*PICTURE_ENDINGS, ".dcm", ".dicom", ".dic", ".ima")
# Pictures that are not read: each has a row with its reason. By its last ending, or by where its first bytes are what.
FOREIGN_ENDINGS = {
    **{ending: "HEIC picture" for ending in (".heic", ".heif", ".hif")},
    **{ending: "JPEG 2000 picture" for ending in (".jp2", ".j2k", ".j2c", ".jpf", ".jpx")},
    **{ending: "volume, or a file of one" for ending in (".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".hdr")},
    **{ending: "file of pixels without a header" for ending in (".img", ".raw", ".npy")},
    **{ending: "video" for ending in (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".wmv", ".mpg", ".mpeg", ".webm")},
    ".avif": "AVIF picture",
    ".jxl": "JPEG XL picture",
    ".tga": "Targa picture",
    ".psd": "Photoshop picture",
    ".svg": "drawing",
    ".exr": "OpenEXR picture",
    ".pcx": "PCX picture",
}
FOREIGN = (
    (4, b"ftypavif", "AVIF picture"),
    (4, b"ftyphei", "HEIC picture"),
    (4, b"ftypmif1", "HEIC picture"),
    (4, b"ftyp", "video"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL picture"),
    (8, b"AVI ", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (0, b"\0\0\x01\xba", "video"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "video"),
    (0, b"NRRD000", "volume, or a file of one"),
    (0, b"ObjectType = Image", "volume, or a file of one"),
    (0, b"8BPS", "Photoshop picture"),
    (0, b"\x93NUMPY", "file of pixels without a header"),
)
PACKED = re.compile(r"\.(?:gz|bz2|xz|zst)$", re.IGNORECASE)
OTHER_ENDINGS = {".txt", ".md", ".json", ".html", ".pdf", ".py", ".npz", ".zip", ".h5"}
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITMAP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}  # bytes, by version
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", *TIFF, b"GIF87a", b"GIF89a")  # how files begin that are read
NETPBM = re.compile(rb"P[1-6]\s[\s\d#]")
JUNK = {".ds_store", "thumbs.db", "desktop.ini", "dicomdir"}


def most_bytes(head: bytes) -> int:
    """Return how many bytes a file may have, by its first 132: pixels have a limit of their own."""
    return MAX_BYTES if begins_as_film(head) else MAX_OTHER


def begins_as_film(head: bytes) -> bool:
    """Whether a file begins (132 bytes) as a picture that is read: JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM."""
    bitmap = head[:2] == b"BM" and head[6:10] == bytes(4) and head[14:18] in BITMAP_HEADERS
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(PICTURES) or bitmap or webp or bool(NETPBM.match(head)) or dicom.is_dicom(head)


def foreign(head: bytes, name: str = "") -> str:
    """Return what kind of picture, volume or video that is not read a file is, by its first 132 bytes, else by its
    ``name``; "" for all others."""
    if begins_as_film(head):
        return ""
    plain = PACKED.sub("", name)
    ending = PurePosixPath(plain).suffix.lower()
    by_name = "packed file" if plain != name and ending in FILM_ENDINGS else FOREIGN_ENDINGS.get(ending, "")
    return next((what for at, mark, what in FOREIGN if head[at:].startswith(mark)), by_name)


def refusal(what: str) -> str:
    """Return the reason in quarantine.csv for a ``foreign`` picture."""
    return f"{what}, not read: {'unpack it' if what == 'packed file' else 'save the film as PNG or DICOM'}"


def read_file(path: str | Path, first: int = 0) -> bytes:
    """Return a regular file's bytes, or only its ``first`` ones; FilmError says why not (too large, no permission)."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise FilmError("not a regular file")
        with open(path, "rb") as handle:
            if first:
                return handle.read(first)
            limit = most_bytes(handle.read(132)) if found.st_size > MAX_OTHER else MAX_OTHER
            if found.st_size > limit:
                raise FilmError(f"file of {found.st_size / 2**20:.0f} MB; the limit is {limit // 2**20} MB")
            handle.seek(0)
            return handle.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a table's name with a zero byte
        raise FilmError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None


def beside(folder: str, name: str, first: int = 0) -> bytes:
    """Return the bytes of ``name``, a path in ``folder`` or an absolute one: see ``read_file``."""
    return read_file(os.path.join(folder, name), first)


def folder_files(root: Path, inner: str = "", seen: set[str] | None = None) -> Iterator[str]:
    """Yield the path of every file below ``root``, relative to it, in the order of those paths as text.

    A folder stands in the order as its name with the slash, as in the paths below it. A link to a folder is followed
    when that lies outside of ``root``, does not hold it, and was not come to before: else films would be there twice.
    """
    seen = set() if seen is None else seen
    with os.scandir(f"{root}/{inner}") as entries:
        names = sorted(
            f"{entry.name}/" if is_folder(entry) else entry.name for entry in entries if not _is_junk(entry.name)
        )
    for name in names:
        if not name.endswith("/"):
            yield inner + name
        elif not os.path.islink(f"{root}/{inner}{name[:-1]}") or _outside(root, inner + name, seen):
            yield from folder_files(root, inner + name, seen)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _outside(root: Path, inner: str, seen: set[str]) -> bool:
    """Whether a link leads out of ``root``, to what neither holds it nor was met (it is noted in ``seen``)."""
    home, there = os.path.realpath(root), os.path.realpath(f"{root}/{inner}")
    apart = os.path.commonpath([home, there]) not in (home, there)
    new = apart and not any(os.path.commonpath([there, other]) in (there, other) for other in seen)
    seen.update([there] if new else [])
    return new


def zip_files(path: Path) -> tuple[list[str], Source]:
    """Return the paths of a zip's files in their order, and what reads them."""
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a hostile directory can fail in struct, a codec or an index
        raise InputError(f"{path} is not a zip file that can be read ({error}).") from None
    members = [m for m in archive.infolist() if m.filename and not m.filename.endswith(("/", "\\"))]
    if len(members) > MAX_FILMS:
        raise InputError(f"{path} holds {len(members):,} files; the limit is {MAX_FILMS:,}.")
    times = Counter(_slashed(m.filename) for m in members)
    twice = {name for name, count in times.items() if count > 1}
    windows = {_slashed(m.filename): m.filename for m in members if "\\" in m.filename}
    return sorted(times), partial(_read_member, archive, windows, twice)


def _slashed(name: str) -> str:
    """Return the name of a zip's member with slashes, where Windows wrote backslashes (which a zip should not hold)."""
    return name.replace("\\", "/")


def _read_member(
    archive: zipfile.ZipFile, windows: dict[str, str], twice: set[str], name: str, first: int = 0
) -> bytes:
    try:
        member = archive.getinfo(windows.get(name, name))
    except KeyError:
        raise FilmError("no such file in the zip") from None
    if name in twice:
        raise FilmError("two zip members have this name")
    if member.flag_bits & 1:
        raise FilmError("encrypted inside the zip")
    try:
        with archive.open(member) as handle:
            data = handle.read(first or MAX_OTHER + 1)  # the size in the zip's directory may lie
            limit = most_bytes(data)
            if not first and MAX_OTHER < len(data) <= limit:
                data += handle.read(limit + 1 - len(data))
    except Exception as error:  # a hostile zip can fail in zlib, lzma, struct or the codec of a name
        raise FilmError(f"can't be unpacked: {error}") from None
    if len(data) > limit:
        raise FilmError(f"larger than {limit // 2**20} MB when unpacked")
    return data


def _is_junk(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or name.lower() in JUNK


def plain(names: Iterable[str]) -> Iterator[str]:
    """Yield the paths that are not hidden, and not an operating system's own files."""
    return (name for name in names if not any(_is_junk(part) for part in PurePosixPath(name).parts))


def kind(name: str, source: Source) -> str:
    """Return "film" for a file that is one by its ending, or by its first bytes where the ending is missing or unknown;
    what it is for one that looks like a picture but is not read (see ``foreign``); "" for any other."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in FILM_ENDINGS:
        return "film"
    if ending in OTHER_ENDINGS or is_table(name):
        return ""
    try:
        head = source(name, 132)
    except FilmError:
        head = b""
    return "film" if begins_as_film(head) else foreign(head, name)
