"""Compressed DICOM pixels, decoded in a process of their own: a decoder in C that crashes on hostile bytes, runs away
or eats memory takes only that process with it. The processes are kept for the next film and end with this one.

Run as a module, this file is that process: it takes one JSON line and the pixel data, and gives one JSON line and the
pixels, until its input ends.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

import numpy as np

from plainfilm.data.films import FilmError
from plainfilm.machine.memory import limit

SECONDS = 60.0  # for one film; the slowest real ones take about two
MEMORY = 4 * 2**30  # bytes of address space

# Transfer syntax -> (name, pydicom's plugin): always the same one, so that pixels don't depend on what is installed.
# None of them is pylibjpeg-libjpeg, which is GPL. (Extended JPEG of 12 bits has no other free decoder.)
SYNTAXES = {
    "1.2.840.10008.1.2.4.50": ("JPEG", "pillow"),
    "1.2.840.10008.1.2.4.51": ("extended JPEG", "pillow"),
    "1.2.840.10008.1.2.4.57": ("lossless JPEG", "gdcm"),
    "1.2.840.10008.1.2.4.70": ("lossless JPEG", "gdcm"),
    "1.2.840.10008.1.2.4.80": ("JPEG-LS", "gdcm"),
    "1.2.840.10008.1.2.4.81": ("JPEG-LS", "gdcm"),
    "1.2.840.10008.1.2.4.90": ("JPEG 2000", "pylibjpeg"),
    "1.2.840.10008.1.2.4.91": ("JPEG 2000", "pylibjpeg"),
    "1.2.840.10008.1.2.4.201": ("high-throughput JPEG 2000", "pylibjpeg"),
    "1.2.840.10008.1.2.4.202": ("high-throughput JPEG 2000", "pylibjpeg"),
    "1.2.840.10008.1.2.4.203": ("high-throughput JPEG 2000", "pylibjpeg"),
    "1.2.840.10008.1.2.5": ("RLE", "pydicom"),
}
NEEDED = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


def decompress(header: dict[str, Any], pixel_data: bytes) -> np.ndarray:
    """Return the (H, W) or (H, W, 3) pixels in encapsulated ``pixel_data``, of the integer type that holds them.

    ``header``: the elements in NEEDED and "TransferSyntaxUID". Colour comes as RGB. FilmError with the reason.
    """
    known = SYNTAXES.get(header["TransferSyntaxUID"])
    if not known:
        raise FilmError("DICOM in a compression that this version does not know; convert it to PNG")
    if known == ("extended JPEG", "pillow") and header["BitsStored"] != 8:
        raise FilmError("extended JPEG with more than 8 bits has no free decoder; convert it to PNG")
    try:
        worker = _idle.get_nowait()
    except queue.Empty:
        try:
            worker = _Worker()
        except OSError as error:  # no memory or no place for a process: not the film's fault
            raise MemoryError(f"no process for a decoder: {error}") from None
    answer, pixels = worker.ask(header, pixel_data)
    _idle.put(worker)
    if answer.get("error") == "missing":
        raise FilmError(f"{known[0]} inside DICOM needs a decoder; run: pip install 'plainfilm[dicom]'")
    if "error" in answer:
        raise FilmError(f"damaged: its {known[0]} pixels can't be decoded ({answer['error']})")
    return np.frombuffer(pixels, answer["dtype"]).reshape(answer["shape"])


class _Worker:
    """One decoding process and its pipes."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "plainfilm.image.codecs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders talk there
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent
        )
        atexit.register(self.close)

    def ask(self, header: dict[str, Any], pixel_data: bytes) -> tuple[dict[str, Any], bytes]:
        assert self.process.stdin and self.process.stdout
        alarm = threading.Timer(SECONDS, self.process.kill)
        alarm.start()
        try:
            _send(self.process.stdin, header, pixel_data)
            return _receive(self.process.stdout)
        except (OSError, ValueError):  # it was killed, or died
            self.process.kill()
            self.close()
            raise FilmError("damaged: its compressed pixels stopped the decoder") from None
        finally:
            alarm.cancel()

    def close(self) -> None:
        atexit.unregister(self.close)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            with suppress(OSError):  # what was still in the pipe goes nowhere
                pipe.close()
        self.process.wait()


_idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()


def _send(pipe: IO[bytes], about: dict[str, Any], data: bytes | memoryview) -> None:
    pipe.write(json.dumps({**about, "bytes": len(data)}).encode() + b"\n")
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    about = json.loads(pipe.readline())  # ValueError at the end of the input
    data = pipe.read(about.pop("bytes"))
    return about, data


# --- the other side ---------------------------------------------------------------------------------------------------


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer requests from ``source`` on ``sink`` until the input ends."""
    while source.peek(1):  # type: ignore[attr-defined]
        header, data = _receive(source)
        try:
            pixels = np.ascontiguousarray(_pixels(header, data))
            _send(sink, {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels.data.cast("B"))
        except Exception as error:  # the parent gives the reason; the next film may be good
            _send(sink, {"error": "missing" if isinstance(error, ImportError) else type(error).__name__}, b"")


def _pixels(header: dict[str, Any], data: bytes) -> np.ndarray:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID

    syntax = header["TransferSyntaxUID"]
    plugin = SYNTAXES[syntax][1]
    if plugin not in get_decoder(syntax).available_plugins:
        raise ImportError(plugin)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = UID(syntax)
    for name in NEEDED:
        setattr(film, name, header[name])
    film.PixelData = data
    film["PixelData"].VR = "OB"
    film["PixelData"].is_undefined_length = True
    return pixel_array(film, decoding_plugin=plugin)


if __name__ == "__main__":
    limit(MEMORY)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a decoder prints must not get among the answers
        serve(sys.stdin.buffer, answers)
