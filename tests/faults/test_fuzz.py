"""Real bytes mutated by seeded draws, through every parser: films, model files, tables, archives, requests.

Each input is used or refused with a reason: nothing else may come out, nothing may hang, and memory stays.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import signal
import struct
import zipfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
from PIL import Image

from plainfilm.commands.train import train
from plainfilm.config import TrainConfig
from plainfilm.data.films import FilmError
from plainfilm.data.sources import load, loose
from plainfilm.errors import InputError
from plainfilm.evaluation.predictions import read_predictions
from plainfilm.image.decode import decode
from plainfilm.image.reduced import decode_at, factor_for
from plainfilm.models.bundle import USER_BLOCK
from plainfilm.models.model import Model
from plainfilm.runs.folder import RunFolder
from plainfilm.serving.app import create_app
from plainfilm.storage.files import to_json

SECONDS = 30  # longer than any input may take on the slowest machine: more is a hang


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, overwrite, cut, double or drop pieces, write numbers at the edges of their ranges; up to 4 times."""
    for _ in range(rng.integers(1, 5)):
        if len(data) < 8:
            return data
        at = int(rng.integers(0, min(len(data), 700) if rng.random() < 0.5 else len(data)))  # headers more often
        span = int(rng.integers(1, 1 + min(64, len(data) - at)))
        piece = data[at : at + span]
        edge = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)[rng.integers(8)]
        number = struct.pack("<>"[rng.integers(2)] + "I", edge)
        data = (
            data[:at] + bytes([data[at] ^ 1 << rng.integers(8)]) + data[at + 1 :],
            data[:at] + rng.bytes(span) + data[at + span :],
            data[:at] + number + data[at + 4 :],
            data[:at] + piece + data[at:],
            data[:at] + data[at + span :],
            data[:at] if rng.random() < 0.3 else data[:at] + bytes(span) + data[at + span :],
        )[rng.integers(6)]
    return data


@contextmanager
def in_time():
    """Raise after SECONDS."""

    def late(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def survive(inputs, use, refusals) -> tuple[int, int]:
    """(inputs tried, inputs used or refused with a reason); the rest is raised, with the input's number. Memory may not
    grow by more than 64 MB from the first tenth on."""
    inputs, before, refused = list(inputs), 0.0, 0
    for number, one in enumerate(inputs):
        if number == len(inputs) // 10:
            before = megabytes()
        try:
            with in_time():
                use(one)
        except refusals as error:
            refused += 1
            assert str(error).strip(), number
        except Exception as error:
            raise AssertionError(f"input {number}: {type(error).__name__}: {error}") from error
    assert refused, "no input was refused: nothing was tried"
    if len(inputs) >= 1000:
        assert megabytes() - before < 64
    return len(inputs), len(inputs)


# --- films ------------------------------------------------------------------------------------------------------------


def sources() -> list[bytes]:
    """A film in every format that is read, small."""
    from pydicom.data import get_testdata_file

    y, x = np.mgrid[0:48, 0:40]
    grey = (np.hypot(x - 20, y - 24) * 5 + np.random.default_rng(0).integers(0, 20, x.shape)).clip(0, 255)
    eight, sixteen = grey.astype(np.uint8), (grey * 257).astype(np.uint16)
    found = []
    for form, options in (
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(eight).save(buffer, form, **options)
        found.append(buffer.getvalue())
    for image, form in (
        (Image.fromarray(sixteen), "PNG"),
        (Image.fromarray(sixteen), "TIFF"),
        (Image.fromarray(eight).convert("RGBA"), "PNG"),
        (Image.fromarray(eight).convert("CMYK"), "JPEG"),
        (Image.fromarray(eight).convert("P"), "PNG"),
    ):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(buffer, form, **({"exif": exif} if form == "JPEG" else {}))
        found.append(buffer.getvalue())
    found.append(Path(get_testdata_file("MR_small.dcm")).read_bytes())  # uncompressed: decoded in this process
    return found


def look_at(data: bytes) -> None:
    grey = decode(data)
    assert grey.dtype == np.uint8 and grey.ndim == 2 and grey.min() < grey.max()


def look_smaller(data: bytes) -> None:
    """The same, and decoded as small as a network's input allows."""
    grey = decode_at(data, factor_for(data, 40)).grey
    assert grey.dtype == np.uint8 and grey.ndim == 2
    look_at(data)


def test_films(times, tally):
    rng, films = np.random.default_rng(0), sources()
    tries = (mutated(films[i % len(films)], rng) for i in range(times(20_000, 1_000)))
    tally("mutated films (JPEG, PNG, TIFF, DICOM) decoded", *survive(tries, look_at, FilmError))


def test_real_films(shared, times, tally):
    places = sorted((shared / "data" / "chest_xray_224" / "train").rglob("*.jpeg"))[::131]
    rng = np.random.default_rng(1)
    tries = (mutated(places[i % len(places)].read_bytes(), rng) for i in range(times(5_000, 100)))
    tally("mutated real films decoded, whole and reduced", *survive(tries, look_smaller, FilmError))


# --- model files ------------------------------------------------------------------------------------------------------


def signed(content: bytes, kind: str = "model") -> bytes:
    """A file whose first line fits: what somebody made on purpose, not what a disk did."""
    line = f"plainfilm {kind} 1 sha256:{hashlib.sha256(content).hexdigest()}\n".encode()
    return line.ljust(USER_BLOCK, b"\0") + content


HOSTILE = (None, True, -1, 0, 1e308, 10**30, "", "x", "../../x", "timm:x-lr", [], [[]], {}, {"a": None}, float("inf"))


def leaves(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 3)):
            yield from leaves(value[i], (*path, i))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def with_about(data: bytes, about: object) -> bytes:
    with h5py.File(io.BytesIO(data), "r") as old:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", userblock_size=USER_BLOCK) as new:
            for name in old:
                if name != "about.json":
                    old.copy(name, new)
            new["about.json"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    return signed(buffer.getvalue()[USER_BLOCK:])


def test_models_signed_by_somebody_else(whole, few_films, tmp_path, times, tally):
    """Every value of a model's JSON replaced by what it must not be, and signed: loaded and used, or refused."""
    data = (whole[0] / "model.h5").read_bytes()
    with h5py.File(io.BytesIO(data), "r") as file:
        about = json.loads(file["about.json"][()].tobytes())
    film = sorted(few_films.rglob("*.png"))[0]
    own = [p for p in leaves(about) if p[:1] not in (("provenance",), ("verdict",)) or len(p) < 3]
    rng = np.random.default_rng(0)
    pairs = [(path, value) for path in own for value in HOSTILE]
    chosen = rng.permutation(len(pairs))[: times(len(pairs), 60)]

    def use(pair):
        (tmp_path / "model.h5").write_bytes(with_about(data, replaced(about, *pair)))
        model = Model.load(tmp_path / "model.h5")
        assert np.isfinite(model.predict_proba([film])).all()

    tally("values of a signed model.h5 replaced by hostile ones", *survive([pairs[i] for i in chosen], use, InputError))


def test_models_with_damaged_hdf5_signed_by_somebody_else(nursery, whole, few_films, tmp_path, times, tally):
    """The HDF5 library sees hostile bytes only in a file that was signed on purpose; it may refuse, not crash."""
    data, rng = (whole[0] / "model.h5").read_bytes()[USER_BLOCK:], np.random.default_rng(0)
    film, answered, wanted = sorted(few_films.rglob("*.png"))[0], 0, times(300, 5)
    for number in range(wanted):
        head = mutated(data[:4096], rng) if number % 2 else data[:4096]
        tail = data[4096:] if number % 2 else mutated(data[4096:], rng)
        (tmp_path / "model.h5").write_bytes(signed(head + tail))
        words = ("label", tmp_path / "model.h5", film, "--out", tmp_path / "o.csv", "--force", "--quiet")
        done = nursery.run(*words, cache=tmp_path, kill_after=SECONDS)
        assert done.code in (0, 2) and "Traceback" not in done.said and "bug" not in done.said, (number, done)
        answered += 1
    tally("HDF5 of a signed model.h5 mutated", wanted, answered)


def test_configs_of_the_future_and_of_nobody(whole, few_films, tmp_path, times, tally):
    """config.json with every value replaced, and --resume: gone on with, or refused in a sentence."""
    config = json.loads((whole[0] / "config.json").read_text())
    pairs = [(path, value) for path in leaves(config) for value in HOSTILE if path[:1] in ((), ("settings",))]
    pairs += [(("settings",), {**config["settings"], "of_the_future": 1}), ((), {**config, "plainfilm": "99.0"})]
    pairs += [((), {k: v for k, v in config.items() if k != name}) for name in config]
    (tmp_path / "run").mkdir()

    def use(pair):
        (tmp_path / "run" / "config.json").write_text(to_json(replaced(config, *pair)))
        TrainConfig(**RunFolder(tmp_path / "run").settings)

    tally("values of config.json replaced by hostile ones", *survive(pairs, use, InputError))
    for name in ("settings", "data_hash"):
        (tmp_path / "run" / "config.json").write_text(to_json({k: v for k, v in config.items() if k != name}))
        with pytest.raises(InputError):
            train(str(few_films), tmp_path / "run", {"model": "vgg", "size": 16, "epochs": 1}, resume=True)


# --- tables and archives ----------------------------------------------------------------------------------------------


def table_bytes(few_films) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["path", "label", "patient", "split"])
    for i, place in enumerate(sorted(few_films.rglob("*.png"))):
        writer.writerow([place, place.parent.name, f"p{i // 2}", ("train", "val", "test", "")[i % 4]])
    return buffer.getvalue().encode()


def read_all(films) -> None:
    for film in films:
        try:
            look_at(film.read())
        except FilmError as error:
            assert str(error)


def test_tables_of_films(few_films, tmp_path, times, tally):
    rng, data = np.random.default_rng(0), table_bytes(few_films)

    def use(table):
        (tmp_path / "t.csv").write_bytes(table)
        read_all(load(tmp_path / "t.csv").films[:4])

    tries = [mutated(data, rng) for _ in range(times(2_000, 150))]
    odd = ["a\0b", "x" * 5000, "../" * 400 + "etc/passwd", "/dev/zero", "/", ".", "\ud800", "CON", "=cmd|' /C calc'!A0"]
    tries += [f"path,label\n{name},a\nb.png,b\n".encode("utf-8", "surrogatepass") for name in odd]
    tries += [data.decode().encode("utf-16"), data.decode().encode("utf-16")[:-1], b"\xff\xfe", b"path,label\n"]
    tally("mutated tables of films", *survive(tries, use, InputError))


def test_tables_of_predictions(whole, tmp_path, times, tally):
    rng, data = np.random.default_rng(1), (whole[0] / "predictions.csv").read_bytes()

    def use(table):
        (tmp_path / "p.csv").write_bytes(table)
        p = read_predictions(tmp_path / "p.csv")
        assert np.isfinite(p.probabilities).all()

    tries = [mutated(data, rng) for _ in range(times(2_000, 150))]
    tally("mutated tables of predictions", *survive(tries, use, InputError))


@pytest.mark.parametrize("kind", ["zip", "npz", "parquet"])
def test_archives(few_films, tmp_path, kind, times, tally):
    rng, buffer = np.random.default_rng(2), io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for place in sorted(few_films.rglob("*.png"))[:6]:
                archive.write(place, place.relative_to(few_films))
    elif kind == "npz":
        images, labels = rng.integers(0, 255, (6, 28, 28), dtype=np.uint8), np.arange(6)[:, None] % 2
        np.savez_compressed(buffer, train_images=images, train_labels=labels)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        rows = [{"path": str(p), "label": p.parent.name} for p in sorted(few_films.rglob("*.png"))]
        parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    place = tmp_path / f"films.{kind}"

    def use(data):
        place.write_bytes(data)
        films = load(place).films
        read_all(films)
        if kind == "zip":
            loose(place)

    data = buffer.getvalue()
    tail = len(data) - 700  # a directory stands at the end
    tries = [mutated(data, rng) if i % 2 else data[:tail] + mutated(data[tail:], rng) for i in range(times(2_000, 100))]
    tally(f"mutated {kind} files", *survive(tries, use, InputError))


# --- requests ---------------------------------------------------------------------------------------------------------


def test_requests(whole, few_films, times, tally):
    """Bodies of real requests, mutated, to the application itself; tests/serving has sockets and headers."""
    film, rng = sorted(few_films.rglob("*.png"))[0].read_bytes(), np.random.default_rng(3)
    part = b'--B\r\nContent-Disposition: form-data; name="films"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    body = part + film + b"\r\n" + part + film + b"\r\n--B--\r\n"
    wanted = times(1_000, 60)

    async def ask() -> int:
        transport = httpx.ASGITransport(create_app(Model.load(whole[0])))
        answered = 0
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for number in range(wanted):
                address = ("/predict", "/explain", "/preview")[number % 3]
                headers = {"Content-Type": "multipart/form-data; boundary=B"}
                answer = await client.post(address, content=mutated(body, rng), headers=headers)
                good = answer.status_code == 200 or (400 <= answer.status_code < 500 and answer.json()["error"])
                assert good, (number, answer.status_code, answer.text)
                answered += 1
        return answered

    tally("mutated request bodies to /predict, /explain and /preview", wanted, asyncio.run(ask()))
