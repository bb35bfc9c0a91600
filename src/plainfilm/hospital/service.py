"""Films in, answers out, until told to stop: one loop makes answers, one hands them over, each where the other stands.

Whatever happens to either, a film is in the spool until its answer has been taken and the trail says so.
"""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from plainfilm.hospital.answering import Answering
from plainfilm.hospital.archive import Archive, Refused, Unreachable
from plainfilm.hospital.client import Object, object_in
from plainfilm.hospital.counters import Counters
from plainfilm.hospital.spool import Spool, Waiting, files_of, line_of
from plainfilm.hospital.trail import DONE, Trail
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.answer import alone, blas_alone
from plainfilm.models.reads import batches
from plainfilm.progress import say

if TYPE_CHECKING:
    from plainfilm.hospital.commitment import Commitments, Outcome

LOOK = 0.1  # seconds between two looks at the spool
SHORTEST, LONGEST = 1.0, 300.0  # seconds until an archive that took nothing is tried again, at first and at last
REFUSALS = 5  # of one answer, after which it is given up
HANDS = 2  # answers that are handed over at the same time: while one is written to a disk, another is under way
BATCH = 8  # answers whose lines go to the disk together
HELD = 60.0  # seconds until an answer is sent again that the archive has not committed to; twice as long each time
LONGEST_HELD = 3600.0
AGAIN = 5.0  # seconds until a film is tried again that the machine had no room for


class _Taken(NamedTuple):
    """An answer that the archive has acknowledged: its film, its line, its objects."""

    film: str
    line: dict[str, Any]
    objects: list[Object]


@dataclass
class Service:
    """A model between a spool and an archive. ``quiet``: seconds without a further film after which a study is
    answered; ``give_up``: seconds after which an answer that nobody takes is put aside; ``commitments``: whom to ask
    whether answers are kept, before films are forgotten."""

    answering: Answering
    spool: Spool
    trail: Trail
    counters: Counters
    archive: Archive
    quiet: float
    give_up: float
    commitments: Commitments | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    _busy: dict[str, float] = field(default_factory=dict)  # films under way; until when they are left alone
    _tries: dict[str, int] = field(default_factory=dict)
    _refusals: dict[str, int] = field(default_factory=dict)
    _later: dict[str, float] = field(default_factory=dict)  # when a refused answer is tried again
    _held: dict[str, dict[str, Any]] = field(default_factory=dict)  # lines of answers that nobody has committed to yet

    def __post_init__(self) -> None:
        if self.commitments:
            self.commitments.told = self._told

    def run(self) -> None:
        """Answer and hand over until ``stop`` is set."""
        handing = threading.Thread(target=self._until_stopped, name="hand over")
        handing.start()
        try:
            with blas_alone():
                for _ in prefetched(self._answer, self._due(), ranks.cores(), ranks.cores(), alone):
                    pass
        finally:
            self.stop.set()
            handing.join()
            self.archive.close()

    def _due(self) -> Iterator[Waiting]:
        """Yield films as their studies fall quiet."""
        while not self.stop.is_set():
            now = time.monotonic()
            due = [each for each in self.spool.quiet(self.quiet) if self._busy.get(each.film, 0) <= now]
            for each in due:
                if self.stop.is_set():
                    return
                self._busy[each.film] = float("inf")
                yield each
            if not due:
                self.stop.wait(LOOK)

    def _answer(self, film: Waiting) -> None:
        begun, until = time.monotonic(), 0.0
        try:
            if not self.trail.knows(film.film, self.answering.model.hash):
                made = self.answering.answer(film.path.read_bytes())
                self.spool.keep(film.film, made)
                self.counters.referred.inc(made.line["refer"])
            else:  # killed between its line and its end
                self.spool.drop(film.film, film.study)
        except (OSError, MemoryError) as error:
            say(f"Film {film.film[:8]} has to wait: {type(error).__name__}; trying again in {AGAIN:g} seconds.")
            until = time.monotonic() + AGAIN
        except Exception as error:  # whatever a header can do to what writes answers: this film, and no other
            self._give_up(film.film, film.study, f"No answer could be made ({type(error).__name__}).")
        finally:
            self._busy[film.film] = until
            if not until:
                self._busy.pop(film.film)
        self.counters.seconds.observe(time.monotonic() - begun)

    def _until_stopped(self) -> None:
        """Hand over; should that ever end by itself, let the whole service end: whoever started it starts it again."""
        try:
            self._hand_over()
        finally:
            self.stop.set()

    def _hand_over(self) -> None:
        pause = SHORTEST
        while not self.stop.is_set():
            now = time.monotonic()
            waiting = [
                path for path in sorted(self.spool.answers.glob("*.zip")) if self._later.get(path.stem, 0) <= now
            ]
            try:
                for _ in prefetched(self._handed, batches(waiting, BATCH), HANDS, HANDS):
                    pause = SHORTEST
            except (Unreachable, OSError) as error:
                self.counters.retries.inc()
                left = [path for path in waiting if path.exists()]
                for path in left:
                    self._if_too_old(path, str(error))
                say(f"{len(left)} answers wait: {error}; trying again in {pause:g} seconds.")
                self.stop.wait(pause)
                pause = min(2 * pause, LONGEST)
            if not waiting:
                self.stop.wait(LOOK)

    def _handed(self, paths: Sequence[Path]) -> None:
        """Hand over answers; then write the lines of those that were taken, all at once, and forget their films; or
        first ask whether they are kept."""
        taken: list[_Taken] = []
        try:
            for path in paths:
                if not self.stop.is_set() and (found := self._taken(path)):
                    taken.append(found)
        finally:
            if taken and self.commitments:
                self._ask(self.commitments, taken)
            else:
                self._done([each.line for each in taken])

    def _done(self, lines: Sequence[dict[str, Any]]) -> None:
        """Write the lines, all at once, and forget their films."""
        if new := [line for line in lines if not self.trail.knows(line["film"], line["model"])]:
            self.trail.add(*new)
        for line in lines:
            self.spool.drop(line["film"], line["study"])
            self._forget(line["film"])
        self.counters.answers.labels(DONE).inc(len(new))

    def _ask(self, commitments: Commitments, taken: Sequence[_Taken]) -> None:
        """Ask whether answers are kept; they stay here until the archive says so. Unreachable to send them again."""
        for film, tries in ((each.film, each.line["attempts"]) for each in taken):
            self._later[film] = time.monotonic() + min(HELD * 2 ** (tries - 1), LONGEST_HELD)
        self._held |= {each.film: each.line for each in taken}
        try:
            commitments.ask({each.film: each.objects for each in taken})
        except Unreachable:
            for each in taken:
                self._later.pop(each.film, None)
            raise

    def _told(self, outcome: Outcome) -> None:
        """Forget films whose answers the archive keeps; send the others again, a few times."""
        lines = {film: line for film in (*outcome.kept, *outcome.lost) if (line := self._held.pop(film, None))}
        self._done([line for film, line in lines.items() if film in outcome.kept])
        for film in outcome.lost:
            if film in lines:
                self._refused(film, lines[film]["study"], "it does not keep all of it")

    def _taken(self, path: Path) -> _Taken | None:
        """Hand over one answer and return what is known of it; or count the refusal. Unreachable or OSError to try it
        again."""
        film = path.stem
        if film in self._held and not self._if_too_old(path, "the archive has not committed to it"):
            self.counters.retries.inc()
        try:
            line, files = line_of(path), files_of(path)
        except FileNotFoundError:  # given up, or committed to meanwhile
            return None
        except (zipfile.BadZipFile, ValueError, KeyError):  # a disk that lost bytes: the film is answered anew
            path.unlink()
            return None
        if self.trail.knows(film, line["model"]):  # killed between its line and its end
            self.spool.drop(film, line["study"])
            return None
        tries = self._tries[film] = self._tries.get(film, 0) + 1
        try:
            self.archive.send({f"{film}-{kind}.dcm": data for kind, data in files.items()})
        except (Unreachable, OSError):
            raise
        except Exception as error:  # refused, or nothing that could be sent: this answer, and no other
            self._refused(film, line["study"], str(error) if isinstance(error, Refused) else type(error).__name__)
            return None
        if self.trail.knows(film, line["model"]):  # a late report: committed to while it was sent again
            return None
        objects = [object_in(data)[0] for data in files.values()]
        return _Taken(film, {**line, "attempts": tries, "outcome": DONE}, objects)

    def _refused(self, film: str, study: str, why: str) -> None:
        self.counters.retries.inc()
        refusals = self._refusals[film] = self._refusals.get(film, 0) + 1
        if refusals >= REFUSALS:
            self._give_up(film, study, f"The archive refused the answer {refusals} times: {why}.")
        else:
            self._later[film] = time.monotonic() + SHORTEST * 2**refusals

    def _if_too_old(self, path: Path, why: str) -> bool:
        """Give up an answer that nobody has taken for too long; return whether that was so."""
        with suppress(FileNotFoundError):  # committed to meanwhile
            if time.time() - path.stat().st_mtime > self.give_up:
                self._give_up(path.stem, line_of(path)["study"], f"Nobody has taken the answer: {why}.")
                return True
        return False

    def _give_up(self, film: str, study: str, why: str) -> None:
        self._forget(film)
        say(f"Gave up film {film[:8]}: {why} It lies in {self.spool.failed}.")
        self.counters.answers.labels("given up").inc()
        self.spool.give_up(film, study, why)

    def _forget(self, film: str) -> None:
        for about in (self._tries, self._refusals, self._later, self._held):
            about.pop(film, None)
