"""Tables, read and written row by row: any dialect in, names of any bytes, no cell out that a spreadsheet would run."""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from plainfilm.errors import InputError
from plainfilm.storage import locks
from plainfilm.storage.dialects import COLUMNS, legible, opened
from plainfilm.storage.files import replacing

ENDINGS = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz", ".tab.gz", ".parquet")  # of the names of tables
FIRST_ROW = 2  # of a table: the header is the first
TABLE_ROWS = 10_000  # of a Parquet file, turned into strings at a time
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
    ``kept`` to its end before writing. InputError while another process writes to ``path``, when something is there
    without ``force``, and with ``resume`` when only a block with another ``tag`` left rows; without it they go.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = f".{path.name[:200]}."
    begun = path.with_name(f"{stem}{tag}.begun")
    lock = path.with_name(f"{stem}lock")
    with locks.held(lock) as mine:
        if not mine:
            raise InputError(f"{path} is being written by another plainfilm; wait for it, or choose another name.")
        if path.exists() and not force:
            raise InputError(f"{path} exists; choose another name, or add --force to replace it.")
        for other in sorted(set(path.parent.glob(f"{glob.escape(stem)}*.begun")) - {begun}):
            if resume and not begun.exists():
                theirs = other.name.removeprefix(stem).removesuffix(".begun")
                raise InputError(
                    f"{path} was begun by {theirs}, and this is {tag}: another model, engine or precision; ask for the "
                    "same, or leave out --resume to start again."
                )
            other.unlink(missing_ok=True)
        write_csv(begun, header, csv_rows(begun, len(header)) if resume and begun.exists() else ())
        with open(begun, "a", newline="", encoding="utf-8", errors="surrogateescape") as handle:
            writer = _csv_writer(handle)
            yield RowsBegun(csv_rows(begun, len(header)), lambda row: writer.writerow(_safe_row(row)))
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(begun, path)
        locks.remove(lock)


def csv_rows(path: Path, cells: int) -> Iterator[list[str]]:
    """Yield the rows behind the header, streaming; rows cut short are left out."""
    with open(path, newline="\n", encoding="utf-8", errors="surrogateescape") as handle:  # names may hold a \r
        lines = (line for line in handle if line.endswith("\n"))
        for number, row in enumerate(csv.reader(lines)):
            if number and len(row) == cells:
                yield [*map(unsafe, row)]


Rows = Iterator[tuple[int, dict[str, str]]]


def is_table(path: str | Path) -> bool:
    """Return whether a file is a table by its name."""
    return str(path).lower().endswith(ENDINGS)


def read_csv(path: str | Path, data: bytes | None = None) -> tuple[list[str], list[dict[str, str]]]:
    """Return (header, rows) of a table, all at once: see ``read_table``."""
    header, rows = read_table(path, data)
    return header, [row for _, row in rows]


def read_table(path: str | Path, data: bytes | None = None, known: Collection[str] = COLUMNS) -> tuple[list[str], Rows]:
    """Return (header, rows) of any table a user may have: CSV in the dialects of ``dialects.opened``, or Parquet.

    The rows come one after the other with their number, as an editor counts (the header is 1); what is wrong with one
    is raised as InputError in its turn. Names of columns in ``known`` are found in whatever capitals; columns without a
    name and rows without a cell are left out; a row that is too short has empty cells.
    """
    if str(path).lower().endswith(".parquet"):
        names, rows = _parquet(path, data)
    else:
        with opened(path, data, known) as lines:
            names, rows = [legible(name) for name in next(lines.rows, [])], _csv_rows(path, data, known)
    header = _header(path, names, known)
    return [name for name in header if name], _named(path, header, rows)


def _header(path: str | Path, names: Sequence[str], known: Collection[str]) -> list[str]:
    """Return a name for each column, empty for one that has none."""
    plain = [name.strip().strip("\ufeff\u200b") for name in names]
    small = {name.lower(): name for name in sorted(plain) if name.lower() in known}  # small letters sort last
    header = [name.lower() if small.get(name.lower()) == name else name for name in plain]
    if not any(header):
        raise InputError(f"{path} is empty; the first line must name the columns.")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InputError(f"{path} has the column {twice[0]} twice; each name may stand once.")
    return header


def _named(path: str | Path, header: list[str], rows: Iterable[tuple[int, list[str]]]) -> Rows:
    wide, unnamed = len(header), "" in header
    for number, row in rows:
        if len(row) != wide:
            if any(cell.strip() for cell in row[wide:]):
                raise InputError(f"{path}, row {number}: has more cells than the header has names ({wide}).")
            row = row + [""] * (wide - len(row))
        if (row and row[0].strip()) or any(map(str.strip, row)):
            named = dict(zip(header, row, strict=False))
            if unnamed:
                del named[""]
            yield number, named


def _csv_rows(path: str | Path, data: bytes | None, known: Collection[str]) -> Iterator[tuple[int, list[str]]]:
    with opened(path, data, known) as lines:
        next(lines.rows, None)
        for number, row in enumerate(lines.rows, lines.before + FIRST_ROW):
            yield number, [*map(unsafe, row)] if "'" in "".join(row) else row


def _parquet(path: str | Path, data: bytes | None) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path}: Parquet needs the package pyarrow; run: pip install 'plainfilm[parquet]'.") from None
    try:
        table = parquet.ParquetFile(path if data is None else io.BytesIO(data))
        return list(table.schema_arrow.names), enumerate(_parquet_rows(path, table), FIRST_ROW)
    except Exception as error:
        raise _no_parquet(path, error) from None


def _parquet_rows(path: str | Path, table: Any) -> Iterator[list[str]]:
    try:
        for batch in table.iter_batches(TABLE_ROWS):
            for row in batch.to_pylist():
                yield ["" if value is None or value != value else str(value) for value in row.values()]
    except Exception as error:
        raise _no_parquet(path, error) from None


def _no_parquet(path: str | Path, error: Exception) -> InputError:
    """Of Arrow's own errors, but also those of codecs, sizes and values."""
    said = " ".join(str(error).split())[:200]
    return InputError(f"{path} is not a Parquet file that can be read ({said}).")
