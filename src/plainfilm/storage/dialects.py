"""How a table's bytes become cells: packed or not, its encoding, its separator. Spreadsheets differ in all three."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO, cast

from plainfilm.errors import InputError

COLUMNS = ("path", "label", "patient", "part", "split")  # names by which a header's separator is known
SEPARATORS = ",;\t|"
LOOKED_AT = 20  # lines by which the separator is chosen
MAX_LINE = 2**24  # characters
MAX_UNPACKED = 2 * 2**30  # characters of a packed table: a hundred times those of a million films
SAID = re.compile(r'"?sep=(.)"?[;,\s]*', re.IGNORECASE)  # Excel's own first line
MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Lines(NamedTuple):
    """A table's lines, how many stood before them (blank ones and ``sep=``), and how they are separated."""

    rows: Iterator[list[str]]
    before: int


@contextmanager
def opened(path: str | Path, data: bytes | None = None, known: Collection[str] = COLUMNS) -> Iterator[Lines]:
    """Give the cells of a text table, of ``data`` where its bytes are at hand already, line by line as they are read.

    Plain or packed by gzip; UTF-8, UTF-16 or UTF-32, with or without a mark (bytes that are none become surrogates, see
    ``legible``); separated by commas, semicolons, tabs or bars, or as a first line ``sep=;`` says. ``known``: names
    of columns in small letters; the separator that shows most of them is taken. InputError says what is wrong.
    """
    try:
        with open(path, "rb") if data is None else io.BufferedReader(io.BytesIO(data)) as file:  # type: ignore[arg-type]
            text, most = _text(cast(io.BufferedReader, file))
            with text:
                yield _cells(_lines(path, text, most), known)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} can't be read ({getattr(error, 'strerror', None) or error}).") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file that can be read ({error}).") from None


def legible(cell: str) -> str:
    """Return ``cell``; one whose bytes were no UTF-8 as Windows-1252, as Excel saves a plain CSV in the West."""
    if cell.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in cell):
        return cell
    return cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _text(file: io.BufferedReader) -> tuple[TextIO, int]:
    """Return the characters of a file, unpacked, and how many of them there may be."""
    packed = file.peek(2)[:2] == b"\x1f\x8b"
    plain = io.BufferedReader(gzip.GzipFile(fileobj=cast(BinaryIO, file))) if packed else file  # type: ignore[arg-type]
    encoding = _encoding(plain.peek(4)[:4])
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return io.TextIOWrapper(plain, encoding, errors, newline=""), MAX_UNPACKED if packed else 2**63


def _encoding(head: bytes) -> str:
    """By the mark at the start, else by where the zeros of the first two letters are, which are ASCII in a header."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    zeros = "".join("0" if byte == 0 else "x" for byte in head)
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros, "utf-8")


def _lines(path: str | Path, text: TextIO, most: int) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        most -= len(line)
        if len(line) == MAX_LINE or most < 0:
            what = "has a line" if most >= 0 else "unpacks to a text"
            raise InputError(f"{path} {what} of more characters than a table of films has; is it one?")
        yield line


def _cells(lines: Iterator[str], known: Collection[str]) -> Lines:
    head = list(islice(lines, LOOKED_AT))
    said = next((found for line in head if (found := SAID.fullmatch(line))), None)
    before = next((place for place, line in enumerate(head) if line.strip() and not SAID.fullmatch(line)), len(head))
    separator = said[1] if said else _separator(head[before:], known)
    blanks = before < len(head) and f"{separator} " in head[before]  # "path, label": then quotes follow a blank
    every = chain(head[before:], lines)
    return Lines(csv.reader(every, delimiter=separator, strict=True, skipinitialspace=blanks), before)


def _separator(head: list[str], known: Collection[str]) -> str:
    """Return the separator under which the header has most ``known`` names, else most rows as many cells as it."""

    def fit(separator: str) -> tuple[int, int, int]:
        rows = list(csv.reader(head, delimiter=separator))
        names = [name.strip().lower() for name in rows[0]] if rows else []
        like = sum(len(row) == len(names) > 1 for row in rows)
        return sum(name in known for name in names), like, len(names)

    return max(SEPARATORS, key=fit)
