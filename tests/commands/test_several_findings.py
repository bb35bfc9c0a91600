"""Several findings per film, from a table to a report: training, labels, scores, other films, exports."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.schemas import valid

from plainfilm.cli import main
from plainfilm.evaluation.exchange import UNRELATED
from plainfilm.evaluation.findings import read_findings
from plainfilm.models.model import Model
from plainfilm.report.folds import folds_report
from plainfilm.report.verdict import as_it_stands
from plainfilm.report.words import unbroken
from plainfilm.storage.files import sealed, write_json

FINDINGS = ("Effusion", "Mass", "Pneumonia")
PLACES = {"Effusion": (0.25, 0.75), "Mass": (0.75, 0.25), "Pneumonia": (0.75, 0.75)}


def films_with_findings(folder, count=150, hidden=0.25, seed=0):
    """Write films with a bright spot for each finding they have, and films.csv with some cells hidden."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    truth = rng.random((count, len(FINDINGS))) < 0.4
    y, x = np.mgrid[0:48, 0:48] / 48
    rows = []
    for i, shown in enumerate(truth):
        picture = rng.normal(90, 12, (48, 48))
        for name, there in zip(FINDINGS, shown, strict=True):
            v, u = PLACES[name]
            picture += 110 * there * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 0.008)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"film{i:03d}.png")
        cells = ["" if rng.random() < hidden else str(int(there)) for there in shown]
        rows.append([f"film{i:03d}.png", f"p{i // 2}", *cells])
    with open(folder / "films.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([["path", "patient", *FINDINGS], *rows])
    return folder / "films.csv"


def read(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("findings")
    table = films_with_findings(place / "films")
    words = ["train", str(table), "--findings", "all", "--model", "vgg-bn", "--out", str(place / "run"), "--quiet"]
    settings = ["--epochs", "14", "--size", "32", "--batch", "16", "--learning-rate", "0.02", "--precision", "32"]
    assert main([*words, *settings]) == 0
    return place


def test_a_run_of_findings_has_all_its_files(trained):
    run = trained / "run"
    p = read_findings(run / "predictions.csv")
    assert p.findings == FINDINGS and (p.truth < 0).mean() == pytest.approx(0.25, abs=0.08)
    config = json.loads((run / "config.json").read_text())
    assert config["findings"]["Mass"]["unknown"] == int((p.truth[:, 1] < 0).sum())
    metrics = json.loads((run / "metrics.json").read_text())
    for name in FINDINGS:
        found = metrics["test"]["findings"][name]
        assert found["known"] == len(p.part("test").of(name)) and found["scores"]["auroc"]["value"] > 0.8
    assert metrics["test"]["macro_auroc"]["value"] > 0.85 and metrics["test_openings"] == 1
    page = (run / "report.html").read_text()
    assert all(name in page for name in FINDINGS) and "Findings together" in page and "What is not known" in page
    assert (run / "figures" / "findings-roc.png").exists()


def test_the_service_shows_the_red_lines_that_the_run_has_now(trained, tmp_path):
    """Those in the model file are of the training, when no other audit had been made."""
    run = shutil.copytree(trained / "run", tmp_path / "run")
    audit = json.loads((run / "audit.json").read_text()) if (run / "audit.json").exists() else {}
    with sealed(run):
        write_json(run / "audit.json", {**audit, "red_lines": ["A line that was found later."]})
    frozen = Model.load(run).verdict
    now = as_it_stands(run, frozen)
    assert "A line that was found later." in now["red_lines"] and "A line that was found later." not in str(frozen)
    assert "now" in now["red_lines_of"] and now["findings"] == frozen["findings"]
    assert as_it_stands(run / "model.h5", frozen) == frozen


def test_doctor_counts_findings_again(trained, tmp_path, capsys):
    run = shutil.copytree(trained / "run", tmp_path / "run")
    assert main(["doctor", str(run)]) == 0
    assert "those that config.json names" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["test"]["findings"]["Mass"]["scores"]["accuracy"]["value"] = 0.123
    with sealed(run):  # as if it had been meant
        write_json(run / "metrics.json", metrics)
    assert main(["doctor", str(run)]) == 3
    assert "test, Mass: accuracy 0.1230, but predictions.csv gives" in capsys.readouterr().out
    with sealed(run):
        text = (run / "films.csv").read_text()
        (run / "films.csv").write_text(text.replace(",0,1,1\n", ",0,1,0\n", 1))
    assert main(["doctor", str(run)]) == 3
    assert "not the films that config.json names" in capsys.readouterr().out


def test_labels_of_films_are_their_findings(trained, tmp_path):
    out = tmp_path / "labels.csv"
    picture = tmp_path / "labels.png"
    run = str(trained / "run")
    assert main(["label", run, str(trained / "films"), "--out", str(out), "--montage", str(picture), "--quiet"]) == 0
    rows = read(out)
    model = Model.load(trained / "run")
    for row in rows[:20]:
        chances = np.array([float(row[f"p_{name}"]) for name in FINDINGS])
        called = [name for name, yes in zip(FINDINGS, chances >= model.decision.thresholds, strict=True) if yes]
        assert row["label"] == ("; ".join(called) or "none")
    assert len({row["label"] for row in rows}) > 3 and picture.exists()


def test_scoring_again_and_a_file_give_the_same(trained, capsys):
    before = json.loads((trained / "run" / "metrics.json").read_text())
    assert main(["evaluate", str(trained / "run"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {name: again[name] for name in before} == before  # nor was the test part opened once more
    assert main(["evaluate", str(trained / "run" / "predictions.csv")]) == 0
    shown = capsys.readouterr().out
    assert "Pneumonia" in shown and "macro mean of AUROC" in shown


def test_other_films_of_which_some_findings_are_known(trained, tmp_path, capsys):
    other = films_with_findings(tmp_path / "other", count=60, hidden=0.5, seed=9)
    out = tmp_path / "on-other"
    assert main(["evaluate", str(trained / "run"), str(other), "--out", str(out), "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["test"]["findings"]
    assert found["Mass"]["known"] == len(read_findings(out / "predictions.csv").of("Mass"))
    page = (out / "report.html").read_text()
    assert "not the model's own".replace("'", "&#39;") in page and "Findings together" in page
    assert found["Mass"]["scores"]["auroc"]["value"] > 0.8
    page = (out / "report.html").read_text()
    assert f"{found['Mass']['scores']['auroc']['value']:.3f}" in page and (out / "figures/findings-roc.svg").is_file()
    assert not list((trained / "run").glob("on-*"))


def test_probes_say_which_finding_loses_most(trained, tmp_path, capsys):
    """Each row has the findings that it is the mean of; untouched films are worth what the run's are."""
    run = shutil.copytree(trained / "run", tmp_path / "run")
    assert main(["evaluate", str(run), "--probes", "--quiet"]) == 0
    found = json.loads((run / "probes.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    assert found["untouched"]["auroc"]["value"] == pytest.approx(metrics["macro_auroc"]["value"], abs=1e-4)
    for row in [*found["robustness"], *found["probes"][1:]]:
        change = row.get("auroc_change", row.get("change"))
        each = {name: one["change"]["value"] for name, one in row["findings"].items()}
        assert change["value"] == pytest.approx(np.mean(list(each.values())), abs=2e-4)
        assert row["worst"]["finding"] == min(each, key=each.get)
        assert 0 <= row["flipped"]["low"] <= row["flipped"]["value"] < row["flipped"]["high"] <= 1
    covered = {row["name"]: row for row in found["probes"]}["lungs covered"]
    assert covered["auroc"]["value"] < 0.75  # the spots that were learnt lie there
    page = (run / "report.html").read_text()
    left, row = found["elsewhere"], next(row for row in found["probes"] if row["name"] == UNRELATED)
    assert left["unrelated"] == row["auroc"] and left["worst"]["finding"] == row["worst"]["finding"]
    assert unbroken(left["sentence"]).replace("'", "&#39;") in page
    assert left["sentence"] in (run / "model-card.md").read_text()
    assert unbroken(found["worst_finding"]["sentence"]) in page and "Finding that loses most" in page
    assert f"means over {len(FINDINGS)} findings" in page and 'id="robustness"' in page


def test_probes_of_other_films_are_in_their_own_report(trained, tmp_path):
    other, out = films_with_findings(tmp_path / "other", count=40, hidden=0.2, seed=5), tmp_path / "on-other"
    words = ["evaluate", str(trained / "run"), str(other), "--out", str(out), "--quiet"]
    assert main([*words, "--probes", "--films", "30"]) == 0
    found = json.loads((out / "probes.json").read_text())
    assert found["films"] <= 32 and found["scored"] == 40 and "subgroups" not in found
    assert unbroken(found["worst_finding"]["sentence"]) in (out / "report.html").read_text()
    assert main([*words, "--force"]) == 0
    assert not (out / "probes.json").exists()  # scores of now beside probes of then would mislead
    assert 'id="robustness"' not in (out / "report.html").read_text()


def test_findings_too_rare_to_be_probed_are_named(trained, tmp_path, capsys):
    other = films_with_findings(tmp_path / "other", count=40, hidden=0.2, seed=5)
    words = ["evaluate", str(trained / "run"), str(other), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--probes", "--films", "1"]) == 2
    said = capsys.readouterr().err
    assert "No finding can be probed on" in said and "--films" in said


def test_an_export_answers_the_same(trained, tmp_path):
    pytest.importorskip("onnxscript")
    assert main(["export", str(trained / "run"), "--format", "onnx", "--out", str(tmp_path / "m.onnx"), "--quiet"]) == 0
    for model, out in ((trained / "run", "a.csv"), (tmp_path / "m.onnx", "b.csv")):
        assert main(["label", str(model), str(trained / "films"), "--out", str(tmp_path / out), "--quiet"]) == 0
    a, b = (read(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert [row["label"] for row in a] == [row["label"] for row in b]
    assert [float(r["p_Mass"]) for r in a] == pytest.approx([float(r["p_Mass"]) for r in b], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adapt", "{run}", "{films}", "--prevalence", "0.1", "--out", "{new}"], "a prevalence of its own"),
        (
            ["adapt", "{run}", "{films}", "--classes", "a=b", "--out", "{new}"],
            "nothing for a model of several findings",
        ),
    ],
)
def test_what_is_not_for_findings_says_so(trained, tmp_path, words, said, capsys):
    places = {"run": trained / "run", "films": trained / "films" / "films.csv", "new": tmp_path / "new"}
    assert main([word.format(**places) for word in words]) == 2
    assert said in capsys.readouterr().err


QUICK = ["--model", "vgg", "--epochs", "6", "--size", "32", "--batch", "16", "--learning-rate", "0.02", "--quiet"]


def says_what_is_not_known(out, page):
    assert "unknown is never counted as negative" in page and 'id="limits"' in page and "patients are in" not in page
    rules = json.loads((out / "fold-1" / "model.json").read_text())["findings"]
    told = [f"{rule['positive']} {rule['threshold']:.3g}, {rule['temperature']:.3g}" for rule in rules]
    assert "Findings, positive films" in page and "; ".join(told) in page
    whole = out / "fold-1" / "config.json"
    before = whole.read_bytes()
    write_json(whole, {**json.loads(before), "crossing": {"patients": 3}})
    assert "fold-1: 3 patients are in two parts" in folds_report(out).read_text()
    whole.write_bytes(before)


def test_folds_are_pooled_by_finding_and_compared(tmp_path, capsys):
    table = films_with_findings(tmp_path / "films", count=90)
    out = tmp_path / "folds"
    words = ["train", str(table), "--findings", "all", "--folds", "2", *QUICK]
    assert main([*words, "--out", str(out)]) == 0
    assert "auroc_Mass" in capsys.readouterr().out
    found = json.loads((out / "folds.json").read_text())
    p = read_findings(out / "predictions.csv")
    assert len(p) == 90 and p.folds is not None and set(p.folds) == {"fold-0", "fold-1"}
    for k in (0, 1):
        run = read_findings(out / f"fold-{k}" / "predictions.csv")
        mine = p.take(p.folds == f"fold-{k}")
        assert sorted(mine.paths) == sorted(run.part("test").paths)
        rules = json.loads((out / f"fold-{k}" / "model.json").read_text())["findings"]
        assert np.unique(mine.decision.thresholds, axis=0).tolist() == [[rule["threshold"] for rule in rules]]
        films = {row["path"]: row for row in read(out / f"fold-{k}" / "films.csv")}
        parts = {}
        for row in films.values():
            parts.setdefault(row["patient"], set()).add(row["part"])
        assert all(len(each) == 1 for each in parts.values())
    assert found["pooled"]["findings"]["Mass"]["known"] == len(p.of("Mass"))
    spread = found["scores"]["auroc_Mass"]
    assert len(spread["values"]) == 2 and spread["mean"] == pytest.approx(np.mean(spread["values"]))
    assert all(cell["finding"] in FINDINGS and cell["p_own_label"] < 0.5 for cell in found["label_noise"])
    page = (out / "report.html").read_text()
    assert "AUROC, Mass" in page and "Ranking by finding" in page and "each with a 95 %" not in page
    says_what_is_not_known(out, page)
    assert main(["evaluate", str(out), "--fail-if", "macro_auroc<0.2"]) == 0
    assert json.loads((out / "folds.json").read_text()) == found
    assert main(["compare", str(out), str(out / "predictions.csv"), "--quiet"]) == 0
    assert "the two are identical" in capsys.readouterr().out


def test_seeds_are_listed_by_finding(tmp_path):
    table = films_with_findings(tmp_path / "films", count=60)
    words = ["train", str(table), "--findings", "all", "--seeds", "2", *QUICK, "--epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "folds.json").read_text())
    assert found["pooled"] is None and len(found["scores"]["macro_auroc"]["values"]) == 2
    assert not (tmp_path / "out" / "predictions.csv").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    weak = [
        name for name in FINDINGS for k in (0, 1) if f"seed-{k}: {name}: not shown to be better than chance" in page
    ]
    assert weak, "one epoch on 60 films teaches nothing"


def test_maps_are_of_findings(trained, tmp_path, capsys):
    run, films = str(trained / "run"), [str(trained / "films" / f"film{k:03d}.png") for k in range(6)]
    assert main(["explain", run, *films, "--out", str(tmp_path / "maps"), "--checks", "2", "--quiet"]) == 0
    model = Model.load(run)
    rows = read(tmp_path / "maps" / "explain.csv")
    for film in films:
        p = model.predict_proba(film)[0]
        own = [row for row in rows if row["path"] == film]
        called = [name for name, yes in zip(FINDINGS, p >= model.decision.thresholds, strict=True) if yes]
        assert [row["explained"] for row in own] == (called or [FINDINGS[int(model.decision.decide(p[None])[0])]])
        assert all(float(row["p"]) == pytest.approx(p[FINDINGS.index(row["explained"])]) for row in own)
        assert all(row["label"] == ("; ".join(called) or "none") for row in own)
    found = json.loads((tmp_path / "maps" / "explain.json").read_text())
    assert found["mapped"] == 6 and found["maps"] == len(rows) and found["films_checked"] == 2
    named = ["explain", run, films[0], "--finding", "Mass,Effusion", "--checks", "0", "--quiet"]
    assert main([*named, "--out", str(tmp_path / "two")]) == 0
    rows = read(tmp_path / "two" / "explain.csv")
    assert [row["explained"] for row in rows] == ["Mass", "Effusion"] and rows[0]["map"].endswith("film000-Mass.png")
    assert main(["explain", run, films[0], "--finding", "Maas", "--out", str(tmp_path / "no")]) == 2
    assert "no class 'Maas'. Did you mean 'Mass'?" in capsys.readouterr().err


def test_a_map_marks_the_place_of_its_finding(trained):
    """The evidence lies where the sign of the finding was drawn, not where those of others are."""
    from plainfilm.explain.heatmaps import heat_map, on_input

    model = Model.load(trained / "run")
    truth = {row["path"]: row for row in read(trained / "films" / "films.csv")}
    hits = []
    for path, row in truth.items():
        for k, name in enumerate(FINDINGS):
            if row[name] == "1" and any(row[other] == "1" for other in FINDINGS if other != name):
                pixels = model.preprocess.read((trained / "films" / path).read_bytes())
                [heat] = on_input(heat_map(model, pixels[None], k), 48)
                v, u = PLACES[name]
                near = heat[int(48 * v) - 8 : int(48 * v) + 8, int(48 * u) - 8 : int(48 * u) + 8].sum()
                hits.append(near / max(heat.sum(), 1e-9))
    assert len(hits) >= 6 and np.mean(hits) > 2 * (16 / 48) ** 2  # twice what an even map would have there


def test_the_page_gets_the_map_of_the_chosen_finding(trained):
    from tests.serving.conftest import serving

    form = {"films": ("a.png", (trained / "films" / "film000.png").read_bytes())}
    with serving(Model.load(trained / "run")) as running:
        ask = running.client.post
        maps = {name: ask("/explain", params={"kind": "map", "of": name}, files=form) for name in FINDINGS}
        assert [answer.status_code for answer in maps.values()] == [200] * len(FINDINGS)
        assert len({answer.content for answer in maps.values()}) > 1
        wrong = ask("/explain", params={"of": "Maas"}, files=form)
        assert wrong.status_code == 422 and "Did you mean 'Mass'?" in wrong.json()["error"]


def has_a_report(out, found):
    valid("plainfilm-adapt", {**found, "out": str(out), "report": str(out / "report.html")})
    page = (out / "report.html").read_text()
    assert "before and after adapting" in page and unbroken(found["findings"]["Mass"]["not_adapted"]) in page
    for name in ("Effusion", "Pneumonia"):
        one = found["findings"][name]
        assert all(f"{one[when]['balanced_accuracy']['value']:.3f}" in page for when in ("before", "after"))
        assert f"{found['to']['findings'][name]['threshold']:.3f}" in page
        assert f"{one['after']['auroc']['value']:.3f}" in page
    assert (out / "figures" / "findings-roc.png").exists() and main(["doctor", str(out)]) == 0


def test_each_finding_is_adapted_by_the_films_that_know_it(trained, tmp_path, capsys):
    local = films_with_findings(tmp_path / "local", count=120, hidden=0.2, seed=5)
    rows = read(local)
    few = 0
    for row in rows:  # six films know Mass
        few += row["Mass"] != ""
        row["Mass"] = row["Mass"] if few <= 6 else ""
    with open(local, "w", newline="") as handle:
        write = csv.DictWriter(handle, rows[0])
        write.writeheader()
        write.writerows(rows)
    out, run = tmp_path / "here", trained / "run"
    rule = ["--threshold", "sensitivity=0.95", "--quiet"]
    assert main(["adapt", str(run), str(local), "--out", str(out), *rule]) == 0
    assert "Mass                  kept: adapt needs at least 10 local films" in capsys.readouterr().out
    found = json.loads((out / "adapt.json").read_text())
    assert "not_adapted" in found["findings"]["Mass"] and found["to"]["findings"]["Mass"]["threshold"] == pytest.approx(
        found["from"]["findings"]["Mass"]["threshold"]
    )
    old, new = Model.load(run), Model.load(out)
    assert new.decision.thresholds[1] == old.decision.thresholds[1]
    assert new.decision.thresholds[0] != old.decision.thresholds[0]
    p = read_findings(out / "predictions.csv")
    for name in ("Effusion", "Pneumonia"):
        films = p.of(name)
        assert found["findings"][name]["known"] == len(films)
        assert found["findings"][name]["after"]["sensitivity"]["value"] == pytest.approx(
            films.called[films.truth].mean()
        )
        assert films.called[films.truth].mean() >= 0.85
    assert set(new.verdict["findings"]) == {"Effusion", "Pneumonia"} and "120 films" in new.verdict["protocol"]
    assert found["red_lines"] == new.verdict["red_lines"][: len(found["red_lines"])]
    has_a_report(out, found)
    assert main(["evaluate", str(out), str(local), "--out", str(tmp_path / "again"), "--quiet"]) == 0


def test_thresholds_of_findings_move_without_labels(trained, tmp_path, capsys):
    """A site without labels: what the scores of its films say, finding by finding, and that none of it is measured."""
    films_with_findings(tmp_path / "site", count=150, seed=7)
    (tmp_path / "site" / "films.csv").unlink()
    out = tmp_path / "here"
    words = ["adapt", str(trained / "run"), str(tmp_path / "site"), "--unlabelled", "--out", str(out), "--quiet"]
    assert main(words) == 0
    assert "None of this can be checked" in capsys.readouterr().out
    found, old, new = json.loads((out / "adapt.json").read_text()), Model.load(trained / "run"), Model.load(out)
    valid("plainfilm-adapt", {**found, "out": str(out)})
    for name, before, after in zip(FINDINGS, old.decision.each, new.decision.each, strict=True):
        one = found["findings"][name]
        assert after.temperature == before.temperature
        assert after.threshold == (before.threshold if "not_adapted" in one else one["threshold_interval"]["value"])
    assert any("not_adapted" not in one for one in found["findings"].values())
    assert "not measured" in new.verdict["protocol"] and not new.verdict["scores"] and main(["doctor", str(out)]) == 0


def test_none_adapted_is_a_sentence(trained, tmp_path, capsys):
    local = films_with_findings(tmp_path / "local", count=12, hidden=0.2, seed=5)
    assert main(["adapt", str(trained / "run"), str(local), "--out", str(tmp_path / "here"), "--quiet"]) == 2
    assert "No finding can be adapted. Effusion: adapt needs at least 10" in capsys.readouterr().err


def test_a_search_makes_the_mean_or_the_worst_finding_better(tmp_path, capsys):
    table = films_with_findings(tmp_path / "films", count=90)
    words = [
        "search",
        str(table),
        "--findings",
        "all",
        "--model",
        "vgg",
        "--epochs",
        "2",
        "--size",
        "16",
        "--budget",
        "6",
    ]
    assert main([*words, "--objective", "auroc,worst_auroc", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    found = json.loads((tmp_path / "out" / "search.json").read_text())
    assert found["positive"] == "Effusion, Mass, Pneumonia" and found["trials"] >= 2
    scores = found["best"]["scores"]
    assert scores["worst_auroc"] <= scores["auroc"] and "--findings all" in found["train"]
    assert "Effusion, Mass, Pneumonia" in (tmp_path / "out" / "report.html").read_text()


def test_the_audit_looks_at_each_finding(tmp_path, capsys):
    table = films_with_findings(tmp_path / "films", count=160)
    rows = read(table)
    for k, row in enumerate(rows):  # a site that knows Mass, a border that knows Effusion
        row["site"] = {"1": "Oslo", "0": "Lyon"}.get(row["Mass"], "Oslo" if k % 2 else "Lyon")
        if row["Effusion"] == "1":
            place = tmp_path / "films" / row["path"]
            picture = np.asarray(Image.open(place)).copy()
            picture[:4] = 250
            Image.fromarray(picture).save(place)
    (tmp_path / "films" / "copy.png").write_bytes((tmp_path / "films" / rows[0]["path"]).read_bytes())
    twin = {**rows[0], "path": "copy.png"}
    known = next(name for name in FINDINGS if twin[name])
    twin |= {known: "1" if twin[known] == "0" else "0"}
    with open(table, "w", newline="") as handle:
        write = csv.DictWriter(handle, rows[0])
        write.writeheader()
        write.writerows([*rows, twin])
    words = ["audit", str(table), "--findings", "all", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "audit"), "--strict"]) == 3
    said = capsys.readouterr().out
    borders = [line for line in said.splitlines() if "The borders of the films alone predict" in line]
    assert "The column site alone predicts Mass" in said and "Effusion" in borders[0]
    assert "alone predicts Pneumonia" not in said and "1 picture there twice under different labels" in said
    found = json.loads((tmp_path / "audit" / "audit.json").read_text())
    for name in FINDINGS:
        cells = [row[name] for row in [*rows, twin]]
        assert found["films"]["classes"][name] == cells.count("1")
        assert found["films"]["known"][name] == cells.count("1") + cells.count("0")
        assert found["findings"][name]["learnt_from"] == found["films"]["known"][name]
    assert {film["label"].removeprefix("no ") for film in found["doubtful_labels"]["films"]} <= set(FINDINGS)
    page = (tmp_path / "audit" / "report.html").read_text()
    assert "Films by site and class" in page and "What each column of the table tells about each finding" in page


def test_a_training_audits_a_sample_of_its_films(trained):
    found = json.loads((trained / "run" / "audit.json").read_text())
    assert set(found["findings"]) == set(FINDINGS) and found["light"]["of"] == 150
    assert "What tells findings without a look at the lungs" in (trained / "run" / "report.html").read_text()


def test_scores_by_columns_are_by_finding(tmp_path, capsys):
    table = films_with_findings(tmp_path / "films", count=240)
    rows = read(table)
    for k, row in enumerate(rows):
        row |= {"site": ("Oslo", "Lyon")[k % 2], "age": 20 + k % 50}
    with open(table, "w", newline="") as handle:
        write = csv.DictWriter(handle, rows[0])
        write.writeheader()
        write.writerows(rows)
    out = tmp_path / "folds"
    assert main(["train", str(table), "--findings", "all", "--folds", "2", "--out", str(out), *QUICK]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), "--by", "site,age:40", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)["by"]
    p = read_findings(out / "predictions.csv")
    where = {row["path"]: row for row in rows}
    assert [(row["finding"], row["group"]) for row in found["rows"]][:4] == [
        ("Effusion", "Lyon"),
        ("Effusion", "Oslo"),
        ("Effusion", "below 40"),
        ("Effusion", "40 and more"),
    ]
    for row in found["rows"]:
        films = p.of(row["finding"])
        of = {"site": lambda r: r["site"], "age": lambda r: "below 40" if r["age"] < 40 else "40 and more"}[
            row["column"]
        ]
        own = [k for k, path in enumerate(films.paths) if of(where[path]) == row["group"]]
        assert row["films"] == len(own) and row["positives"] == films.truth[own].sum()
    assert main(["evaluate", str(out / "fold-0"), "--by", "site", "--quiet"]) == 0
    assert "Mass, site Lyon" in capsys.readouterr().out
    assert "Mass, site Lyon" in (out / "fold-0" / "report.html").read_text()
    card = (out / "fold-0" / "model-card.md").read_text()
    assert "Subgroups that were scored: site" in card and "each by itself; a film may have several or none" in card
    worst = json.loads((out / "fold-0" / "metrics.json").read_text())["by"]["worst"]
    told = worst["sentence"].rstrip(".") if worst else "subgroups"
    assert told in (out / "fold-0" / "claim-2024.md").read_text()
    assert main(["evaluate", str(out), "--by", "scanner"]) == 2
    assert "there is no column 'scanner'" in capsys.readouterr().err


def test_a_finding_that_is_never_negative_is_left_out_of_all_and_the_others_go_on(tmp_path, capsys):
    table = films_with_findings(tmp_path / "films", 60, hidden=0)
    rows = read(table)
    with open(table, "w", newline="") as handle:  # as CheXpert's and MIMIC-CXR's: 1 or empty
        writer = csv.DictWriter(handle, [*rows[0], "No Finding"])
        writer.writeheader()
        writer.writerows(
            {**row, "No Finding": "" if "1" in [row[name] for name in FINDINGS] else "1.0"} for row in rows
        )
    words = ["train", str(table), "--findings", "all", "--model", "vgg-bn", "--epochs", "1", "--size", "32"]
    assert main([*words, "--no-probes", "--out", str(tmp_path / "run")]) == 0
    assert "Not trained on, since only one answer is known of any film: No Finding" in capsys.readouterr().err
    assert read_findings(tmp_path / "run" / "predictions.csv").findings == FINDINGS
    assert main([*words, "--folds", "2", "--out", str(tmp_path / "folds"), "--quiet"]) == 0
    assert main(["evaluate", str(tmp_path / "run"), str(table), "--out", str(tmp_path / "again"), "--quiet"]) == 0
    said = [*words[:3], "Mass,No Finding", *words[4:], "--out", str(tmp_path / "named")]
    assert main(said) == 2 and "No film that trains is negative for No Finding" in capsys.readouterr().err
