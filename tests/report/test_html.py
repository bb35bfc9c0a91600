from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.report import external, figures
from plainfilm.report.html import paper_report, run_report
from plainfilm.report.mistakes import picture_of, wrong_films
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.inside import read_runs
from plainfilm.storage.tables import read_csv

MakeRun = Callable[..., Path]
VOID = {"meta", "img", "br", "link", "input", "wbr"}


class Page(HTMLParser):
    """The page's tags, checked to be closed in order, its text, and the attributes that matter."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.text = " ".join(self.text.split())
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.open += [] if tag in VOID else [tag]
        if tag == "wbr":  # a place to break a word, no space
            self.text = self.text.removesuffix(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open and self.open[-1] == "style" else data + " "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8", errors="surrogateescape"))


def add_montage(run: Path) -> None:
    films = [(np.full((32, 32), 10 * i, np.uint8), "NORMAL", "0.900", "NORMAL", f"film-{i}.png") for i in range(6)]
    figures.save(figures.montage(films, 6), run / "figures", "montage")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Path:
    """Three models with reports, one of which did not learn."""
    out = tmp_path_factory.mktemp("paper")
    make_run(out / "vgg", "vgg", films=240, dead=True)
    make_run(out / "vgg-bn", "vgg-bn", films=240, certainty=2.0, seed=1)
    make_run(out / "vgg16-lr", "vgg16-lr", films=240, certainty=2.2, seed=2)
    add_montage(out / "vgg")
    run_report(RunFolder(out / "vgg"))
    paper_report(out)
    return out


def test_paper_report_shows_all_models_with_links_to_their_own(paper: Path) -> None:
    page = read(paper / "report.html")
    links = [a["href"] for a in page.all("a") if a["href"] and not a["href"].startswith("#")]
    assert links == ["vgg/report.html", "vgg-bn/report.html", "vgg16-lr/report.html"]
    assert "validation scores; split by film, patients shared" in page.text
    assert "is not shown to be better than" in page.text
    assert "vgg16-lr: no epochs" in page.text


def test_a_model_that_did_not_learn_is_a_red_line_and_marked_in_every_table(paper: Path) -> None:
    for place in (paper / "report.html", paper / "vgg" / "report.html"):
        page = read(place)
        assert "Red line: vgg did not learn: one class predicted (PNEUMONIA)." in page.text
        assert any(row.get("class") == "void" for row in page.all("tr"))
    said = read(paper / "report.html").text
    assert "better than vgg:" not in said and "vgg is not shown" not in said  # nothing to compare
    assert said.count("vgg (did not learn)") >= 5


def test_order_of_the_sections(paper: Path) -> None:
    page = read(paper / "report.html")
    names = [a["id"] for a in page.all("h2")]
    assert names == [
        "verdict-h", "table", "network", "curves", "montage", "decisions", "probabilities", "search", "cost", "errors",
        "how", "limits",
    ]  # fmt: skip
    assert {a["href"] for a in page.all("a") if (a["href"] or "").startswith("#")} >= {f"#{n}" for n in names[1:]}


@pytest.mark.parametrize("place", ["report.html", "vgg/report.html"])
def test_pages_ask_for_nothing_and_run_nothing(paper: Path, place: str) -> None:
    text = (paper / place).read_text()
    page = Page(text)
    assert len(text) < 3_000_000
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))  # type: ignore[union-attr]
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text


@pytest.mark.parametrize("place", ["report.html", "vgg/report.html"])
def test_pages_are_accessible(paper: Path, place: str) -> None:
    page = read(paper / place)
    assert page.all("html")[0]["lang"] == "en" and {"header", "main", "nav", "footer"} <= {t for t, _ in page.tags}
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert all(len(image["alt"] or "") > 25 for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {a["aria-labelledby"] for a in page.all("section")}
    assert targets <= set(ids)


def test_every_chart_has_its_numbers_behind_it(paper: Path) -> None:
    page = read(paper / "report.html")
    charts = [i for i, (tag, _) in enumerate(page.tags) if tag == "figure"]
    with_numbers = page.text.count("Numbers behind this figure")
    assert len(charts) == with_numbers + 1  # all but the montage


def by_model(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(row["model"].removesuffix(" (did not learn)"), []).append(row)
    return found


def test_figures_are_on_disk_for_a_journal_with_their_points(paper: Path) -> None:
    names = {path.name for path in (paper / "figures").iterdir()}
    for stem in (
        "intervals",
        "curves",
        "roc",
        "precision_recall",
        "network-vgg-bn",
        "confusion-vgg",
        "reliability-vgg",
    ):
        assert {f"{stem}.png", f"{stem}.svg", f"{stem}.pdf"} <= names
    assert {"roc.csv", "precision_recall.csv", "reliability-vgg.csv"} <= names
    rows = read_csv(paper / "figures" / "roc.csv")[1]
    for model, found in by_model(rows).items():
        run = next(run for run in read_runs(paper) if run.title == model)
        area = np.trapezoid(
            [float(row["sensitivity"]) for row in found], [float(row["1 - specificity"]) for row in found]
        )
        assert area == pytest.approx(run.score("auroc").value, abs=1e-9)
    alone = {path.stem for path in (paper / "vgg" / "figures").iterdir()}
    assert {"network", "confusion", "reliability", "montage"} <= alone


def test_names_of_films_and_classes_are_escaped(make_run: MakeRun, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>&\"'-{i}.png"
    classes = ("a <b>normal</b>", 'Pneumonia & "co" of the right lower lobe')
    run_report(RunFolder(make_run(tmp_path, classes=classes, path=evil)))
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "<script" not in text and "<b>" not in text
    assert "<script>alert(1)</script>&\"'-" in page.text and "a <b>normal</b>" in page.text


@pytest.mark.usefixtures("words_only")
def test_every_error_is_listed_by_confidence_the_first_twenty_in_sight(make_run: MakeRun, tmp_path: Path) -> None:
    run_report(RunFolder(make_run(tmp_path, films=400, certainty=0.3)))
    run, page = RunFolder(tmp_path), read(tmp_path / "report.html")
    p = run.scored
    missed = np.flatnonzero((p.decided != p.labels) & p.truth)
    assert len(missed) > 20
    ordered = missed[np.argsort(-p.probabilities[missed, 0])]
    places = [page.text.index(f"{p.paths[i]} ") for i in ordered]
    assert places == sorted(places)
    assert f"False negatives: PNEUMONIA, decided as another class ({len(missed)})" in page.text
    assert page.text.count("Probability of PNEUMONIA, threshold") >= 2
    weighed = p.decision.weighed(p.probabilities[ordered[0]], int(p.decided[ordered[0]]))
    assert f"{p.paths[ordered[0]]} {weighed}" in page.text and weighed[0] in "0<"
    fold = page.text.index(f"The other {len(missed) - 20}")
    assert places[19] < fold < places[20]


@pytest.mark.usefixtures("words_only")
def test_a_report_explains_its_figures_to_those_who_have_nothing_but_the_page(
    make_run: MakeRun, tmp_path: Path
) -> None:
    page = run_report(RunFolder(make_run(tmp_path))).read_text()
    footer = page[page.index("<footer>") :]
    assert "docs/" not in footer and footer.count("<dt>") == footer.count("<dd>") == 8
    assert all(f"<dt>{term}" in footer for term in ("Interval", "Red line", "Sensitivity", "AUROC", "Threshold", "PPV"))


@pytest.mark.usefixtures("words_only")
def test_a_run_without_an_error_says_none(make_run: MakeRun, tmp_path: Path) -> None:
    run_report(RunFolder(make_run(tmp_path, certainty=50.0)))
    said = read(tmp_path / "report.html").text
    assert "decided as another class (0) None." in said and "and another class (0) None." in said


@pytest.mark.usefixtures("words_only")
def test_what_is_not_on_disk_is_not_done(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path)
    for name in ("history.csv", "metrics.json", "quarantine.csv"):
        (tmp_path / name).unlink()
    run_report(RunFolder(tmp_path))
    said = read(tmp_path / "report.html").text
    assert "vgg: not done (there is no history.csv)." in said
    assert "Not done: the scores (there is no metrics.json)." in said
    assert "Not done: there is no figures/montage.png." in said
    assert "Red line: vgg: the scores of the validation part are not done" in said


@pytest.mark.usefixtures("words_only")
def test_metrics_of_the_scored_part_alone_are_enough(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    del metrics["train"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    run_report(RunFolder(tmp_path))
    assert "not done" in read(tmp_path / "report.html").text  # the gap


@pytest.mark.usefixtures("words_only")
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_run_of_one_part_only(make_run: MakeRun, tmp_path: Path, part: str) -> None:
    run_report(RunFolder(make_run(tmp_path, parts=(part,))))
    words = {"train": "training", "val": "validation"}[part]
    assert f"Scored on the {words} part: 120 films" in read(tmp_path / "report.html").text


@pytest.mark.usefixtures("words_only")
def test_scored_films_of_one_class_have_no_curves(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path, films=4)
    rows = ["a,train,NORMAL,0.8,0.2", "b,val,PNEUMONIA,0.1,0.9", "c,val,PNEUMONIA,0.2,0.8"]
    (tmp_path / "predictions.csv").write_text("path,part,label,p_NORMAL,p_PNEUMONIA\n" + "\n".join(rows) + "\n")
    run_report(RunFolder(tmp_path))
    assert "Not done: all scored films are of one class" in read(tmp_path / "report.html").text


@pytest.mark.usefixtures("words_only")
def test_three_classes(make_run: MakeRun, tmp_path: Path) -> None:
    run_report(RunFolder(make_run(tmp_path, films=300, classes=("BACTERIAL", "NORMAL", "VIRAL"), split="grouped")))
    said = read(tmp_path / "report.html").text
    assert "the likeliest class decides" in said and "VIRAL against the rest" in said
    assert "Other confusions" in said and "No verdict" in said


@pytest.mark.usefixtures("words_only")
def test_red_lines(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a", films=100, synthetic=True)
    (tmp_path / "a" / "quarantine.csv").write_text("path,reason\nbroken.png,it is empty\nbad.png,it is a bomb\n")
    run_report(RunFolder(tmp_path / "a"))
    said = read(tmp_path / "a" / "report.html").text
    for line in (
        "Red line: 7 patients with films in more than one part",
        "Red line: 2 films could not be read and were left out (quarantine.csv).",
        "Red line: Only 50 films scored",
        "Red line: Synthetic films",
        "Synthetic films: every film here was drawn by a program.",
    ):
        assert line in said
    assert "broken.png" in said and "it is a bomb" in said


@pytest.mark.usefixtures("words_only")
def test_a_run_without_a_fault_has_no_red_line(make_run: MakeRun, tmp_path: Path) -> None:
    run_report(RunFolder(make_run(tmp_path, films=600, split="grouped", parts=("train", "val", "test"))))
    said = read(tmp_path / "report.html").text
    assert "Red line:" not in said and "No red line" in said
    assert "These are validation scores" not in said and "97 % against Kermany" in said


@pytest.mark.usefixtures("words_only")
def test_models_of_different_films_are_not_compared(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "vgg", films=200)
    other = make_run(tmp_path / "vgg-bn", "vgg-bn", films=200, certainty=9)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"data_hash": "other"}))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text("{}")
    said = read(paper_report(tmp_path)).text
    assert "can't be compared" in said and "better than" not in said
    assert "begun was begun and is not finished" in said


@pytest.mark.usefixtures("words_only")
def test_paired_tests_say_which_model_is_better(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "vgg", films=400, certainty=0.5)
    make_run(tmp_path / "vgg-bn", "vgg-bn", films=400, certainty=6)
    text = read(paper_report(tmp_path)).text
    assert "vgg-bn is better than vgg (accuracy: difference" in text and "after Holm" in text


@pytest.mark.usefixtures("words_only")
def test_films_that_every_model_gets_wrong_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "vgg", films=200, certainty=0.5, seed=3)
    make_run(tmp_path / "vgg-bn", "vgg-bn", films=200, certainty=0.5, seed=3)
    assert "Wrong by all 2 models" in read(paper_report(tmp_path)).text


def test_a_report_written_twice_has_the_same_bytes(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path)
    first = run_report(RunFolder(tmp_path)).read_bytes()
    assert run_report(RunFolder(tmp_path)).read_bytes() == first


def test_the_report_needs_no_torch() -> None:
    code = "import sys, plainfilm.report.html; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("words_only")
def test_a_run_page_has_a_part_for_each_reader_and_says_what_was_not_probed(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path, films=600, split="grouped", parts=("train", "val", "test"), openings=2)
    page = read(run_report(RunFolder(run)))
    assert [a["id"] for a in page.all("h2")] == [
        "verdict-h", "decisions", "thresholds", "prevalence", "referral", "errors", "montage", "elsewhere",
        "limits",
        "probabilities", "subgroups", "robustness", "shortcuts", "audit", "table", "network", "curves", "cost", "how",
    ]  # fmt: skip
    assert all(f"For the {reader}" in page.text for reader in ("clinic", "reviewer", "engineer"))
    assert page.text.count("Not done: plainfilm evaluate") == 4 and "Not done: plainfilm audit" in page.text
    assert "Red line: vgg: the test part has been opened 2 times." in page.text
    assert page.text.index("were found and") < page.text.index("Red line:")


@pytest.mark.usefixtures("words_only")
def test_wrong_films_are_shown_where_there_are_pictures_of_them(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, films=400, certainty=0.3))
    first = run.scored.paths[wrong_films(run)[1][0]]
    picture = picture_of(tmp_path, first)
    picture.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
    shown = [a["alt"] for a in read(run_report(RunFolder(tmp_path))).all("img") if "Wrongly" in (a["alt"] or "")]
    assert shown == [f"Wrongly decided film {first}"]


def test_sentences_in_a_table_are_broken_into_lines_and_other_films_reports_are_linked(make_run, tmp_path) -> None:
    """A column of red lines was one line of 5,000 pixels, and the folder other_hospital broke within "hospital"."""
    run = RunFolder(make_run(tmp_path, parts=("train", "val", "test"), split="grouped"))
    place = tmp_path / "on-other_hospital & co"
    place.mkdir()
    line = "Scores measured on the training films need not hold on other_hospital: its films differ."
    (place / "metrics.json").write_text(json.dumps({"test": run.metrics["test"], "red_lines": [line]}))
    assert external.reports(run) == []  # its report is gone: no link that leads nowhere
    (place / "report.html").write_text("")
    path = run_report(run)
    page, text = read(path), path.read_text()
    assert f'<td class="words">{line}</td>' in text and '<th scope="row">other_<wbr>hospital &amp; co</th>' in text
    assert "on-other_hospital%20%26%20co/report.html" in [a.get("href") for a in page.all("a")]
    assert ".numbers td.words" in text and "Each has its own report: other_hospital & co ." in page.text
