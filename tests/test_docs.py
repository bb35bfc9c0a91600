"""What the handbook says of the tree is so; its pages, links and anchors are whole; its Python runs."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.test_architecture import ROOMS, SOURCE

import plainfilm as pf

ROOT = SOURCE.parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "llms.txt")),
]
LOGS = [ROOT / name for name in ("LOG.md", "CHANGELOG.md", "benchmarks/results.md")]
TABLE = re.findall(r"^\| `(\w+)(/?)` \| .+ \| `(\w+\.py)` \|$", (DOCS / "how-it-works.md").read_text(), re.MULTILINE)


def module(name: str) -> ModuleType:
    """Return a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


WEBSITE, PROSE = module("website"), module("prose")


def without_code(text: str) -> str:
    """A page without its blocks of code: what looks like a link there is none."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the names that a page's headings can be linked at, as GitHub and the site make them."""
    headings = re.findall(r"^#{1,6} (.+)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower(), flags=re.ASCII).strip().replace(" ", "-") for heading in headings}


def test_the_rooms_of_how_it_works_are_those_of_the_tree_in_the_order_of_their_imports():
    tree = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    tree |= {path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")}
    assert [name for name, _, _ in TABLE] == list(ROOMS) and set(ROOMS) == tree


def test_where_it_says_to_start_reading_there_is_something_to_read():
    for name, slash, start in TABLE:
        place = SOURCE / name / start if slash else SOURCE / start
        assert place.is_file() and place.read_text().startswith('"""'), place


def test_the_navigation_of_the_site_names_every_page_once():
    groups = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]["nav"]
    named = []
    for group in groups:
        [(_, found)] = group.items()
        named += [found] if isinstance(found, str) else [place for page in found for place in page.values()]
    assert sorted(named) == sorted(WEBSITE.pages())
    assert [next(iter(group)) for group in groups] == ["Home", "Learn", "Do", "Look up", "Evidence"]


@pytest.mark.parametrize("page", [*PAGES, *LOGS], ids=lambda path: path.name)
def test_links_lead_to_files_and_anchors_that_are_there(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("place", WEBSITE.pages())
def test_links_of_the_site_lead_to_pages_of_the_site(place):
    source = WEBSITE.pages()[place]
    WEBSITE.moved(source.read_text(), source, place)


def test_a_link_into_nothing_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html">b</a><a href="#no">c</a><img src="https://x.org/y.png">')
    assert WEBSITE.faults(tmp_path) == [
        "a.html loads https://x.org/y.png",
        "a.html links to b.html",
        "a.html links to #no",
    ]
    with pytest.raises(ValueError, match="no page"):
        WEBSITE.moved("[x](nothing.md)", DOCS / "cli.md", "cli.md")


def test_the_source_names_pages_that_are_there():
    named = [
        (path, place)
        for folder in ("src", "tests", "benchmarks", ".github", "deploy")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".html", ".md", ".yml", ".js", ".service")
        for place in re.findall(r"\bdocs/[\w/-]+\.(?:md|svg|png|py)", path.read_text())
    ]
    assert len(named) > 10
    assert [(path.name, place) for path, place in named if not (ROOT / place).exists()] == []


def test_only_prose_is_measured():
    page = "# Head\n\nOne `a b` two, by Wang et al. 2017. [Three](x.md) four!\n\n```sh\nno\n```\n- five six\n\n| no |\n"
    assert PROSE.sentences(page) == ["One code two, by Wang et al. 2017", "Three four!", "five six"]


def test_a_page_that_is_hard_to_read_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(PROSE, "README", tmp_path / "README.md")
    monkeypatch.setattr(PROSE, "DOCS", tmp_path)
    monkeypatch.setattr("sys.argv", ["prose.py", "--check"])
    (tmp_path / "README.md").write_text("We read films. They are good.\n")
    assert PROSE.main() == 0
    (tmp_path / "README.md").write_text("Notwithstanding heterogeneous considerations " * 9 + "remain.\n")
    assert PROSE.main() == 1
    said = capsys.readouterr().out
    assert "words per sentence" in said and "Flesch" in said and "over 120 characters" in said


def examples() -> list[doctest.DocTest]:
    """The examples of the public names' docstrings, in the order of the page."""
    told = ["load", "split", "train", "evaluate", "Model.load"]
    told += ["scores", "compare", "calibrate", "operating_point", "plan"]
    found = []
    for name in told:
        public = pf.Model.load if name == "Model.load" else getattr(pf, name)
        found.append(doctest.DocTestParser().get_doctest(inspect.getdoc(public), {}, name, None, 0))
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, object]:
    """What the page's first lines promise its examples: labels, two models' answers, patients."""
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random(200) < 0.3, 2)
    ours, theirs = (
        1 / (1 + np.exp(-(slope * truth - shift + rng.normal(0, 1, 400)))) for slope, shift in ((2.5, 1.2), (1.5, 1.0))
    )
    return {"pf": pf, "truth": truth, "probabilities": ours, "others": theirs, "who": np.arange(400) // 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """One folder for all examples: the later ones open what the earlier ones wrote."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("example", examples(), ids=lambda found: found.name)
def test_the_examples_of_the_python_page(example, known, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr("plainfilm.training.speed.SECONDS", 0.01)
    example.globs.update(known)
    ran = doctest.DocTestRunner().run(example)
    assert ran.attempted and not ran.failed, capsys.readouterr().out


def test_every_public_name_has_an_example():
    assert {found.name.partition(".")[0] for found in examples()} == set(pf.__all__)
