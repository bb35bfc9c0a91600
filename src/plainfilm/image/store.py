"""Rows that are made once: decoded pixels and extracted features, on disk, read through the page cache.

A store is a folder in the cache, named after what its rows are (``about.json``): ``rows.bin`` holds rows of one shape
and type end to end, ``index.txt`` one line a row. A row counts only once its line is complete, and lines are written
after their rows, so a kill in the middle loses at most the rows under way.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np

from plainfilm.data.films import Film, FilmError, Films, Table
from plainfilm.errors import InputError
from plainfilm.image.decode import RULES
from plainfilm.image.digests import Digests
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.reduced import decode_at
from plainfilm.machine import ranks
from plainfilm.machine.memory import give_back
from plainfilm.machine.threads import prefetched
from plainfilm.progress import bar
from plainfilm.storage import locks
from plainfilm.storage.files import cache_dir, locked, to_json, write_json
from plainfilm.storage.grown import Grown

TURN = 0.002  # seconds between two looks of a rank whose turn it is not


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a film's row is, the film's size in pixels, and the row's check sum."""

    row: int
    width: int
    height: int
    crc: int


class RowStore:
    """Fixed-size rows keyed by the SHA-256 of the film they were made from."""

    def __init__(self, about: dict[str, Any], shape: tuple[int, ...], dtype: str) -> None:
        self.about = {**about, "shape": list(shape), "dtype": dtype}
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        name = hashlib.sha256(to_json(self.about).encode()).hexdigest()[:16]
        self.folder = cache_dir() / "store" / name
        self.rows_path, self.index_path = self.folder / "rows.bin", self.folder / "index.txt"
        self._reading = Lock()
        self._forget()

    def _forget(self) -> None:
        self._row_of, self._count, self._index_bytes = Digests(), 0, 0
        self._facts = Grown("q")  # width, height and sum of every row

    @contextmanager
    def writing(self) -> Iterator[RowStore]:
        """Hold the store for appending; another process that wants it waits, but for ranks of the same command: they
        append by turns, and each knows all rows when it leaves."""
        with ExitStack() as held:
            with ranks.together():
                if not ranks.rank():
                    held.enter_context(locked(self.folder, wait=True))
                    if not (self.folder / "about.json").exists():
                        write_json(self.folder / "about.json", self.about)
            with ranks.together():  # all know the same rows before the first is added
                self.refresh()
                self._rows = held.enter_context(open(self.rows_path, "ab"))
                self._index = held.enter_context(open(self.index_path, "a", encoding="ascii"))
                self._written = held.enter_context(open(self.rows_path, "rb"))
                with self._turn():
                    self._checked_from = self._count  # newer rows are this command's own
            with ranks.together():
                yield self
            self.refresh()

    def refresh(self) -> None:
        """Read the index anew, as far as it is whole."""
        self._forget()
        self._read_on()

    def _read_on(self) -> None:
        """Read what came to the index since it was last read."""
        stored = self.rows_path.stat().st_size // self.row_bytes if self.rows_path.exists() else 0
        if stored <= self._count or not self.index_path.exists():
            return
        with open(self.index_path, "rb") as index:
            index.seek(self._index_bytes)
            for line in islice(index, stored - self._count):
                if not line.endswith(b"\n"):
                    break
                found = _facts(line)
                self._know(*(found[1:] if found else (0, 0, 0)))
                if found:
                    self._row_of[found[0]] = self._count
                self._count, self._index_bytes = self._count + 1, self._index_bytes + len(line)

    def _know(self, width: int, height: int, crc: int) -> None:
        """Remember the facts of the next row: before threads can find it."""
        self._facts.reserve(3)
        for fact in (width, height, crc):
            self._facts.append(fact)

    def append(self, rows: Sequence[tuple[str, int, int, np.ndarray]]) -> None:
        """Add (sha256, width, height, row) tuples: first all rows, then all lines. A full disk is an OSError."""
        with self._turn():
            self._append(rows)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keep the other ranks from appending; know what they have appended, and cut off rows whose line never came."""
        alone = ranks.world() == 1  # then the store's own lock is enough
        with nullcontext() if alone else locks.held(self.folder / ".turn", wait=True, look=TURN):
            self._read_on()
            self._rows.truncate(self._count * self.row_bytes)
            self._index.truncate(self._index_bytes)
            yield

    def _append(self, rows: Sequence[tuple[str, int, int, np.ndarray]]) -> None:
        lines = []
        for sha256, width, height, row in rows:
            data = np.ascontiguousarray(row, self.dtype).tobytes()
            self._rows.write(data)
            self._know(width, height, zlib.crc32(data))
            self._row_of[sha256] = self._count
            line = f"{sha256} {width} {height} {zlib.crc32(data)}"
            lines.append(f"{line} {zlib.crc32(line.encode())}\n")
            self._count += 1
        self._rows.flush()
        self._index.write("".join(lines))
        self._index.flush()
        self._index_bytes += sum(map(len, lines))

    def note(self, rows: int, seconds: float, engine: str) -> None:
        """Remember that making ``rows`` took ``engine`` so many ``seconds``: a later run that finds them can say so."""
        with open(self.folder / "seconds.txt", "a", encoding="ascii") as handle:
            handle.write(f"{rows} {seconds:.3f} {engine}\n")

    def seconds_a_row(self) -> float:
        """Return the mean seconds that a row took to make; 0 when nobody noted any."""
        noted = self._noted()
        return sum(s for _, s, _ in noted) / sum(n for n, _, _ in noted) if noted else 0.0

    def engines(self) -> dict[str, int]:
        """Return how many rows each engine made, as far as it was noted."""
        noted = self._noted()
        return {name: sum(n for n, _, by in noted if by == name) for name in sorted({by for *_, by in noted})}

    def _noted(self) -> list[tuple[int, float, str]]:
        path = self.folder / "seconds.txt"
        text = path.read_bytes().decode("latin-1") if path.exists() else ""
        lines = re.findall(r"^(\d+) (\d+\.\d{3})(?: ([a-z]+))?$", text, re.ASCII | re.MULTILINE)
        return [(int(n), float(s), by or "torch") for n, s, by in lines]

    def all_rows(self) -> np.ndarray:
        """Return every row as a read-only memory map (M, *shape)."""
        if not self._count:
            return np.empty((0, *self.shape), self.dtype)
        return np.memmap(self.rows_path, self.dtype, "r", shape=(self._count, *self.shape))

    def rows(self, sha256: Iterable[str]) -> np.ndarray:
        """Return (N,) the rows of N stored films; KeyError for one that is none."""
        return self._row_of.all(sha256)

    def entry(self, sha256: str) -> Entry | None:
        """Return what is stored of a film, whatever became of its row."""
        row = self._row_of.get(sha256)
        return None if row is None else Entry(row, *self._facts.view[3 * row : 3 * row + 3])

    def fresh(self, sha256: str) -> bool:
        """Return whether the film came to the store while this command had it open."""
        entry = self.entry(sha256)
        return entry is not None and entry.row >= self._checked_from

    def intact(self, sha256: str) -> Entry | None:
        """Return the film's entry if it is stored and its row's bytes still match their check sum."""
        entry = self.entry(sha256)
        if entry is None or entry.row >= self._checked_from:
            return entry
        # Read, not mapped: the process does not grow with the store.
        row = self._read_at(entry.row * self.row_bytes)
        return entry if zlib.crc32(row) == entry.crc else None

    def _read_at(self, place: int) -> bytes:
        """Return the row that begins at a byte of the file; any thread may ask."""
        if hasattr(os, "pread"):
            return os.pread(self._written.fileno(), self.row_bytes, place)
        with self._reading:  # Windows has no call that seeks and reads at once
            self._written.seek(place)
            return self._written.read(self.row_bytes)


def _facts(line: bytes) -> tuple[str, int, int, int] | None:
    """Read one line of the index: SHA-256, width, height, the row's sum and (since November 2026) the line's own; None
    when it is damaged, and the film is then decoded anew."""
    cells = re.fullmatch(rb"([0-9a-f]{64}) (\d{1,9}) (\d{1,9}) (\d{1,10})(?: (\d{1,10}))?\n", line)
    if cells is None or (cells[5] and zlib.crc32(line[: cells.end(4)]) != int(cells[5])):
        return None
    return cells[1].decode(), int(cells[2]), int(cells[3]), int(cells[4])


@dataclass(frozen=True)
class Rows:
    """The stored rows of some films, in the films' order: ``rows[positions]`` reads just those."""

    data: np.ndarray  # memory map (M, *shape)
    order: np.ndarray  # (N,) row of each film
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return (B, *shape) for positions among the films."""
        return np.asarray(self.data[self.order[positions]])

    def columns(self, positions: np.ndarray, some: slice) -> np.ndarray:
        """Return (B, some) of rows that are vectors."""
        return np.asarray(self.data[:, some][self.order[positions]])

    def release(self) -> None:
        """Give back the memory of the rows read so far; the page cache keeps them as long as it likes."""
        mapped = getattr(self.data, "_mmap", None)  # of np.memmap; other arrays are in memory anyway
        if mapped is not None and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Versions:
    """Rows of the same N films, first as they are and then changed: position ``v * N + i`` is film i in version v."""

    rows: tuple[Rows, ...]

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """Return (B, *shape) for positions among all versions."""
        return self._gathered(positions, lambda rows, films: rows[films])

    def columns(self, positions: np.ndarray, some: slice) -> np.ndarray:
        """Return (B, some) of rows that are vectors."""
        return self._gathered(positions, lambda rows, films: rows.columns(films, some))

    def _gathered(self, positions: np.ndarray, read: Callable[[Rows, np.ndarray], np.ndarray]) -> np.ndarray:
        if len(self.rows) == 1:
            return read(self.rows[0], positions)
        version, films = np.divmod(positions, len(self.rows[0]))
        parts = [(np.flatnonzero(version == v), rows) for v, rows in enumerate(self.rows)]
        read_parts = [(places, read(rows, films[places])) for places, rows in parts if len(places)]
        found = np.empty((len(positions), *read_parts[0][1].shape[1:]), read_parts[0][1].dtype)
        for places, values in read_parts:
            found[places] = values
        return found


def rows_of(store: RowStore, films: Films) -> Rows:
    """Return the rows of ``films``, all of which must be in ``store``."""
    return Rows(store.all_rows(), store.rows(films.films.hashes), store.about)


def pixel_store(preprocess: Preprocess) -> RowStore:
    """Return the store of decoded pixels for ``preprocess``; scaling to floats comes later and is not part of it."""
    rule = f", JPEG reduced to {preprocess.oversample} x size" if preprocess.oversample else ""
    about = {"kind": "pixels", "size": preprocess.size, "resize": preprocess.resize}
    about |= {"decoder": f"pillow{rule}", "rules": RULES}
    return RowStore(about, (preprocess.size, preprocess.size), "uint8")


def ingest(films: Films, preprocesses: Sequence[Preprocess], max_bad: float = 0.01) -> tuple[Films, list[Rows]]:
    """Read, hash and (once in the store's life) decode every film, for all ``preprocesses`` in one go.

    Return the readable films with size and hash, and their rows a preprocess. Unreadable films move to the
    quarantine; InputError when they are more than the share ``max_bad``.
    """
    by_folder = {store.folder: (store, p) for p in preprocesses for store in [pixel_store(p)]}
    stores = list(by_folder.values())
    own = ranks.turns(len(films))
    good, bad = Table(), []
    with ExitStack() as stack, bar("Reading films", len(own)) as progress:
        for store, _ in stores:
            stack.enter_context(store.writing())
        for film, reason, fresh in _read_all((films.films[i] for i in own), stores):
            progress.step()
            if reason:
                bad.append((film.path, reason))
                continue
            good.append(film)
            for store, row in fresh:
                if not store.fresh(film.sha256):  # an exact duplicate may have come meanwhile
                    store.append([(film.sha256, film.width, film.height, row)])
    good, bad = _of_all_ranks(films, good, [*bad])
    bad = [*films.quarantine, *bad]
    check_bad(films.name, len(good), bad, max_bad)
    if len(good.labels.different) < min(2, len(films.classes)) and not films.findings:
        raise InputError(f"{films.name}: fewer than two classes are left once unreadable films are put aside.")
    ready = films.with_films(good, quarantine=tuple(bad))
    give_back()
    return ready, [rows_of(by_folder[pixel_store(p).folder][0], ready) for p in preprocesses]


def _of_all_ranks(films: Films, good: Table, bad: list[tuple[str, str]]) -> tuple[Table, list[tuple[str, str]]]:
    """Return the good and bad films of all ranks, in the order of ``films``."""
    if ranks.world() == 1:
        return good, bad
    read = {
        path: (sha256, width, height)
        for part in ranks.gathered([(f.path, f.sha256, f.width, f.height) for f in good])
        for path, sha256, width, height in part
    }
    reasons = dict(row for part in ranks.gathered(bad) for row in part)
    known = ((film, *read[film.path]) for film in films if film.path in read)
    every = Table(replace(film, sha256=sha256, width=width, height=height) for film, sha256, width, height in known)
    return every, [(film.path, reasons[film.path]) for film in films if film.path in reasons]


def _read_all(
    films: Iterable[Film], stores: list[tuple[RowStore, Preprocess]]
) -> Iterator[tuple[Film, str, list[tuple[RowStore, np.ndarray]]]]:
    """Yield (film with size and hash, reason or "", fresh rows) in order, read by one thread a core: Pillow's decoders
    leave the interpreter lock."""

    def read(film: Film) -> tuple[Film, str, list[tuple[RowStore, np.ndarray]]]:
        try:
            data = film.read()
            sha256 = hashlib.sha256(data).hexdigest()
            known = [store.intact(sha256) for store, _ in stores]
            if known[0] and all(known):
                return replace(film, sha256=sha256, width=known[0].width, height=known[0].height), "", []
            missing = [(s, p, p.factor(data)) for (s, p), entry in zip(stores, known, strict=True) if entry is None]
            pictures = {factor: decode_at(data, factor) for factor in {factor for _, _, factor in missing}}
            size = next(iter(pictures.values()))
            fresh = [(store, p.pixels(pictures[factor])) for store, p, factor in missing]
            return replace(film, sha256=sha256, width=size.width, height=size.height), "", fresh
        except FilmError as error:
            return film, str(error), []

    return prefetched(read, films, ranks.cores(), 64)


def check_bad(name: str, good: int, bad: list[tuple[str, str]], max_bad: float) -> None:
    """InputError when more than the share ``max_bad`` of the films of ``name`` are ``bad``: (path, reason)."""
    total = good + len(bad)
    if len(bad) > max_bad * total:
        examples = "; ".join(f"{path}: {reason}" for path, reason in bad[:3])
        raise InputError(
            f"{name}: {len(bad)} of {total} films can't be read, more than --max-bad {max_bad:g} allows"
            f" ({examples}). Mend or remove them, or raise --max-bad."
        )
