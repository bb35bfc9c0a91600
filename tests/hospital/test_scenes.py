"""The whole of it against a real Orthanc: `receive` and `watch` as processes, DCMTK's storescu, DICOMweb."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from plainfilm.hospital.client import Peer, _command, _pieces, _request
from plainfilm.hospital.receiver import FILM_BYTES
from plainfilm.hospital.source import CR, hashed

from . import films as made
from .orthanc import Orthanc, free_port
from .test_receiver import stored, wait_until

PATIENCE = 120  # seconds: the machine may be busy


class Receiver:
    """A ``plainfilm`` process that receives or watches; what it says is kept."""

    def __init__(self, *words: object) -> None:
        self.words = [sys.executable, "-m", "plainfilm", *map(str, words), "--json"]
        self.about: dict[str, str] = {}

    def start(self) -> Receiver:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "".join(self.said)
        self.about = json.loads(line)
        return self

    def _listen(self) -> None:
        assert self.process.stderr
        self.said.extend(self.process.stderr)

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            with contextlib.suppress(ValueError):
                pipe.close()
        return code


@contextlib.contextmanager
def started(*words: object) -> Iterator[Receiver]:
    receiver = Receiver(*words).start()
    try:
        yield receiver
    finally:
        if receiver.process.poll() is None:
            receiver.stop(signal.SIGKILL)


def written(folder: Path, count: int, side: int = 64, studies: int | None = None) -> list[Path]:
    """Films of ``count`` patients, or of ``studies``, in files."""
    folder.mkdir()
    for number in range(count):
        data = made.written(made.film(number, side, study=number % (studies or count), of=folder.name))
        (folder / f"{number:04d}.dcm").write_bytes(data)
    return sorted(folder.iterdir())


def sent(storescu: str, port: int, *films: Path) -> bool:
    command = [storescu, "-to", "20", "-td", "20", "-aec", "PLAINFILM", "127.0.0.1", str(port), *map(str, films)]
    return subprocess.run(command, capture_output=True).returncode == 0


def lines(spool: Path) -> list[dict[str, object]]:
    files = sorted(spool.glob("trail*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def check(orthanc: Orthanc, films: list[Path], spool: Path) -> None:
    """Each film has one report, one picture, a key object if it was referred, in its study; and one line."""
    held = orthanc.held()
    found = Counter((each["study"], each["modality"]) for each in held)
    wanted: Counter[tuple[str, str]] = Counter()
    referred: Counter[tuple[str, str]] = Counter()
    by_film = {line["film"]: line for line in lines(spool)}
    assert len(by_film) == len(lines(spool)) == len(films)
    for path in films:
        source = dcmread(path, stop_before_pixels=True)
        wanted.update({(source.StudyInstanceUID, "SR"): 1, (source.StudyInstanceUID, "OT"): 1})
        referred[(source.StudyInstanceUID, "KO")] += bool(by_film[hashed(source.SOPInstanceUID)]["refer"])
    answers = Counter({key: n for key, n in found.items() if key[1] in ("SR", "OT", "KO")})
    assert answers == wanted + referred
    assert [p for p in spool.rglob("*") if p.suffix in (".dcm", ".zip")] == []  # nothing is kept
    report = next(each for each in held if each["modality"] == "SR")
    read = dcmread(io.BytesIO(orthanc.file(report["id"])))
    assert "Research use only" in read.to_json()


def test_films_sent_by_storescu_are_answered_into_their_studies(orthanc, tools, run, tmp_path):
    (storescu,) = tools("storescu")
    films, spool = written(tmp_path / "films", 9, studies=4), tmp_path / "spool"
    flags = ("--port", 0, "--answer", orthanc.peer, "--wait", 0.5, "--spool", spool, "--reserve", 1)
    with started("receive", run, *flags) as receiver:
        port = int(receiver.about["films"].rsplit(":", 1)[1])
        assert sent(storescu, port, *films)
        wait_until(lambda: len(lines(spool)) == 9, PATIENCE)
        assert receiver.stop() == 0
    check(orthanc, films, spool)


def test_films_are_fetched_and_answered_over_dicomweb(orthanc, run, tmp_path):
    films, spool = written(tmp_path / "films", 5, studies=2), tmp_path / "spool"
    for path in films:
        orthanc.post(path.read_bytes())
    flags = ("--dicomweb", orthanc.web, "--days", 36_500, "--wait", 0, "--spool", spool, "--reserve", 1)
    with started("receive", run, *flags) as receiver:
        wait_until(lambda: len(lines(spool)) == 5, PATIENCE)
        time.sleep(1)
        assert receiver.stop(signal.SIGINT) == 130
    check(orthanc, films, spool)


def test_a_watched_folder_is_answered_and_left_as_it_is(run, tmp_path):
    films, out = written(tmp_path / "films", 3), tmp_path / "out"
    (tmp_path / "films" / "notes.txt").write_text("no film")
    with started(
        "watch", run, tmp_path / "films", "--out", out, "--wait", 0, "--reserve", 1, "--no-pictures"
    ) as watching:
        wait_until(lambda: len(lines(out / "spool")) == 3, PATIENCE)
        assert watching.stop() == 0
    assert len(list(out.glob("*-SR.dcm"))) == 3 and all(path.exists() for path in films)
    assert any("notes.txt is passed over" in line for line in watching.said)


GIGABYTE = 2**30


def poured(port: int, megabytes: list[float]) -> None:
    """Send a film with a gigabyte of pixels as a device does, in PDUs of 128 KB; note how much went out."""
    kinds = [(CR, ExplicitVRLittleEndian)]
    head = made.film(1, 8, Rows=20_000, Columns=26_843, PixelData=b"")
    file = made.written(head)
    start = file[144 + int.from_bytes(file[140:144], "little") : -4] + GIGABYTE.to_bytes(4, "little")
    with socket.create_connection(("127.0.0.1", port)) as there:
        there.sendall(_request("MODALITY", Peer("PLAINFILM", "127.0.0.1", port), kinds))
        assert there.recv(65_536)[0] == 2  # granted
        there.sendall(b"".join(_pieces(1, 1, _command(CR, str(head.SOPInstanceUID), 1), 2**17)))
        sent, piece = len(start), bytes(2**17 - 6)
        try:
            there.sendall(struct.pack(">BxLLBB", 4, len(start) + 6, len(start) + 2, 1, 0) + start)
            while sent < GIGABYTE:
                there.sendall(struct.pack(">BxLLBB", 4, len(piece) + 6, len(piece) + 2, 1, 0) + piece)
                sent += len(piece)
        except ConnectionError:
            pass
    megabytes.append(sent / 1e6)


def most_megabytes(process: subprocess.Popen[str]) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_films_of_a_gigabyte_are_cut_off_memory_stays_flat_and_the_next_film_is_taken(run, film, tmp_path):
    flags = ("--port", 0, "--answer", "A@127.0.0.1:1", "--wait", 0, "--spool", tmp_path / "spool", "--reserve", 1)
    with started("receive", run, *flags, "--no-pictures") as receiver:
        port = int(receiver.about["films"].rsplit(":", 1)[1])
        assert stored(port, film(0)) == [0]
        wait_until(lambda: list((tmp_path / "spool" / "answers").glob("*.zip")), PATIENCE)
        sent: list[float] = []
        most = [most_megabytes(receiver.process)]
        for count in (5, 10, 1, 1):  # what a film leaves free is taken for the next; then for the next eight at once
            for _ in range(count):
                together = 8 if count == 1 else 1
                threads = [threading.Thread(target=poured, args=(port, sent)) for _ in range(together)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(PATIENCE)
            most.append(most_megabytes(receiver.process))
        print(f"cut off after {max(sent):.0f} MB at most; most memory {', '.join(f'{each:.0f}' for each in most)} MB")
        # What went out, not what was read: the kernel's buffers hold some tens of MB more on a busy machine
        assert len(sent) == 5 + 10 + 8 + 8 and max(sent) < 200 and all(each > FILM_BYTES / 1e6 for each in sent[:15])
        assert most[2] - most[0] < 96 and most[4] - most[0] < 192  # 15 gigabytes, and 31
        assert stored(port, film(2)) == [0]
        wait_until(lambda: len(list((tmp_path / "spool" / "answers").glob("*.zip"))) == 2, PATIENCE)
        assert receiver.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["store", "web"])
def test_two_hundred_films_each_way(orthanc, tools, run, tmp_path, way):
    (storescu,) = tools("storescu")
    films, spool = written(tmp_path / "films", 200, 256, studies=120), tmp_path / "spool"
    if way == "web":
        for path in films:
            orthanc.post(path.read_bytes())
        source = ("--dicomweb", orthanc.web, "--days", 36_500)
    else:
        source = ("--port", 0, "--answer", orthanc.peer)
    with started("receive", run, *source, "--wait", 1, "--spool", spool, "--reserve", 1) as receiver:
        if way == "store":
            assert sent(storescu, int(receiver.about["films"].rsplit(":", 1)[1]), *films)
        wait_until(lambda: len(lines(spool)) == 200, 600)
        receiver.stop()
    check(orthanc, films, spool)


@pytest.mark.slow
def test_twenty_kills_and_an_archive_that_was_away(orthanc, tools, run, tmp_path):
    """SIGKILL at 20 random moments; the archive is away for a minute in between: nothing lost, nothing twice."""
    (storescu,) = tools("storescu")
    rng, films, spool, port = (
        random.Random(0),
        written(tmp_path / "films", 60, 256, studies=40),
        tmp_path / "spool",
        free_port(),
    )
    flags = ("--port", port, "--answer", orthanc.peer, "--wait", 0.2, "--spool", spool, "--reserve", 1)
    over, acknowledged, back = threading.Event(), threading.Event(), 0.0

    def send() -> None:
        for path in films:  # as a modality does: again until it is acknowledged
            while not sent(storescu, port, path) and not over.is_set():
                time.sleep(0.3)
        acknowledged.set()

    sending = threading.Thread(target=send)
    sending.start()
    try:
        for kill in range(20):
            with started("receive", run, *flags) as receiver:
                time.sleep(rng.uniform(0, 3))
                if kill == 8:
                    orthanc.stop(hard=True)
                    back = time.monotonic() + 60
                if kill == 12:
                    time.sleep(max(0.0, back - time.monotonic()))
                    orthanc.start()
                receiver.stop(signal.SIGKILL)
        with started("receive", run, *flags) as receiver:
            assert acknowledged.wait(300)
            wait_until(lambda: len(lines(spool)) == len(films), 300)
            receiver.stop()
    finally:
        over.set()
        sending.join()
    check(orthanc, films, spool)


@pytest.mark.slow
def test_a_small_disk_that_fills_loses_nothing(orthanc, tools, run, tmp_path):
    """A spool of 12 MB, films of 2 MB, an archive that is away: refused films are sent again, all are answered."""
    (storescu,) = tools("storescu")
    films, disk = written(tmp_path / "films", 16, 1024), tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a tmpfs can't be mounted here")
    try:
        orthanc.stop()
        flags = ("--port", 0, "--answer", orthanc.peer, "--wait", 0, "--spool", disk / "spool", "--reserve", 6)
        with started("receive", run, *flags) as receiver:
            port = int(receiver.about["films"].rsplit(":", 1)[1])
            taken = [sent(storescu, port, path) for path in films]
            assert any(taken) and not all(taken)
            orthanc.start()
            left = [path for path, there in zip(films, taken, strict=True) if not there]
            until = time.monotonic() + 300
            while left and time.monotonic() < until:
                left = [path for path in left if not sent(storescu, port, path)]
                time.sleep(0.5)
            wait_until(lambda: len(lines(disk / "spool")) == len(films), 300)
            receiver.stop()
        check(orthanc, films, disk / "spool")
    finally:
        subprocess.run(["umount", disk], check=True)
