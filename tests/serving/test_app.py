from __future__ import annotations

import io
import json
import re
import tempfile
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.image.dicom_films import dicom

from plainfilm.image.decode import decode
from plainfilm.serving.app import create_app
from plainfilm.serving.limits import Limits

SHARED = (400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 501, 503)


def test_predict_answers_in_order_with_the_models_own_probabilities(running, make_film):
    film, other = make_film(1, True), make_film(2, False)
    answer = running.predict(film, b"no film", other)
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == running.model.hash and [f["name"] for f in body["films"]] == ["0", "1", "2"]
    first = body["films"][0]
    expected = running.model.predict_proba([film])[0].tolist()
    assert [first["probabilities"][name] for name in running.model.classes] == expected
    assert first["label"] == running.model.predict([film])[0] and first["threshold"] == 0.45
    assert first["refer"] is (0.4 <= expected[1] < 0.6) and (first["reason"] is not None) is first["refer"]
    assert first["gate"] is None
    assert set(body["films"][1]) == {"name", "error"} and "decided by content" in body["films"][1]["error"]


def test_predict_is_422_when_no_film_can_be_read(running):
    answer = running.predict(b"one", b"two")
    assert answer.status_code == 422
    assert len(answer.json()["films"]) == 2 and answer.json()["error"] == "None of the films can be read."


def test_the_gates_word_is_in_the_answer_and_in_the_counters(model, gate, serve, make_film):
    guarded = replace(model, gate=gate)
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))).save(buffer, "PNG")
    with serve(guarded) as running:
        films = running.predict(make_film(1, True), buffer.getvalue()).json()["films"]
        assert films[0]["gate"]["reason"] is None and films[0]["gate"]["score"] > 0.01
        assert films[1]["refer"] and films[1]["gate"]["reason"] in films[1]["reason"]
        about = running.client.get("/model").json()
        assert "learnt from" in about["gate"] and about["watch"]["films"] == 2 and not about["watch"]["alarm"]
        assert "false alarm" in about["watch"]["false_alarms"] and about["watch"]["warning"] is None
        text = running.client.get("/metrics").text
    assert re.search(r'plainfilm_gate_flagged_total\{reason="[^"]+"\} 1.0', text)
    assert 'plainfilm_training{measure="brightness",quantile="0.5"}' in text
    assert 'plainfilm_recent{measure="brightness",quantile="0.5"}' in text
    assert "plainfilm_drift_films 2.0" in text and "plainfilm_drift_alarm 0.0" in text


def test_the_service_warns_once_the_films_differ_as_a_set(model, gate, serve):
    draws = np.random.default_rng(0)
    with serve(replace(model, gate=gate)) as running:
        for _ in range(40):
            films = []
            for _ in range(10):
                buffer = io.BytesIO()
                Image.fromarray(draws.integers(0, 256, (64, 64), dtype=np.uint8)).save(buffer, "PNG")
                films.append(buffer.getvalue())
            found = running.predict(*films).json()
            if found["warning"]:
                break
        assert "The latest films differ from the training films" in found["warning"]
        assert running.client.get("/model").json()["watch"]["alarm"]
        assert "plainfilm_drift_alarm 1.0" in running.client.get("/metrics").text


def test_model_and_health(running):
    about = running.client.get("/model").json()
    assert about["classes"] == ["NORMAL", "PNEUMONIA"] and about["positive"] == "PNEUMONIA"
    assert (about["threshold"], about["temperature"], about["refer"]) == (0.45, 1.5, [0.4, 0.6])
    assert about["hash"] == running.model.hash and about["verdict"] == {"protocol": "grouped"} and about["gate"] is None
    assert about["preprocess"] == running.model.preprocess.as_dict() and "not a medical device" in about["disclaimer"]
    assert running.client.get("/health").json() == {"status": "ok", "queue": 0}


def test_preview_shows_the_film_as_decoded(running, make_film):
    film = make_film(1, True, (1500, 900))
    answer = running.client.post("/preview", files={"film": film})
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (1024, 614) and picture.mode == "L"
    small = make_film(2, True)
    with Image.open(io.BytesIO(running.client.post("/preview", files={"file": small}).content)) as picture:
        assert np.array_equal(np.asarray(picture), decode(small))
    refused = running.client.post("/preview", files=[("film", small), ("film", small)])
    assert refused.status_code == 422 and "send one" in refused.json()["error"]
    assert "can't be read" in running.client.post("/preview", files={"film": b"x"}).json()["error"]


def test_pixels_are_all_of_a_film_in_its_own_depth(running, make_film):
    values = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint16) + 900
    answer = running.client.post("/pixels", files={"film": dicom(values, BitsStored=12, ImagerPixelSpacing=[0.2, 0.1])})
    about = json.loads(answer.headers["x-film"])
    got = np.frombuffer(answer.content, "<u2").reshape(about["rows"], about["columns"])
    assert (about["low"] + about["step"] * got == values).all()
    assert (about["spacing"], about["plane"]) == ([0.2, 0.1], "detector")
    preview = running.client.post("/preview", files={"film": make_film(1, True, (1500, 900))})
    assert json.loads(preview.headers["x-film"]) == {"rows": 900, "columns": 1500}
    assert "can't be read" in running.client.post("/pixels", files={"film": b"x"}).json()["error"]


def test_pixels_that_are_too_much_beside_others_are_refused_in_a_sentence(serve, model, make_film):
    film = make_film(1, True, (1500, 900))
    with serve(model, limits=Limits(memory_bytes=2 * 1500 * 900 - 1)) as other:
        assert len(film) < 2 * 1500 * 900 - 1
        answer = other.client.post("/pixels", files={"film": film})
        assert answer.status_code == 503 and "at once" in answer.json()["error"] and answer.headers["retry-after"]
        assert other.client.post("/preview", files={"film": film}).status_code == 200


def test_a_header_names_a_person_only_when_asked(running, make_film):
    film = dicom(PatientName="Roe^Jane", KVP="125")

    def told(query=""):
        return {
            e["keyword"]: e["value"]
            for e in running.client.post(f"/header{query}", files={"film": film}).json()["elements"]
        }

    assert told()["KVP"] == "125" and "PatientName" not in told()
    assert told("?identity=true")["PatientName"] == "Roe^Jane"
    refused = running.client.post("/header", files={"film": make_film(1, True)})
    assert refused.status_code == 422 and "no DICOM" in refused.json()["error"]


@pytest.mark.parametrize("kind", ["overlay", "map"])
def test_explain_draws_one_film(running, make_film, kind):
    answer = running.client.post(f"/explain?kind={kind}", files={"film": make_film(1, True)})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == "PNG"
    assert running.client.post("/explain?kind=other", files={"film": b""}).status_code == 422


def test_metrics_count_requests_films_and_labels(model, serve, make_film):
    with serve(model) as running:
        label = running.predict(make_film(1, True), b"x").json()["films"][0]["label"]
        running.client.get("/nothing")
        running.predict(*[b"x"] * 65)
        text = running.client.get("/metrics").text
    for line in (
        'plainfilm_requests_total{path="/predict",status="200"} 1.0',
        'plainfilm_requests_total{path="other",status="404"} 1.0',
        'plainfilm_refused_total{status="413"} 1.0',
        'plainfilm_films_total{outcome="read"} 1.0',
        'plainfilm_films_total{outcome="unreadable"} 1.0',
        f'plainfilm_labels_total{{label="{label}"}} 1.0',
        "plainfilm_queue_films 0.0",
        "plainfilm_recent_films 1.0",
        'plainfilm_request_seconds_count{path="/predict"} 2.0',
    ):
        assert line in text.splitlines()
    assert '"0"' not in text  # no film's name


def test_the_pages_load_nothing_from_elsewhere(running):
    for path in ("/", "/docs"):
        page = running.client.get(path)
        assert page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert links and not [link for link in links if re.match(r"(https?:)?//", link)]
        for link in links:
            if not link.startswith("data:"):
                assert running.client.get(f"/{link.removeprefix('/')}").status_code == 200, link
    assert running.client.get("/static/../app.py").status_code == 404
    assert running.client.get("/static/%2e%2e/app.py").status_code == 404


def test_openapi_names_every_address(running):
    found = running.client.get("/openapi.json").json()
    posts = {"/predict", "/explain", "/preview", "/pixels", "/header"}
    assert set(found["paths"]) == {"/health", "/model", "/metrics", *posts}
    form = found["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["films"]["type"] == "array"


def test_every_complaint_has_one_form(running):
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/predict", 405), ("POST", "/predict", 415)):
        answer = running.client.request(method, path)
        assert answer.status_code == status and set(answer.json()) == {"error"}


def test_a_bug_is_one_sentence_and_the_service_goes_on(model, serve, make_film, monkeypatch):
    with serve(model) as running:
        with monkeypatch.context() as patch:
            patch.setattr("plainfilm.serving.predictor.answer", lambda *_: 1 / 0)
            answer = running.predict(make_film(1, True))
        assert answer.status_code == 500 and "bug in plainfilm (ZeroDivisionError)" in answer.json()["error"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert running.predict(make_film(1, True)).status_code == 200


def test_no_upload_touches_the_disk_however_large(running, make_film, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a temporary file was made")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    large = make_film(1, True, (1600, 1200), "PNG")
    assert len(large) > 2**20  # where form parsers begin to write files
    answer = running.predict(*[large] * 3)
    assert answer.status_code == 200 and len(answer.json()["films"]) == 3


# --- requests that nobody meant ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["films", "film", "files", "file", "kind", "", "x\r\ny", 'a"b', "\x00"])
TYPES = st.sampled_from(
    ["multipart/form-data; boundary=B", "multipart/form-data", "multipart/mixed; boundary=B", "a", ""]
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.tuples(NAMES, st.text(max_size=20), st.binary(max_size=80)), max_size=70).map(
        lambda parts: (
            b"".join(
                f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
                + data
                + b"\r\n"
                for name, file, data in parts
            )
            + b"--B--\r\n"
        )
    ),
)


@settings(max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"]),
    path=st.sampled_from(
        ["/predict", "/explain", "/preview", "/model", "/health", "/metrics", "/", "/docs", "/static/x"]
    ),
    query=st.text(max_size=20),
    content_type=TYPES,
    body=BODIES,
    cut=st.integers(0, 40),
)
def test_no_request_is_answered_with_500(running, method, path, query, content_type, body, cut):
    answer = running.client.request(
        method, path, params={"kind": query}, content=body[: len(body) - cut], headers={"Content-Type": content_type}
    )
    assert answer.status_code in (200, *SHARED)
    if answer.status_code != 200 and method != "HEAD":
        assert answer.json()["error"]


def test_the_application_needs_no_server_to_be_asked(model):
    import asyncio

    async def ask():
        transport = httpx.ASGITransport(create_app(model, limits=Limits()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/health")

    assert asyncio.run(ask()).json()["status"] == "ok"


def test_a_request_for_another_model_is_refused(running, make_film):
    film, own = make_film(1, True), running.model.hash
    for address in ("/predict", "/explain", "/preview"):
        for asked, status in ((f'"{own}"', 200), ("*", 200), ('"another"', 412), (own[:8], 412)):
            answer = running.client.post(address, files={"films": film}, headers={"If-Match": asked})
            assert answer.status_code == status, (address, asked)
    assert answer.json() == {"error": "Another model answers here now; load the page again."}


def test_films_of_a_client_that_left_are_not_done(model, serve, slowed, make_film):
    with serve(slowed(model, 0.2)) as running:
        films = [("films", (str(i), make_film(1, True))) for i in range(40)]
        with pytest.raises(httpx.ReadTimeout):
            running.client.post("/predict", files=films, timeout=0.5)
        deadline = time.monotonic() + 4  # all of them would take 8 s
        while running.client.get("/health").json()["queue"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.client.get("/health").json()["queue"] == 0
