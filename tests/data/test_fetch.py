"""Downloads against a server of our own on the loopback address."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from plainfilm.commands.fetch import fetch_names
from plainfilm.data import fetch as fetching
from plainfilm.data.fetch import CATALOGUE, Download, DownloadError, announcement, fetch
from plainfilm.errors import InputError

BODY = random.Random(0).randbytes(700_001)


@dataclass
class Host:
    """What the server does, and what it was asked for (the Range of each request, None for the whole)."""

    port: int = 0
    body: bytes = BODY
    ranges: bool = True
    says_length: bool = True
    status: int = 200
    moved_to: str = ""
    stops_after: int | None = None
    holds: threading.Event | None = None  # waits here after stops_after bytes, instead of hanging up
    asked: list[str | None] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/film.zip"

    def item(self, **changes: object) -> Download:
        right = Download(
            name="film",
            address=self.address,
            filename="film.zip",
            bytes=len(BODY),
            checksum="sha256:" + hashlib.sha256(BODY).hexdigest(),
            licence="CC BY 4.0",
            citation="Nobody, Nothing (2020)",
            source="here",
        )
        return replace(right, **changes)  # type: ignore[arg-type]


class Answers(BaseHTTPRequestHandler):
    host: Host

    def do_GET(self) -> None:
        host, wanted = self.host, self.headers.get("Range")
        if host.moved_to and self.path != "/moved":
            return self.head(302, {"Location": host.moved_to})
        host.asked.append(wanted)
        if host.status != 200:
            return self.head(host.status, {"Content-Length": "0"})
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and host.ranges else 0
        if start >= len(host.body):
            return self.head(416, {"Content-Length": "0"})
        rest = host.body[start:]
        headers = {"Content-Length": str(len(rest))} if host.says_length else {}
        if wanted and host.ranges:
            self.head(206, headers | {"Content-Range": f"bytes {start}-{len(host.body) - 1}/{len(host.body)}"})
        else:
            self.head(200, headers)
        self.wfile.write(rest[: host.stops_after])
        if host.holds:
            self.wfile.flush()
            host.holds.wait(20)

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away: several tests are about them."""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("PLAINFILM_OFFLINE", raising=False)


@pytest.fixture
def host() -> Iterator[Host]:
    here = Host()
    server = Server(("127.0.0.1", 0), type("Bound", (Answers,), {"host": here}))
    here.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield here
    if here.holds:
        here.holds.set()
    server.shutdown()
    server.server_close()


def part(folder: Path) -> Path:
    return folder / "film.zip.part"


def test_a_file_arrives_whole_and_is_not_asked_for_again(host: Host, tmp_path: Path) -> None:
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert fetch(host.item(), tmp_path) == tmp_path / "film.zip"
    assert host.asked == [None]
    assert not part(tmp_path).exists()


def test_the_cache_is_the_place_when_no_folder_is_named(host: Host, tmp_path: Path) -> None:
    assert fetch(host.item()) == tmp_path / "cache" / "data" / "film.zip"
    assert fetch(host.item(folder="weights")) == tmp_path / "cache" / "weights" / "film.zip"


def test_a_right_file_in_a_folder_that_can_not_be_written_needs_no_lock(host: Host, tmp_path: Path) -> None:
    (tmp_path / "film.zip").write_bytes(BODY)
    fetch(host.item(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.zip"]
    assert host.asked == []


def test_a_broken_download_goes_on_where_it_stopped(host: Host, tmp_path: Path) -> None:
    host.stops_after = 300_000
    with pytest.raises(DownloadError, match="broke off after 300,000 of 700,001 bytes") as failure:
        fetch(host.item(), tmp_path)
    assert host.address in str(failure.value) and str(tmp_path / "film.zip") in str(failure.value)
    assert part(tmp_path).read_bytes() == BODY[:300_000]
    assert not (tmp_path / "film.zip").exists()
    host.stops_after = None
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert host.asked == [None, "bytes=300000-"]


def test_a_server_without_ranges_sends_everything_again(host: Host, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(b"x" * 300_000)
    host.ranges = False
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert host.asked == ["bytes=300000-"]


def test_a_part_that_is_complete_is_only_checked(host: Host, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(BODY)
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert host.asked == []


def test_a_part_that_is_too_long_is_started_again(host: Host, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(BODY + b"x")
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert host.asked == [None]


def test_a_killed_download_loses_nothing_that_arrived(host: Host, tmp_path: Path) -> None:
    host.stops_after, host.holds = 400_000, threading.Event()
    code = f"import sys; from plainfilm.data.fetch import Download, fetch; fetch({host.item()!r}, sys.argv[1])"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    until = time.monotonic() + 15
    while time.monotonic() < until and not (part(tmp_path).exists() and part(tmp_path).stat().st_size == 400_000):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert part(tmp_path).read_bytes() == BODY[:400_000]
    host.stops_after = None
    host.holds.set()
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert host.asked[-1] == "bytes=400000-"


def test_two_at_once_make_one_download(host: Host, tmp_path: Path) -> None:
    both = [threading.Thread(target=fetch, args=(host.item(), tmp_path)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert (tmp_path / "film.zip").read_bytes() == BODY
    assert host.asked == [None]


def test_a_wrong_checksum_names_both_and_leaves_nothing(host: Host, tmp_path: Path) -> None:
    host.body = BODY[:-1] + bytes([BODY[-1] ^ 1])
    with pytest.raises(DownloadError) as failure:
        fetch(host.item(), tmp_path)
    for content in (host.body, BODY):
        assert hashlib.sha256(content).hexdigest() in str(failure.value)
    assert not part(tmp_path).exists() and not (tmp_path / "film.zip").exists()


def test_md5_is_checked_too(host: Host, tmp_path: Path) -> None:
    right = "md5:" + hashlib.md5(BODY).hexdigest()
    assert fetch(host.item(checksum=right), tmp_path).read_bytes() == BODY
    with pytest.raises(DownloadError, match="instead of 00000000000000000000000000000000"):
        fetch(host.item(checksum="md5:" + "0" * 32), tmp_path)


def test_a_damaged_file_in_place_is_replaced(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "film.zip").write_bytes(BODY[:-5])
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert "has 699,996 bytes instead of 700,001; it is fetched again" in capsys.readouterr().err


def test_without_a_checksum_the_size_is_checked_and_a_line_says_so(host: Host, tmp_path: Path) -> None:
    item = host.item(checksum=None)
    assert "gives no checksum: only the size is checked" in announcement(item)
    assert fetch(item, tmp_path).read_bytes() == BODY
    with pytest.raises(DownloadError, match="offers 700,001 bytes instead of 5"):
        fetch(host.item(checksum=None, bytes=5, filename="other.zip"), tmp_path)


@pytest.mark.parametrize("says_length", [True, False])
def test_a_body_that_is_too_long_is_cut_off(host: Host, tmp_path: Path, says_length: bool) -> None:
    host.body, host.says_length = BODY * 20, says_length
    reason = "offers 14,000,020 bytes instead of" if says_length else "sends more than the 700,001 bytes expected"
    with pytest.raises(DownloadError, match=reason):
        fetch(host.item(), tmp_path)
    assert not part(tmp_path).exists() and not (tmp_path / "film.zip").exists()


def test_a_file_shorter_than_the_part_forgets_the_part(host: Host, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(BODY[:600_000])
    host.body = BODY[:1000]
    with pytest.raises(DownloadError, match="HTTP 416"):
        fetch(host.item(), tmp_path)
    assert not part(tmp_path).exists()


def test_an_http_error_is_one_sentence(host: Host, tmp_path: Path) -> None:
    host.status = 404
    with pytest.raises(DownloadError, match=r"^film could not be fetched from \S+ \(HTTP 404 Not Found\); .*\.$"):
        fetch(host.item(), tmp_path)


def test_a_refused_connection_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = Host(port=closed.getsockname()[1])
        with pytest.raises(DownloadError, match="Connection refused"):
            fetch(nobody.item(), tmp_path)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "OPEN_SECONDS", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        started = time.monotonic()
        with pytest.raises(DownloadError, match=r"no answer within 0\.3 s"):
            fetch(Host(port=mute.getsockname()[1]).item(), tmp_path)
    assert time.monotonic() - started < 3


def test_a_redirection_is_followed_with_its_range(host: Host, tmp_path: Path) -> None:
    host.moved_to = "/moved"
    part(tmp_path).write_bytes(BODY[:5])
    assert fetch(host.item(), tmp_path).read_bytes() == BODY
    assert host.asked == ["bytes=5-"]


@pytest.mark.parametrize("elsewhere", ["http://example.org/film.zip", "ftp://127.0.0.1/film.zip"])
def test_a_redirection_away_from_https_is_refused(host: Host, tmp_path: Path, elsewhere: str) -> None:
    host.moved_to = elsewhere
    with pytest.raises(DownloadError, match=f"leads to {elsewhere}, and only https"):
        fetch(host.item(), tmp_path)


@pytest.mark.parametrize("address", ["http://example.org/a", "file:///etc/hostname", "ftp://example.org/a"])
def test_only_https_is_asked(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError, match="only https addresses"):
        fetch(Host().item(address=address), tmp_path)


def test_offline_asks_nobody_but_uses_what_is_there(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    with pytest.raises(DownloadError, match="PLAINFILM_OFFLINE is set"):
        fetch(host.item(), tmp_path)
    (tmp_path / "film.zip").write_bytes(BODY)
    fetch(host.item(), tmp_path)
    assert host.asked == []


def test_an_unknown_name_is_the_users_fault_and_gets_a_hint() -> None:
    with pytest.raises(InputError, match=r"called 'pneumoniamnist-65'\. Did you mean 'pneumoniamnist-64'\?"):
        fetch("pneumoniamnist-65")


def test_the_catalogue_is_complete() -> None:
    sizes = ["", "-64", "-128", "-224"]
    assert list(CATALOGUE) == ["kermany", *(f"pneumoniamnist{size}" for size in sizes), "chestmnist", "vgg16"]
    for item in CATALOGUE.values():
        assert item.address.startswith("https://") and item.bytes > 10**6 and item.licence.startswith("CC BY 4.0")
        assert item.checksum and re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", item.checksum)
        said = announcement(item.name)
        assert f"{item.bytes / 1e6:,.1f} MB" in said and item.citation in said and item.licence in said


def test_fetch_names_announces_first_and_checks_all_names_before(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CATALOGUE, "film", host.item())
    with pytest.raises(InputError, match="films"):
        fetch_names(["film", "films"])
    assert host.asked == []
    [row] = fetch_names(["film"])
    assert Path(row["path"]).read_bytes() == BODY
    assert row["checksum"] == host.item().checksum and row["bytes"] == len(BODY) and row["name"] == "film"
    assert "Licence: CC BY 4.0. Cite: Nobody" in capsys.readouterr().err
