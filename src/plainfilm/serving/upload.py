"""A multipart body -> films in memory, under limits while it streams in. Nothing of an upload touches the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from plainfilm.serving.limits import Limits, Memory, Refusal

FIELDS = ("films", "film", "files", "file")  # names of the form's field that are taken for films
NAME_LENGTH = 255  # characters of a file's name that are echoed


@dataclass
class Upload:
    """One film as sent. ``name`` is only ever echoed: printable characters of what the client called it."""

    name: str = ""
    data: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def uploads(
    request: Request, limits: Limits, memory: Memory, admit: Callable[[], None] = lambda: None
) -> AsyncIterator[list[Upload]]:
    """Yield the films in the request's multipart body, one at least; they are forgotten when the block ends.

    ``admit`` raises a Refusal when no film can be taken at present: then the body is not even looked at.
    Refusal: 413 for too many or too large films, 415 when it is not multipart, 422 when it is damaged or holds no
    film, 408 when it comes too slowly, 503 when all uploads together are too much.
    """
    form = _Form(limits, memory)
    try:
        try:
            async with asyncio.timeout(limits.body_seconds):
                await form.read(request, admit)
        except TimeoutError:
            raise Refusal(408, f"The films did not arrive within {limits.body_seconds:g} seconds.") from None
        yield form.films
    finally:
        memory.give_back(form.taken)


class _Form:
    def __init__(self, limits: Limits, memory: Memory) -> None:
        self.limits, self.memory = limits, memory
        self.films: list[Upload] = []
        self.taken = 0  # bytes counted in ``memory``
        self.size = 0  # bytes of the body so far
        self.ended = False
        self._field, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}

    async def read(self, request: Request, admit: Callable[[], None]) -> None:
        parser = self._parser(request.headers.get("content-type", ""))
        if int(request.headers.get("content-length", "0")) > self.limits.body_bytes:
            raise self._too_large()
        stream = request.stream()
        try:
            admit()
            await self._parse(parser, stream)
        except Refusal:
            await self._drain(stream)
            raise

    def _parser(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Refusal(415, "Send films as multipart/form-data in the field 'films'.")
        callbacks = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._part_data,
            "on_end": self._body_ends,
        }
        try:
            return MultipartParser(options[b"boundary"], callbacks)  # type: ignore[arg-type]
        except FormParserError as error:
            raise Refusal(422, f"The multipart body can't be read ({error}).") from None

    async def _parse(self, parser: MultipartParser, stream: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in stream:
                self.size += len(chunk)
                if self.size > self.limits.body_bytes:
                    raise self._too_large()
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise Refusal(422, f"The multipart body can't be read ({error}).") from None
        if not self.ended:
            raise Refusal(422, "The multipart body ends before its last boundary.")
        if not self.films:
            raise Refusal(422, "There is no film in the form; send at least one in the field 'films'.")

    async def _drain(self, stream: AsyncIterator[bytes]) -> None:
        """Read on without keeping anything: most clients listen only when they have sent everything."""
        self.films.clear()
        async for chunk in stream:
            self.size += len(chunk)
            if self.size > self.limits.body_bytes:
                return

    def _too_large(self) -> Refusal:
        return Refusal(413, f"The request is larger than {_mb(self.limits.body_bytes)}; send fewer films at a time.")

    def _part_begins(self) -> None:
        if len(self.films) >= self.limits.films:
            raise Refusal(413, f"More than {self.limits.films} films; send fewer at a time.")
        self._headers = {}
        self.films.append(Upload())

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = printable(options.get(b"name", b""))
        if name not in FIELDS:
            raise Refusal(422, f"The form has the unknown field '{name}'; send films in the field 'films'.")
        self.films[-1].name = printable(options.get(b"filename", b"")) or f"film {len(self.films)}"

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        film, count = self.films[-1], end - start
        limit = self.limits.of(bytes(film.data[:132] + data[start : start + 132])[:132])
        if len(film.data) + count > limit:
            raise Refusal(413, f"{film.name} is larger than {_mb(limit)}, the limit for one film.")
        self.memory.take(count)
        self.taken += count
        film.data += data[start:end]

    def _body_ends(self) -> None:
        self.ended = True


def printable(name: bytes) -> str:
    """Return ``name`` as text without control or invisible characters, 255 characters at most."""
    return "".join(c for c in name.decode("utf-8", "replace") if c.isprintable())[:NAME_LENGTH]


def _mb(count: int) -> str:
    return f"{count / 2**20:g} MB"
