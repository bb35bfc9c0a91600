"""The audit's page: every fault that the audit found stands on it, with the pictures of the films that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from plainfilm.audit.document import examine
from plainfilm.audit.measure import measure
from plainfilm.data.demo_films import planted_faults
from plainfilm.data.sources import load
from plainfilm.report.audit import SECTIONS, audit_report
from plainfilm.storage.files import to_json


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder, page and document of the demo films' audit, against other demo films."""
    out = tmp_path_factory.mktemp("audit")
    ours, other = measure(load("demo:100")), measure(load("demo:40"))
    found = json.loads(to_json(examine(ours, other)))
    return out, audit_report(out, found, ours, other).read_text(), found


def test_every_planted_fault_is_named_on_the_page(demo):
    page = demo[1].replace("<wbr>", "")  # where a long name may be broken
    faults = planted_faults(100)
    for path in (*faults["duplicate"], *faults["unreadable"], *faults["patient_in_two_classes"]):
        assert path in page, path
    assert "Films that can&#39;t be read" in page and "synthetic" in page.lower()


def test_sections_stand_in_their_order_and_each_can_be_jumped_to(demo):
    _, page, _ = demo
    places = [page.index(f'id="{name}"') for name in SECTIONS]
    assert places == sorted(places) and all(f'href="#{name}"' in page for name in SECTIONS)


def test_films_are_shown_within_the_page_and_nothing_is_asked_for_elsewhere(demo):
    _, page, found = demo
    pictures = re.findall(r'<img[^>]+src="([^"]{30})', page)
    assert len(pictures) >= len(found["duplicates"][0]["films"])
    assert all(source.startswith("data:image/") for source in pictures)
    assert "<script src" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_figures_are_beside_the_page(demo):
    out, _, _ = demo
    names = {path.stem for path in (out / "figures").iterdir()}
    assert names and all((out / "figures" / f"{name}.svg").stat().st_size > 500 for name in names)


def test_without_another_set_nothing_is_said_of_shift(tmp_path: Path):
    ours = measure(load("demo:40"))
    page = audit_report(tmp_path, json.loads(to_json(examine(ours))), ours).read_text()
    assert 'id="shift"' not in page and SECTIONS["shift"] not in page
