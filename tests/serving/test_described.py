"""Requests made from the service's own description, good ones and bad: none is a 500, every answer is as described."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.image.dicom_films import dicom

POSTS = ("predict", "explain", "preview", "pixels", "header")
OPERATIONS = ("GET /health", "GET /model", "GET /metrics", *(f"POST /{name}" for name in POSTS))
# What the description can't say is whether bytes are a film, so that good data may be refused.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
    allow_header_conformance,
]


@pytest.fixture(scope="module")
def described(running):
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


@pytest.fixture
def films(make_film):
    """Half of what the requests carry can be read as a film."""
    real = st.sampled_from([make_film(1, True), make_film(2, False, form="PNG"), dicom()])
    schemathesis.openapi.format("binary", st.one_of(st.binary(max_size=200), real))


def test_the_description_names_these_operations(described):
    assert {found.ok().label for found in described.get_all_operations()} == set(OPERATIONS)


# A GET without parameters has nothing that could be wrong.
ASKED = [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
ASKED += [(label, GenerationMode.NEGATIVE) for label in OPERATIONS if label.startswith("POST")]


@pytest.mark.parametrize(("label", "mode"), ASKED)
def test_every_answer_is_as_described(described, films, label, mode):
    operation = described.find_operation_by_label(label)
    seen = set()

    @settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode))
    def ask(case):
        seen.add(case.call_and_validate(checks=CHECKS).status_code)

    ask()
    assert 200 in seen if mode is GenerationMode.POSITIVE else any(400 <= code < 500 for code in seen)
