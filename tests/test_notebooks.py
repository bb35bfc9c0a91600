"""The notebooks: what they show is what their cells make, nothing of the machine stands in them, and they run."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path

import nbformat
import pytest
from notebooks.write import HERE, notebooks, run, sum_of

BOOKS = notebooks()
MOST = 600_000  # bytes


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.fixture(params=BOOKS, ids=lambda path: path.stem)
def book(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_three():
    assert [path.stem for path in BOOKS] == ["judge-a-model", "new-hospital", "paper"]


def test_what_is_shown_is_of_the_cells_as_they_stand(book):
    nbformat.validate(book)
    assert book.metadata["code_sha256"] == sum_of(book), "make notebooks"
    assert [cell.execution_count for cell in code_cells(book)] == list(range(1, len(code_cells(book)) + 1))
    kinds = [kind for cell in code_cells(book) for output in cell.outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") >= 1 and all(
        output.output_type != "error" for cell in code_cells(book) for output in cell.outputs
    )


def test_nothing_of_a_machine_stands_in_it(book):
    text = "\n".join(
        json.dumps(
            {kind: shown for kind, shown in output.get("data", {"": output.get("text")}).items() if kind != "image/png"}
        )
        for cell in code_cells(book)
        for output in cell.outputs
    )
    assert not re.search(r"/(tmp|home|root|Users|work|var)/|[A-Z]:\\\\", text)
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4
    assert f"/{getpass.getuser()}/" not in text and str(HERE) not in text


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_it_is_small_and_begins_by_saying_for_whom_it_is(path):
    assert path.stat().st_size < MOST
    assert "For those who" in nbformat.read(path, as_version=4).cells[0].source


@pytest.mark.slow
@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    """Each cell shows things of the kinds that are stored; numbers may differ by machine in the last digit."""
    stored = nbformat.read(path, as_version=4)
    made = run(nbformat.read(path, as_version=4), tmp_path)

    def shown(book):
        return [[(o.output_type, *sorted(o.get("data", {}))) for o in cell.outputs] for cell in code_cells(book)]

    assert shown(made) == shown(stored)


def test_the_quickest_runs(tmp_path):
    path = Path(HERE, "judge-a-model.ipynb")
    stored, made = nbformat.read(path, as_version=4), run(nbformat.read(path, as_version=4), tmp_path)
    texts = [
        [o.get("data", o).get("text/plain", o.get("text")) for cell in code_cells(b) for o in cell.outputs]
        for b in (stored, made)
    ]
    assert texts[0] == texts[1]
