"""Where the table of labels, its companion and its picture go, and what stands against writing them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from plainfilm.data.films import FilmError
from plainfilm.data.reading import read_file
from plainfilm.errors import InputError
from plainfilm.storage.files import within

OURS = re.compile(rb"\Z|path,label,\"?p_[^\n]*,refer,reason\r?\n")  # how a table of label's begins, or nothing
COMPANION = re.compile(rb'\Z|\{\s*"labels_of"')
PNG = re.compile(rb"\Z|\x89PNG")
LONGEST_HEADER = 2**20  # bytes


def companion(out: Path) -> Path:
    """Return where the counts and the warning of a table of labels stand."""
    return out.with_name(out.name + ".json")


def require_free(out: Path, picture: Path | None, paths: Sequence[str], force: bool) -> None:
    """InputError where the table ``out``, its companion or ``picture`` may not be written: before hours of labelling.

    What is there is replaced with ``force``, and then only what `label` wrote itself.
    """
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a CSV file.")
    if picture:
        _require_picture(picture, out, paths)
    for place, own in ((out, OURS), (companion(out), COMPANION), (picture, PNG)):
        if place and place.exists() and not force:
            raise InputError(f"{place} exists; choose another name, or add --force to replace it.")
        if place and place.exists() and not own.match(_first(place, LONGEST_HEADER)):
            raise InputError(f"{place} is nothing that label wrote, and --force does not replace it; name another.")


def _require_picture(picture: Path, out: Path, paths: Sequence[str]) -> None:
    if picture.suffix != ".png":
        raise InputError(f"--montage {picture}: the picture is a PNG; give a name that ends in .png.")
    if picture.resolve() == out.resolve():
        raise InputError(f"--out and --montage are one file, {out}; name two.")
    if any(within(picture, Path(path)) for path in paths):
        raise InputError(f"--montage {picture} lies among the films; name it elsewhere.")
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--montage {picture} can't be written ({error.strerror}).") from None


def _first(place: Path, count: int) -> bytes:
    """Return a file's first bytes; for what is no file that can be read, some that begin nothing of ours."""
    try:
        return read_file(place, count)
    except FilmError:
        return b"?"
