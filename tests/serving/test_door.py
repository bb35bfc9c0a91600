from __future__ import annotations

import pytest


def test_a_foreign_host_name_is_refused_on_loopback(running):
    port = running.address[1]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[", "10.0.0.1", "localhost@e"):
        answer = running.client.get("/health", headers={"Host": host})
        assert answer.status_code == 421, host
    for host in ("localhost", f"LOCALHOST:{port}", "127.0.0.1", f"[::1]:{port}"):
        assert running.client.get("/health", headers={"Host": host}).status_code == 200


def test_other_pages_are_refused_and_ours_is_not(running, make_film):
    film = {"film": make_film(1, True)}
    for origin in ("https://evil.example", "null", "http://localhost:1", ""):
        assert running.client.post("/predict", files=film, headers={"Origin": origin}).status_code == 403, origin
    assert running.client.post("/predict", files=film, headers={"Origin": running.url}).status_code == 200


def test_nobody_else_may_read_or_frame_the_answers(running):
    for path in ("/", "/health", "/nothing", "/static/plain.css"):
        headers = running.client.get(path, headers={"Origin": running.url}).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store" and headers.get_list("content-security-policy")[1:] == []
        assert not [name for name in headers if name.startswith("access-control")] and "server" not in headers


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer secre", "Bearer secret2", "secret", "Basic secret", "Bearer \xe9"]
)
def test_without_the_token_only_what_asks_for_it_is_open(model, serve, given):
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    with serve(model, token="secret", local=False) as running:
        for path in ("/model", "/metrics", "/predict", "/nothing"):
            answer = running.client.get(path, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/docs", "/health", "/openapi.json", "/static/plain.css"):
            assert running.client.get(path, headers=headers).status_code == 200


def test_with_the_token_everything_is_there_whatever_the_host_name(model, serve):
    with serve(model, token="secret", local=False) as running:
        headers = {"Authorization": "Bearer secret", "Host": "films.hospital.example"}
        assert running.client.get("/model", headers=headers).status_code == 200


def test_every_loopback_address_is_this_machine_and_a_broken_origin_is_refused(running, make_film):
    assert running.client.get("/health", headers={"Host": "127.0.0.2:8000"}).status_code == 200
    for origin in ("http://[", "http://[::1", "//["):
        answer = running.client.post("/predict", files={"film": make_film(1, True)}, headers={"Origin": origin})
        assert answer.status_code == 403 and answer.json()["error"] and answer.headers["x-frame-options"] == "DENY"
