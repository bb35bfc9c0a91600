"""The bytes of films in files, folders and zips, under limits, and which files are films at all."""

from __future__ import annotations

import os
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

MAX_BYTES = 16 * 2**20  # a film's file, as uploaded or stored; for DICOM and TIFF see most_bytes
MAX_FILMS = 5_000_000

PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
FILM_ENDINGS = PICTURE_ENDINGS | {".dcm", ".dicom"}
OTHER_ENDINGS = {".txt", ".md", ".json", ".html", ".pdf", ".py", ".npz", ".zip", ".h5"}
TIFF = (b"II*\0", b"MM\0*")
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", *TIFF)  # how JPEG, PNG and TIFF files begin
JUNK = {".ds_store", "thumbs.db", "desktop.ini", "dicomdir"}


def most_bytes(head: bytes) -> int:
    """Return how many bytes a film's file may have, by its first 132: DICOM and TIFF are often not compressed."""
    return dicom.MAX_BYTES if dicom.is_dicom(head) or head.startswith(TIFF) else MAX_BYTES


def read_file(path: str | Path, first: int = 0) -> bytes:
    """Return a regular file's bytes, or only its ``first`` ones; FilmError says why not (too large, no permission)."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise FilmError("not a regular file")
        with open(path, "rb") as handle:
            if first:
                return handle.read(first)
            limit = most_bytes(handle.read(132)) if found.st_size > MAX_BYTES else MAX_BYTES
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
    members = [m for m in archive.infolist() if m.filename and not m.is_dir()]
    if len(members) > MAX_FILMS:
        raise InputError(f"{path} holds {len(members):,} files; the limit is {MAX_FILMS:,}.")
    times = Counter(m.filename for m in members)
    twice = {name for name, count in times.items() if count > 1}
    return sorted(times), partial(_read_member, archive, twice)


def _read_member(archive: zipfile.ZipFile, twice: set[str], name: str, first: int = 0) -> bytes:
    member = archive.getinfo(name)
    if name in twice:
        raise FilmError("two zip members have this name")
    if member.flag_bits & 1:
        raise FilmError("encrypted inside the zip")
    try:
        with archive.open(member) as handle:
            data = handle.read(first or MAX_BYTES + 1)  # the size in the zip's directory may lie
            limit = most_bytes(data)
            if not first and MAX_BYTES < len(data) <= limit:
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


def is_film(name: str, source: Source) -> bool:
    """A film by its ending, or by its first bytes where the ending is missing or unknown."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in FILM_ENDINGS:
        return True
    if ending in OTHER_ENDINGS or is_table(name):
        return False
    try:
        head = source(name, 132)
    except FilmError:
        return False
    return head.startswith(PICTURES) or dicom.is_dicom(head)
