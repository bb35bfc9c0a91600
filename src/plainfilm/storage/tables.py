"""CSV tables, read and written row by row: names of any bytes, no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from plainfilm.errors import InputError
from plainfilm.storage.files import replacing

FORMULA = re.compile(r"'*(?![-+]?[\d.]+(e[-+]?\d+)?$)[=+\-@\t\r].", re.DOTALL)  # a spreadsheet would run such a cell


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows under ``header``, streaming; floats in full precision, lines end with a newline only."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as handle,
    ):
        writer = _csv_writer(handle)
        writer.writerow(header)
        writer.writerows(map(_safe_row, rows))


class _Lines(NamedTuple):
    """What rows are written to that end with ``\\r\\n`` and shall end with ``\\n``."""

    file: TextIO

    def write(self, row: str) -> None:
        """Write one row."""
        self.file.write(row.removesuffix("\r\n") + "\n")


def _csv_writer(file: TextIO) -> Any:
    """Return a writer of rows; csv quotes a cell for the characters of its line's end only, and names may hold both."""
    return csv.writer(_Lines(file), lineterminator="\r\n")


def _safe_row(row: Sequence[Any]) -> list[Any]:
    return [safe(cell) if isinstance(cell, str) else cell for cell in row]


def safe(cell: str) -> str:
    """Return ``cell``, with an apostrophe before what a spreadsheet would take for a formula (and before apostrophes
    that stand before such, so that ``unsafe`` gives every text back)."""
    return "'" + cell if FORMULA.match(cell) else cell


def unsafe(cell: str) -> str:
    """Return what ``safe`` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


class RowsBegun(NamedTuple):
    """A CSV that grows: the rows it has already, each a list of cells, and what appends another."""

    kept: Iterator[list[str]]
    write: Callable[[Sequence[Any]], object]


@contextmanager
def growing_csv(
    path: str | Path, header: Sequence[str], tag: str, resume: bool, force: bool = False
) -> Iterator[RowsBegun]:
    """Write rows under ``header`` that outlive an interruption: beside ``path`` until the block ends without an error.

    What an interrupted block with the same ``tag`` left is kept with ``resume``, but for a last row cut short; read
    ``kept`` to its end before writing. InputError while another process writes to ``path``, and when something is
    there without ``force``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f".{path.name[:200]}.{tag}.begun")
    lock = path.with_name(f".{path.name[:200]}.lock")
    with open(lock, "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{path} is being written by another plainfilm; wait for it, or choose another name."
            ) from None
        if path.exists() and not force:
            raise InputError(f"{path} exists; choose another name, or add --force to replace it.")
        write_csv(begun, header, csv_rows(begun, len(header)) if resume and begun.exists() else ())
        with open(begun, "a", newline="", encoding="utf-8", errors="surrogateescape") as handle:
            writer = _csv_writer(handle)
            yield RowsBegun(csv_rows(begun, len(header)), lambda row: writer.writerow(_safe_row(row)))
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(begun, path)
        lock.unlink()


def csv_rows(path: Path, cells: int) -> Iterator[list[str]]:
    """Yield the rows behind the header, streaming; rows cut short are left out."""
    with open(path, newline="\n", encoding="utf-8", errors="surrogateescape") as handle:  # names may hold a \r
        lines = (line for line in handle if line.endswith("\n"))
        for number, row in enumerate(csv.reader(lines)):
            if number and len(row) == cells:
                yield [*map(unsafe, row)]


def read_csv(path: str | Path, data: bytes | None = None) -> tuple[list[str], list[dict[str, str]]]:
    """Return (header, rows) of a UTF-8 (or UTF-16 with its mark) CSV, of ``data`` where its bytes are at hand already;
    InputError says what is wrong with it."""
    header, rows = stream_csv(path, data)
    return header, list(rows)


def stream_csv(path: str | Path, data: bytes | None = None) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Return what ``read_csv`` does, the rows one after the other: what is wrong with one is raised in its turn."""
    with _csv_lines(path, data) as lines:
        header = [name.strip() for name in next(lines, [])]
    if not header:
        raise InputError(f"{path} is empty; the first line must name the columns.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path} has the column {twice[0]} twice; each name may stand once.")
    return header, _csv_rows(path, data, header)


@contextmanager
def _csv_lines(path: str | Path, data: bytes | None) -> Iterator[Iterator[list[str]]]:
    """Give the lines of a CSV file, or of ``data``, as they are read; InputError says what is wrong with them."""
    try:
        with open(path, "rb") if data is None else io.BufferedReader(io.BytesIO(data)) as file:  # type: ignore[arg-type]
            wide = file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
            encoding, errors = ("utf-16", "strict") if wide else ("utf-8-sig", "surrogateescape")
            yield csv.reader(io.TextIOWrapper(file, encoding, errors, newline=""), strict=True)
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file that can be read ({error}).") from None


def _csv_rows(path: str | Path, data: bytes | None, header: list[str]) -> Iterator[dict[str, str]]:
    with _csv_lines(path, data) as lines:
        next(lines, None)
        for number, row in enumerate(filter(None, lines), 2):
            if len(row) < len(header) or any(row[len(header) :]):
                fewer = "fewer" if len(row) < len(header) else "more"
                raise InputError(f"{path}, row {number}: has {fewer} cells than the header has names ({len(header)}).")
            yield dict(zip(header, map(unsafe, row), strict=False))
