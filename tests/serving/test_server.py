"""Clients that do not behave, on real sockets."""

from __future__ import annotations

import socket
import time

import pytest

from plainfilm.errors import InputError
from plainfilm.serving.limits import Limits
from plainfilm.serving.server import Impatient, listen

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=B\r\n"


def talk(running, *pieces: bytes, wait: float = 0.0) -> bytes:
    """Send ``pieces``, end, and return all that comes back until the server closes."""
    with socket.create_connection(running.address, timeout=10) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(wait)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while more := client.recv(65536):
            received += more
        return received


def test_a_port_in_use_or_impossible_is_one_sentence():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} of 127.0.0.1 can't be used"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="is no port"):
        listen("127.0.0.1", 70_000)


def test_an_answer_does_not_wait_for_acknowledgements():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_announced_gigabyte_is_refused_before_it_is_sent(running):
    assert b" 413 " in talk(running, HEAD + b"Content-Length: 1073741824\r\n\r\n").splitlines()[0]


@pytest.mark.parametrize("length", [b"-1", b"x", b"1, 2", b"9" * 30])
def test_a_length_that_is_none_is_refused(running, length):
    assert talk(running, HEAD + b"Content-Length: " + length + b"\r\n\r\n").split()[1] in (b"400", b"413")


def test_a_body_shorter_than_announced_does_no_harm(running, make_film):
    talk(running, HEAD + b"Content-Length: 1000\r\n\r\n--B\r\n")
    assert running.predict(make_film(1, True)).status_code == 200


def test_ten_thousand_parts_are_refused(running):
    body = b'--B\r\nContent-Disposition: form-data; name="films"\r\n\r\nx\r\n' * 10_000 + b"--B--"
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    assert b" 413 " in talk(running, head, body).splitlines()[0]


def test_slow_bodies_and_slow_heads_end(model, serve, monkeypatch):
    monkeypatch.setattr(Impatient, "patience", 0.3)
    with serve(model, limits=Limits(body_seconds=0.3)) as running:
        with socket.create_connection(running.address, timeout=5) as client:
            client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n--B")
            assert b" 408 " in client.recv(65536).splitlines()[0]
        with socket.create_connection(running.address, timeout=5) as client:
            assert client.recv(10) == b""  # never asked anything
        with socket.create_connection(running.address, timeout=5) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(65536)
            client.sendall(b"GET /hea")
            assert client.recv(10) == b""  # began to ask again and stopped


def test_500_idle_sockets_keep_nobody_waiting(running, make_film):
    idle = [socket.create_connection(running.address) for _ in range(500)]
    begun = time.perf_counter()
    assert running.client.get("/health").status_code == 200
    print(f"health with 500 idle sockets: {(time.perf_counter() - begun) * 1e3:.0f} ms")
    assert running.predict(make_film(1, True)).status_code == 200
    for client in idle:
        client.close()
