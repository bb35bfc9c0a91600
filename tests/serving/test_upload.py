from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from plainfilm.serving.limits import Limits, Memory, Refusal
from plainfilm.serving.upload import printable, uploads

SMALL = Limits(films=3, film_bytes=100, body_bytes=1000, memory_bytes=250, body_seconds=0.2)


def part(data: bytes, name: str = "films", filename: str = "a.png") -> bytes:
    return (
        f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode() + data + b"\r\n"
    )


def read(body: bytes, memory=None, step=7, content_type="multipart/form-data; boundary=B", wait=0.0, length=None):
    """[(name, data)] of a body that comes in pieces of ``step`` bytes, ``wait`` seconds apart."""
    pieces = [body[i : i + step] for i in range(0, len(body), step)]

    async def receive():
        await asyncio.sleep(wait)
        data = pieces.pop(0) if pieces else b""
        return {"type": "http.request", "body": data, "more_body": bool(pieces)}

    headers = [(b"content-type", content_type.encode())]
    headers += [(b"content-length", str(length).encode())] if length is not None else []

    async def all_of_it():
        request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
        async with uploads(request, SMALL, memory or Memory(SMALL.memory_bytes)) as films:
            return [(film.name, bytes(film.data)) for film in films]

    return asyncio.run(all_of_it())


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_films_come_out_as_they_went_in_however_they_are_cut(step):
    films = [b"one", b"\r\n--C\r\n" * 3, b""]
    body = b"".join(part(film, "file", f"{i}.png") for i, film in enumerate(films)) + b"--B--\r\n"
    assert read(body, step=step) == [(f"{i}.png", film) for i, film in enumerate(films)]


def test_names_are_echoed_without_what_could_do_harm():
    assert read(part(b"x", filename="../../etc/\x07pass\x1b[31mwd") + b"--B--")[0][0] == "../../etc/pass[31mwd"
    assert read(part(b"x", filename="") + b"--B--")[0][0] == "film 1"
    assert printable("a\u202egnp.exe\n".encode() + b"\xff") == "agnp.exe\ufffd"
    assert len(printable(b"x" * 1000)) == 255


@pytest.mark.parametrize(
    ("body", "how", "status", "said"),
    [
        (part(b"x") * 4 + b"--B--", {}, 413, "More than 3 films"),
        (part(b"x" * 101) + b"--B--", {}, 413, "a.png is larger than"),
        (part(b"x" * 90) * 3 + b"--B--", {}, 503, "at once"),
        (b"--B\r\nno colon\r\n\r\nx\r\n--B--", {}, 422, "can't be read"),
        (b" " * 5000, {"step": 100}, 422, "can't be read"),
        (part(b"x") + b"--B--" + b" " * 5000, {"step": 100}, 413, "larger than"),
        (b"", {"length": 1001}, 413, "larger than"),
        (part(b"x", name="title") + b"--B--", {}, 422, "unknown field 'title'"),
        (part(b"x"), {}, 422, "before its last boundary"),
        (b"--B--\r\n", {}, 422, ""),
        (b"", {}, 422, "before its last boundary"),
        (b"{}", {"content_type": "application/json"}, 415, "multipart/form-data"),
        (b"{}", {"content_type": "multipart/form-data"}, 415, "multipart/form-data"),
        (b"{}", {"content_type": "multipart/form-data; boundary=" + "x" * 5000}, 422, "oundary"),
        (part(b"x") + b"--B--", {"wait": 0.05, "step": 1}, 408, "within 0.2 seconds"),
    ],
)
def test_what_is_refused(body, how, status, said):
    memory = Memory(SMALL.memory_bytes)
    with pytest.raises(Refusal) as refusal:
        read(body, memory, **how)
    assert refusal.value.status == status and said in refusal.value.sentence
    assert memory.taken == 0


def test_a_film_has_one_limit_whatever_it_is_and_what_begins_as_none_a_lower_one():
    limits = Limits()
    assert {limits.of(head) for head in (bytes(128) + b"DICM", b"\x89PNG", b"\xff\xd8\xff", b"II*\0")} == {64 * 2**20}
    assert limits.of(b"x") == limits.of(b"") == 16 * 2**20
    with pytest.raises(Refusal, match="larger than"):
        read(part(bytes(128) + b"DICM") + b"--B--", step=10_000)


def test_memory_is_given_back_after_the_answer():
    memory = Memory(100)
    read(part(b"x" * 90) + b"--B--", memory)
    assert memory.taken == 0
    read(part(b"x" * 90) + b"--B--", memory)
