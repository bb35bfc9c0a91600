"""One thing has one name: words that docs/terms.md gives up stand in no page, message, report or help."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from notebooks.write import notebooks
from tests.test_architecture import SOURCE
from tests.test_docs import module

ROOT = SOURCE.parents[1]
TERMS = ROOT / "docs" / "terms.md"
ROWS = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]*[^|\s]) \|$", TERMS.read_text(), re.MULTILINE)[1:]
GIVEN_UP = [phrase for cell in ROWS for phrase in cell.split("; ")]
COUNTED = (
    "films?|rows?|scores?|lines?|steps?|pictures?|labels?|patients?|points?|readers?|runs?|seconds?|folders?|values?"
)
UNIT = (
    "film|class|second|patient|epoch|step|site|set|generation|core|batch|request|part|run|trial|model|question|finding"
)
RATE = rf"(?:{COUNTED}) an? (?:{UNIT})"  # "films a second", where "films per second" is meant
FORBIDDEN = re.compile(rf"\b(?:{'|'.join(map(re.escape, GIVEN_UP))}|{RATE})\b", re.IGNORECASE)
shown_by = module("texts").shown_by
HANDBOOK = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path for path in sorted(SOURCE.rglob("*")) if path.suffix in (".html", ".js")]


def found(text: str) -> list[str]:
    """Return the forbidden words of a text, with what stands around them."""
    return [text[max(match.start() - 40, 0) : match.end() + 20].strip() for match in FORBIDDEN.finditer(text)]


def without_remarks(text: str) -> str:
    """A page's or script's text without its comments."""
    return re.sub(r"/\*.*?\*/|<!--.*?-->|\{#.*?#\}|^\s*//.*?$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_there_are_words_that_are_given_up():
    assert {"anew", "told apart", "look otherwise", "goes before"} <= set(GIVEN_UP)
    assert found("made anew") and found("12 films a second") and found("Films of ours")
    assert not found("a film a reader should see")
    assert shown_by('def f():\n    """Doc."""\n    return f"{3} films anew"\n') == ["… films anew"]


@pytest.mark.parametrize("page", [page for page in HANDBOOK if page != TERMS], ids=lambda page: page.name)
def test_the_handbook(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert found(text.replace("\n", " ")) == []


@pytest.mark.parametrize("book", notebooks(), ids=lambda path: path.stem)
def test_the_notebooks(book):
    """What is written between the cells, and what the cells show: messages of the code as they were when it ran."""
    cells = nbformat.read(book, as_version=4).cells
    written = [cell.source.replace("\n", " ") for cell in cells if cell.cell_type == "markdown"]
    shown = [
        output.get("data", output).get("text/plain", output.get("text", ""))
        for cell in cells
        for output in cell.get("outputs", [])
    ]
    assert shown and [words for text in [*written, *shown] for words in found(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_and_reports(page):
    assert found(without_remarks(page.read_text())) == []


def test_messages_help_and_reports_of_the_code():
    wrong = [
        f"{path.relative_to(SOURCE)}: {words}"
        for path in sorted(Path(SOURCE).rglob("*.py"))
        for text in shown_by(path.read_text())
        for words in found(text)
    ]
    assert wrong == []
