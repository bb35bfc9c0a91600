"""Public data sets and weights: address, size, checksum and licence of each, and a download that can be resumed."""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from plainfilm.errors import InputError, PlainfilmError, did_you_mean
from plainfilm.progress import bar, say
from plainfilm.storage import files

OPEN_SECONDS = 10.0  # from the request to the first line of the answer
READ_SECONDS = 30.0  # silence in the middle of a body
PIECE = 1 << 16
MEGABYTE = 10**6


@dataclass(frozen=True)
class Download:
    """One public file: where it is, what it must be, whose it is, and where these facts were read (``source``)."""

    name: str
    address: str
    filename: str
    bytes: int
    checksum: str | None  # "md5:..." or "sha256:..."
    licence: str
    citation: str
    source: str
    folder: str = "data"  # inside the cache


class DownloadError(PlainfilmError):
    """A download failed; ``reason`` alone, the whole sentence as text."""

    def __init__(self, item: Download, place: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{item.name} could not be fetched from {item.address} ({reason}); "
            f"try again, or bring the file by other means and put it at {place}."
        )


def _pneumoniamnist(side: int, size: int, md5: str) -> Download:
    ending = "" if side == 28 else f"_{side}"
    return Download(
        name="pneumoniamnist" + ending.replace("_", "-"),
        address=f"https://zenodo.org/records/10519652/files/pneumoniamnist{ending}.npz?download=1",
        filename=f"pneumoniamnist{ending}.npz",
        bytes=size,
        checksum=f"md5:{md5}",
        licence="CC BY 4.0",
        citation="Yang et al., MedMNIST v2, Scientific Data 10:41 (2023), doi 10.1038/s41597-022-01721-8; "
        "films: Kermany et al., Cell 172:1122 (2018), doi 10.1016/j.cell.2018.02.010",
        source="medmnist/info.py of MedMNIST 3.0.2 (address, MD5); listing of Zenodo record 10519652 (size)",
    )


_ALL = (
    Download(
        name="kermany",
        address="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
        "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
        filename="ChestXRay2017.zip",
        bytes=1_235_512_464,
        checksum="sha256:13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
        licence="CC BY 4.0",
        citation="Kermany, Zhang, Goldbaum, Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
        "Classification, Mendeley Data V2 (2018), doi 10.17632/rscbjbr9sj.2",
        source="doi 10.17632/rscbjbr9sj.2 (address); size and SHA-256 as public projects that downloaded it recorded "
        "them, three of them alike, not seen at the publisher's",
    ),
    _pneumoniamnist(28, 4_170_669, "28209eda62fecd6e6a2d98b1501bb15f"),
    _pneumoniamnist(64, 20_606_998, "8f4eceb4ccffa70c672198ea285246c6"),
    _pneumoniamnist(128, 75_506_212, "05b46931834c231683c68f40c47b2971"),
    _pneumoniamnist(224, 214_384_716, "d6a3c71de1b945ea11211b03746c1fe1"),
    Download(
        name="chestmnist",
        address="https://zenodo.org/records/10519652/files/chestmnist.npz?download=1",
        filename="chestmnist.npz",
        bytes=82_802_576,
        checksum="md5:02c8a6516a18b556561a56cbdd36c4a8",
        licence="CC BY 4.0",
        citation="Yang et al., MedMNIST v2, Scientific Data 10:41 (2023), doi 10.1038/s41597-022-01721-8; "
        "films: Wang et al., ChestX-ray8, CVPR 2017, arXiv 1705.02315",
        source="medmnist/info.py of MedMNIST (address, MD5); size as a mirror at huggingface.co lists the file",
    ),
    Download(
        name="vgg16",
        address="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        filename="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        bytes=58_889_256,
        checksum="md5:6d6bbae143d832006294945121d1f1fc",
        licence="CC BY 4.0 (Visual Geometry Group, University of Oxford)",
        citation="Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, "
        "ICLR 2015, arXiv:1409.1556",
        source="keras/src/applications/vgg16.py of Keras 3 (address, MD5); progress lines of Keras (size)",
        folder="weights",
    ),
)
CATALOGUE: dict[str, Download] = {item.name: item for item in _ALL}


def find(name: str) -> Download:
    """Return the entry called ``name``; InputError names the nearest one when there is none."""
    if name not in CATALOGUE:
        raise InputError(f"There is nothing to fetch called '{name}'.{did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]


def announcement(download: str | Download) -> str:
    """Return what to know before a download: size, licence, citation, and whether there is a checksum."""
    item = find(download) if isinstance(download, str) else download
    unchecked = "" if item.checksum else " The publisher gives no checksum: only the size is checked."
    return (
        f"{item.name}: {item.filename}, {item.bytes / MEGABYTE:,.1f} MB from {urlsplit(item.address).hostname}. "
        f"Licence: {item.licence}. Cite: {item.citation}.{unchecked}"
    )


def place_of(item: Download, folder: str | Path | None = None) -> Path:
    """Return where ``item`` belongs: in ``folder``, by default in its folder of the cache."""
    return (files.cache_dir() / item.folder if folder is None else Path(folder)) / item.filename


def offline() -> bool:
    """Tell whether ``PLAINFILM_OFFLINE`` forbids requests (set, and not to 0)."""
    return os.environ.get("PLAINFILM_OFFLINE", "") not in ("", "0")


def fetch(download: str | Download, folder: str | Path | None = None) -> Path:
    """Return the path of a public file, fetched first unless it is there and right.

    ``download`` is a name of ``CATALOGUE`` or an entry of one's own; ``folder`` replaces the folder of the cache.
    What has arrived waits in ``NAME.part`` beside its place, survives an interruption or a kill, and is continued
    by the next call. The file gets its name only when size and checksum are right.
    Raises InputError (unknown name) and DownloadError (no network, wrong answer, wrong size or checksum).
    """
    item = find(download) if isinstance(download, str) else download
    place = place_of(item, folder)
    if place.is_file() and (wrong := fault(place, item)):
        say(f"{place} {wrong}; it is fetched again.")
    elif place.is_file():
        return place
    try:
        _bring(item, place)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(item, place, f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(item, place, _reason(error)) from None
    return place


def fault(path: Path, item: Download) -> str | None:
    """Return what differs between the file at ``path`` and ``item`` ("has ... instead of ..."), None when nothing."""
    size = path.stat().st_size
    if size != item.bytes:
        return f"has {size:,} bytes instead of {item.bytes:,}"
    if item.checksum is None:
        return None
    algorithm, expected = item.checksum.split(":")
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, algorithm).hexdigest()
    return None if found == expected else f"has {algorithm} {found} instead of {expected}"


def _bring(item: Download, place: Path) -> None:
    if offline():
        raise ConnectionError("PLAINFILM_OFFLINE is set")
    if not _safe(item.address):
        raise ConnectionError("only https addresses are fetched")
    part = place.with_name(place.name + ".part")
    with files.locked(place.parent, wait=True):
        if place.is_file() and fault(place, item) is None:  # another process brought it meanwhile
            return
        _receive(item, part)
        if wrong := fault(part, item):
            part.unlink()
            raise ConnectionError(f"what arrived {wrong}")
        with open(part, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(part, place)


def _receive(item: Download, part: Path) -> None:
    """Add to ``part`` what it lacks; ConnectionError when the answer is not the rest of ``item`` or breaks off."""
    have = part.stat().st_size if part.exists() else 0
    if have == item.bytes:
        return
    if have > item.bytes:
        part.unlink()
        have = 0
    headers = {"User-Agent": "plainfilm"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with _open(urllib.request.Request(item.address, headers=headers)) as answer:
            have = _start(answer, have, item)
            with open(part, "ab" if have else "wb") as handle:
                have = _copy(answer, handle, item, have)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # the file there is shorter than what is here: no part of it
        raise
    if have > item.bytes:
        part.unlink()
        raise ConnectionError(f"it sends more than the {item.bytes:,} bytes expected")
    if have < item.bytes:
        raise ConnectionError(f"it broke off after {have:,} of {item.bytes:,} bytes, which are kept")


def _start(answer: http.client.HTTPResponse, have: int, item: Download) -> int:
    """Return the byte at which the answer starts: ``have``, or 0 from a server that can't resume."""
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ConnectionError("it sends another part of the file than the one asked for")
    else:
        have = 0
    if answer.length is not None and have + answer.length != item.bytes:
        raise ConnectionError(f"it offers {have + answer.length:,} bytes instead of {item.bytes:,}")
    return have


def _copy(answer: http.client.HTTPResponse, handle: IO[bytes], item: Download, have: int) -> int:
    """Write the body as it comes, up to the first piece too many; return how many bytes there are then."""
    shown = have
    with bar(f"{item.name} (MB)", total=-(-(item.bytes - have) // MEGABYTE)) as running:
        while have <= item.bytes and (piece := answer.read1(PIECE)):
            have += len(piece)
            handle.write(piece)
            handle.flush()  # a kill loses one piece at most
            running.step((have - shown) // MEGABYTE)
            shown += (have - shown) // MEGABYTE * MEGABYTE
    return have


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    """Send the request; TimeoutError when no answer has begun within OPEN_SECONDS in all.

    The name look-up and each address of a host have time-outs of their own, which would add up to minutes;
    so it happens in a thread that can be left behind.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.build_opener(_SafeRedirect).open(request, timeout=READ_SECONDS))
        except Exception as error:  # handed to the caller, whatever it is
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=OPEN_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {OPEN_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    opened: http.client.HTTPResponse = answer
    return opened


class _SafeRedirect(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to where a request may go in the first place."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        if not _safe(newurl):
            fp.close()
            raise ConnectionError(f"it leads to {newurl}, and only https addresses are fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def _reason(error: BaseException | str) -> str:
    if isinstance(error, urllib.error.URLError):
        return _reason(error.reason)
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
