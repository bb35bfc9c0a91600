"""Where the films that a table speaks of lie: in a folder or zip, as their owner ships them or moved together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from plainfilm.data.films import Source
from plainfilm.data.reading import FILM_ENDINGS, beside, folder_files, plain

TRIES = 1_000  # films that are looked for where their table says before all are listed


class Place:
    """The files of a data set. ``root`` is for messages, ``source`` reads a file by its path in the set."""

    def __init__(self, root: Path, source: Source, names: Callable[[], Iterable[str]], has: Callable[[str], bool]):
        self.root, self.source = root, source
        self._names, self._has = names, has
        self._found: list[tuple[str, bool]] = []  # forms by which films were found: a folder, and without the first one
        self._tried = 0
        self._by_tail: dict[str, str] = {}

    @staticmethod
    def folder(root: Path) -> Place:
        """Return the place that a folder is; it is listed only when a film is not where its table says."""
        folder = str(root)  # once: a set has hundreds of thousands of films

        def has(name: str) -> bool:
            return os.path.isfile(f"{folder}/{name}")

        def read(name: str, first: int = 0) -> bytes:
            return beside(folder, name, first)

        return Place(root, read, lambda: plain(folder_files(root)), has)

    @staticmethod
    def listed(root: Path, names: Iterable[str], source: Source) -> Place:
        """Return the place of files that are listed already, such as a zip's."""
        known = frozenset(names)
        return Place(root, source, lambda: plain(sorted(known)), known.__contains__)

    def find(self, path: str, folders: Sequence[str], tail: int) -> str:
        """Return where the film is that a table calls ``path``; "" where it is not.

        ``folders``: where the table lies and the folders around, each with its slash. The path's first folder may be
        the one handed in, or be missing. Else the last ``tail`` names of the path tell the film, whatever its ending.
        """
        if path.startswith("/") or ".." in path:
            return ""
        shorter = path.partition("/")[2]
        forms = self._found
        if not forms and self._tried < TRIES:
            self._tried += 1
            forms = [(folder, short) for folder in folders for short in (False, True) if shorter or not short]
        for folder, short in forms:
            if self._has(name := folder + (shorter if short else path)):
                if not self._found:
                    self._found = [(folder, short)]
                return name
        if not self._by_tail:
            self._by_tail = {_tail(name, tail): name for name in self._films()} or {"": ""}
        return self._by_tail.get(_tail(path, tail), "")

    def _films(self) -> Iterator[str]:
        return (name for name in self._names() if name.lower().endswith(FILM_ENDINGS))


def _tail(path: str, names: int) -> str:
    """Return the last ``names`` names of a path, without the ending."""
    end = "/".join(path.split("/")[-names:])
    return end.rpartition(".")[0] or end
