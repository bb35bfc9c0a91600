from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

import plainfilm.commands.adapt as commands_adapt
from plainfilm.cli import main
from plainfilm.data.films import read_films
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions, read_predictions
from plainfilm.models.model import Model
from plainfilm.runs.checkup import checkup
from plainfilm.storage.files import sha256_file


def sums(folder, names):
    return [sha256_file(folder / name) for name in names]


SETTINGS = ["--epochs", "2", "--batch", "8", "--size", "16", "--threads", "1"]


@pytest.fixture(scope="module")
def run(films_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapt") / "run"
    assert main(["train", str(films_folder), "--out", str(out), *SETTINGS, "--quiet"]) == 0
    return out


def test_the_training_itself_keeps_its_operating_point_in_the_model(run):
    model, about = Model.load(run), json.loads((run / "model.json").read_text())
    assert (model.decision.temperature, model.threshold) == (about["temperature"], about["threshold"])
    assert list(model.decision.refer or ()) == (about["refer"] or [])
    assert "validation" in about["threshold_rule"]
    assert model.verdict["protocol"] == "patients separate" and model.verdict["part"] == "test"
    assert any("films scored" in line for line in model.verdict["red_lines"])
    assert len(model.verdict["curve"]) == 99 and 0.4 < model.verdict["prior"] < 0.6
    metrics = json.loads((run / "metrics.json").read_text())
    assert model.verdict["scores"]["auroc"] == metrics["test"]["auroc"] and metrics["test_openings"] == 1


def test_a_finished_run_that_is_resumed_keeps_the_count(run, films_folder, capsys):
    names = ("model.h5", "predictions.csv", "model.json")
    before, bytes_before = json.loads((run / "metrics.json").read_text())["test_openings"], sums(run, names)
    assert main(["train", str(films_folder), "--out", str(run), *SETTINGS, "--resume", "--quiet"]) == 0
    assert json.loads((run / "metrics.json").read_text())["test_openings"] == before
    assert sums(run, names) == bytes_before  # calibrated once, not once more


def test_calibration_is_left_out_where_so_few_films_do_not_show_that_it_helps(run):
    model, about = Model.load(run), json.loads((run / "model.json").read_text())
    assert model.decision.temperature == 1 and not model.decision.offsets and about["offsets"] is None
    assert "uncalibrated" not in model.provenance
    assert "to show that calibrating helps" in (run / "report.html").read_text()


def test_films_elsewhere_are_compared_at_the_threshold_of_the_model(run, make_films, tmp_path, capsys):
    other = make_films(tmp_path / "site", 6, 6)
    places = [str(tmp_path / name) for name in "ab"]
    for place in places:
        assert main(["evaluate", str(run), str(other), "--out", place, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["compare", *places, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"][0]
    assert found["threshold"] == Model.load(run).threshold
    scored = json.loads((tmp_path / "a" / "metrics.json").read_text())["test"]["accuracy"]["value"]
    assert found["scores"]["accuracy"]["value"] == scored


def test_scoring_the_same_model_on_the_same_films_again_is_no_further_opening_of_the_test_part(run, capsys):
    for _ in range(2):
        assert main(["evaluate", str(run), "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["test_openings"] == 1


def test_scores_that_were_spoilt_are_written_anew(run, capsys):
    """`doctor` advises it, so it must work."""
    was = (run / "metrics.json").read_bytes()
    (run / "metrics.json").write_bytes(was[:100])
    assert main(["evaluate", str(run)]) == 0
    assert "how often the test part was opened is not known" in capsys.readouterr().err
    found = json.loads((run / "metrics.json").read_text())
    assert found["test"] == json.loads(was)["test"] and "test_openings" not in found
    (run / "metrics.json").write_bytes(was)
    assert main(["evaluate", str(run), "--quiet"]) == 0
    assert (run / "metrics.json").read_bytes() == was


def test_films_that_the_model_was_trained_on_are_a_red_line_elsewhere(run, films_folder, make_films, tmp_path, capsys):
    assert main(["evaluate", str(run), str(films_folder), "--out", str(tmp_path / "own"), "--quiet"]) == 0
    assert "RED LINE The model was trained on, or chosen by," in " ".join(capsys.readouterr().out.split())
    parts = [row["part"] for row in read_films(run / "films.csv")]
    shared = json.loads((tmp_path / "own" / "metrics.json").read_text())["shared"]
    assert shared["films"] == len(parts) - parts.count("test") and shared["patients"]
    assert main(["adapt", str(run), str(films_folder), "--out", str(tmp_path / "adapted"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shared"] == shared


def test_adapt_keeps_the_weights_and_says_where_it_came_from(run, make_films, tmp_path, capsys):
    local, out = make_films(tmp_path / "local", 24, 24), tmp_path / "here"
    assert main(["adapt", str(run), str(local), "--out", str(out), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    old, new = Model.load(run), Model.load(out)
    for name, value in old.network.state_dict().items():
        assert (new.network.state_dict()[name] == value).all()
    assert new.threshold == found["to"]["threshold"] and new.decision.temperature == found["to"]["temperature"]
    assert new.provenance["adapted"]["from_model"] == old.hash and found["from"]["threshold"] == old.threshold
    middle, p = new.verdict["curve"][49], read_predictions(out / "predictions.csv")
    assert np.mean(p.decided == p.labels) == found["after"]["accuracy"]["value"]
    assert middle["sensitivity"]["value"] == np.mean(p.probabilities[p.labels == 1, 1] >= 0.5)
    assert new.verdict["part"] == "local films" and "cross-fitted" in new.verdict["protocol"]
    assert {"adapt.json", "films.csv", "predictions.csv", "quarantine.csv", "model.h5"} <= {
        p.name for p in out.iterdir()
    }
    assert checkup(out)["state"] == "finished"
    assert main(["adapt", str(run), str(local), "--out", str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.fixture
def scored(run, tmp_path):
    """A copy of the run whose own films were scored with the area under the curve that is asked for."""

    def made(low: float, high: float) -> Path:
        out = tmp_path / f"scored-{low}"
        shutil.copytree(run, out, dirs_exist_ok=True)
        metrics = json.loads((out / "metrics.json").read_text())
        area = {"value": (low + high) / 2, "low": low, "high": high}
        metrics["test"] |= {"auroc": area, "auroc_by_patient": area}
        (out / "metrics.json").write_text(json.dumps(metrics))
        return out

    return made


def test_adapt_without_labels_moves_only_the_threshold(scored, films_folder, tmp_path, capsys):
    run = scored(0.8, 0.95)
    words = ["adapt", str(run), str(films_folder), "--out", str(tmp_path / "ward"), "--prevalence", "0.05"]
    assert main([*words, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "Without labels none of this can be checked" in said and "Sensitivity and specificity on the run" in said
    expected = json.loads((tmp_path / "ward" / "adapt.json").read_text())["expected"]
    assert expected["after"]["sensitivity"] <= expected["before"]["sensitivity"]
    assert expected["after"]["specificity"] >= expected["before"]["specificity"]
    old, new = Model.load(run), Model.load(tmp_path / "ward")
    assert new.threshold > old.threshold and new.decision.temperature == old.decision.temperature
    assert new.verdict["scores"] == {} and "not measured" in new.verdict["protocol"] and len(new.verdict["curve"]) == 99
    again = [
        "adapt",
        str(tmp_path / "ward"),
        str(films_folder),
        "--out",
        str(tmp_path / "again"),
        "--prevalence",
        "0.05",
    ]
    assert main([*again, "--quiet"]) == 0  # the same prevalence a second time moves nothing
    assert Model.load(tmp_path / "again").threshold == pytest.approx(new.threshold)
    assert main([*words[:-1], "1.5", "--out", str(tmp_path / "no")]) == 2


def test_films_without_labels_that_differ_as_a_set_have_a_red_line(scored, films_folder, tmp_path, capsys):
    """The same films, much lighter: nothing tells whether the model works on them."""
    for film in films_folder.rglob("*.jpeg"):
        with Image.open(film) as picture:
            (tmp_path / "light").mkdir(exist_ok=True)
            picture.convert("L").point(lambda grey: 180 + grey // 4).save(tmp_path / "light" / f"{film.stem}.png")
    for name, films in (("same", films_folder), ("light", tmp_path / "light")):
        out = tmp_path / f"at-{name}"
        assert (
            main(["adapt", str(scored(0.8, 0.95)), str(films), "--out", str(out), "--prevalence", "0.3", "--quiet"])
            == 0
        )
        lines = json.loads((out / "adapt.json").read_text())["red_lines"]
        assert bool(lines) == (name == "light") == ("RED LINE: As a set" in capsys.readouterr().out)
        assert Model.load(out).verdict.get("red_lines", [])[: len(lines)] == lines


def test_a_model_at_chance_moves_no_threshold_without_a_red_line(scored, films_folder, tmp_path, capsys):
    """However quiet it is told to be; what it promises at the new threshold is left out."""
    out, run = tmp_path / "there", scored(0.45, 0.62)
    assert main(["adapt", str(run), str(films_folder), "--out", str(out), "--prevalence", "0.3", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("RED LINE: Not shown to be better than chance on its own test films (AUROC 0.535,")
    assert "keep it then" not in said
    found = json.loads((out / "adapt.json").read_text())
    assert found["expected"] is None and Model.load(out).verdict["red_lines"][0] == found["red_lines"][0]
    again = tmp_path / "again"  # an adapted model has no scores of its own, and keeps the line
    assert main(["adapt", str(out), str(films_folder), "--out", str(again), "--prevalence", "0.4", "--quiet"]) == 0
    assert any("better than chance" in line for line in Model.load(again).verdict["red_lines"])
    assert "better than chance" in capsys.readouterr().out


def test_a_model_worse_than_chance_moves_no_threshold(scored, films_folder, tmp_path, capsys):
    words = ["adapt", str(scored(0.1, 0.3)), str(films_folder), "--out", str(tmp_path / "there")]
    assert main([*words, "--prevalence", "0.3"]) == 2
    said = capsys.readouterr().err
    assert "worse than chance on its own test films" in said and "are the classes swapped?" in said
    assert not (tmp_path / "there").exists()


def two_hills(films: int, moved: float = 0.0) -> Predictions:
    rng, truth = np.random.default_rng(1), np.arange(films) % 3 > 0
    odds = np.where(truth, 3.0, moved - 3.0) + rng.normal(size=films)
    names, chances = np.arange(films).astype(str), np.stack([expit(-odds), expit(odds)], 1)
    decision = Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA")
    return Predictions(list(names), np.repeat("val", films), truth.astype(np.int64), chances, decision, names)


def test_adapt_without_labels_finds_the_valley_between_the_scores(run, films_folder, tmp_path, capsys, monkeypatch):
    old, out = Model.load(run), tmp_path / "valley"
    monkeypatch.setattr(commands_adapt, "own_films", lambda _: two_hills(300))
    monkeypatch.setattr(commands_adapt, "predict_films", lambda *_: (two_hills(600, 1.5), [], []))
    assert main(["adapt", str(run), str(films_folder), "--out", str(out), "--unlabelled", "--quiet"]) == 0
    said, new = capsys.readouterr().out, Model.load(out)
    found = json.loads((out / "adapt.json").read_text())
    assert new.threshold == found["threshold_interval"]["value"] >= old.threshold
    assert new.decision.temperature == old.decision.temperature and "not measured" in new.verdict["protocol"]
    assert found["hills"]["log_odds_moved"]["NORMAL"] == pytest.approx(1.3, abs=0.4)
    assert "Log-odds moved" in said and "Expected accuracy" in said and "none of this can be checked" in said
    assert checkup(out)["state"] == "finished"


def test_adapt_without_labels_says_what_it_lacks(run, films_folder, tmp_path, capsys, monkeypatch):
    words = ["--out", str(tmp_path / "x"), "--unlabelled", "--quiet"]
    assert main(["adapt", str(run / "model.h5"), str(films_folder), *words]) == 2
    assert "is no run folder with predictions.csv" in capsys.readouterr().err
    monkeypatch.setattr(commands_adapt, "own_films", lambda _: two_hills(300))
    assert main(["adapt", str(run), str(films_folder), *words]) == 2
    assert "without labels" in capsys.readouterr().err and not (tmp_path / "x" / "model.h5").exists()


def test_too_few_local_films_are_one_sentence(run, make_films, tmp_path, capsys):
    local = make_films(tmp_path / "few", 4, 12)
    assert main(["adapt", str(run), str(local), "--out", str(tmp_path / "x"), "--quiet"]) == 2
    assert "at least 10 local films of each class, and there are 4 of NORMAL" in capsys.readouterr().err


def test_films_of_too_few_patients_are_refused(run, make_films, tmp_path, capsys):
    local = make_films(tmp_path / "one", 24, 24)
    words = ["adapt", str(run), str(local), "--out", str(tmp_path / "x"), "--patient-regex", "(IM|person)", "--quiet"]
    assert main(words) == 2
    assert "at least 5 patients of each class, and there are 1" in capsys.readouterr().err


def test_nothing_that_holds_scores_or_a_run_is_replaced_without_asking(run, films_folder, tmp_path, capsys):
    before = (run / "metrics.json").read_bytes()
    assert main(["evaluate", str(run), str(films_folder), "--out", str(run), "--quiet", "--force"]) == 2
    assert "a run of its own" in capsys.readouterr().err and (run / "metrics.json").read_bytes() == before
    words = ["evaluate", str(run / "predictions.csv"), "--out", str(tmp_path / "scores"), "--quiet"]
    assert main(words) == 0 and main(words) == 2 and main([*words, "--force"]) == 0
    assert main(["evaluate", str(run / "predictions.csv"), "--threshold", "7"]) == 2
    assert main(["evaluate", str(tmp_path / "nowhere")]) == 2 and not (tmp_path / "nowhere").exists()


def test_ppv_and_npv_at_a_known_prevalence(run, capsys):
    assert main(["evaluate", str(run), "--prevalence", "0.1", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    sensitivity, specificity = (found["test"][name]["value"] for name in ("sensitivity", "specificity"))
    ppv = 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity))
    assert found["at_prevalence"]["ppv"]["value"] == pytest.approx(ppv)
    assert found["at_prevalence"]["npv"]["low"] <= found["at_prevalence"]["npv"]["value"]
    assert main(["evaluate", str(run), "--prevalence", "0.1", "--quiet"]) == 0
    assert "Where 10 % of the films are positive: PPV" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--prevalence", "10"]) == 2
    assert "expected a share between 0 and 1" in capsys.readouterr().err


def test_a_condition_that_holds_is_exit_3_and_a_wrong_one_is_found_before_the_test_part_is_opened(run, capsys):
    opened = json.loads((run / "metrics.json").read_text())["test_openings"]
    assert main(["evaluate", str(run), "--fail-if", "auroc?", "--quiet"]) == 2
    assert json.loads((run / "metrics.json").read_text())["test_openings"] == opened
    capsys.readouterr()
    assert main(["evaluate", str(run), "--fail-if", "auroc<1.1", "--json", "--quiet"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out)["test"]["auroc"]["value"] <= 1 and "auroc<1.1" in shown.err


def test_other_names_of_the_classes_are_told_or_found(run, films_folder, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for name, ours in (("Healthy", "NORMAL"), ("pneumonia", "PNEUMONIA")):
        (other / name).symlink_to(films_folder / ours)
    words = ["evaluate", str(run), str(other), "--out", str(tmp_path / "on"), "--quiet"]
    assert main(words) == 2
    assert "has the class Healthy" in (said := capsys.readouterr().err) and "--classes 'Healthy=NORMAL" in said
    assert main([*words, "--classes", "Healthy=WELL"]) == 2 and "does not name a class" in capsys.readouterr().err
    assert main([*words, "--classes", "Healthy=NORMAL"]) == 0
    same = ["evaluate", str(run), str(films_folder), "--out", str(tmp_path / "same"), "--quiet"]
    assert main(same) == 0
    found = [json.loads((tmp_path / name / "metrics.json").read_text())["test"] for name in ("on", "same")]
    assert found[0]["accuracy"] == found[1]["accuracy"]


def test_films_of_one_class_are_scored_as_far_as_they_can_be(run, films_folder, tmp_path):
    (tmp_path / "well").mkdir()
    (tmp_path / "well" / "NORMAL").symlink_to(films_folder / "NORMAL")
    assert main(["evaluate", str(run), str(tmp_path / "well"), "--out", str(tmp_path / "on"), "--quiet"]) == 0
    found = json.loads((tmp_path / "on" / "metrics.json").read_text())["test"]
    assert found["specificity"]["value"] is not None and found["auroc"]["value"] is None


def test_what_stays_wrong_with_the_probabilities_after_adapting_is_a_red_line(run, make_films, tmp_path, capsys):
    local = make_films(tmp_path / "rare", 90, 12)
    assert main(["adapt", str(run), str(local), "--out", str(tmp_path / "here"), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    intercept = found["after"]["calibration_intercept"]
    off = None not in intercept.values() and (intercept["low"] > 0 or intercept["high"] < 0)
    assert any("calibration intercept" in line for line in found["red_lines"]) is off
    assert found["refer"] is None or 0 <= found["refer"]["share"]["value"] <= 1


@pytest.mark.parametrize("words", [["evaluate"], ["adapt"], ["adapt", "--prevalence", "0.5"]])
def test_too_many_unreadable_films_stop_what_is_said_of_a_site(run, make_films, tmp_path, capsys, words):
    local = make_films(tmp_path / "local", 24, 24)
    for film in sorted((local / "NORMAL").iterdir())[:2]:
        film.write_bytes(b"no picture")
    told = [words[0], str(run), str(local), "--out", str(tmp_path / "out"), *words[1:], "--quiet"]
    assert main(told) == 2
    assert "2 of 48 films can't be read, more than --max-bad 0.01 allows" in capsys.readouterr().err
    assert main([*told, "--max-bad", "7"]) == 2 and "a share between" in capsys.readouterr().err
    assert main([*told, "--max-bad", "0.1"]) == 0
    assert len((tmp_path / "out" / "quarantine.csv").read_text().splitlines()) == 3


def test_a_rule_of_two_classes_is_refused_before_three_are_trained(tmp_path, make_film, capsys):
    for k, name in enumerate(("A", "B", "C")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "set" / name / f"{i}.jpeg").write_bytes(make_film(100 * k + i, k == 2))
    words = ["train", str(tmp_path / "set"), "--out", str(tmp_path / "run"), *SETTINGS, "--threshold", "youden"]
    assert main(words) == 2 and "is for two classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_that_lost_its_predictions_is_mended_by_resuming(films_folder, tmp_path):
    words = ["train", str(films_folder), "--out", str(tmp_path / "run"), *SETTINGS, "--quiet"]
    assert main(words) == 0
    before = (tmp_path / "run" / "predictions.csv").read_bytes()
    (tmp_path / "run" / "predictions.csv").unlink()
    assert main([*words, "--resume"]) == 0
    assert (tmp_path / "run" / "predictions.csv").read_bytes() == before


def test_a_run_with_the_other_class_positive_is_compared_as_it_decides(films_folder, run, tmp_path, capsys):
    other = tmp_path / "other"
    words = ["train", str(films_folder), "--out", str(other), *SETTINGS, "--positive", "NORMAL", "--threshold", "0.2"]
    assert main([*words, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["compare", str(run), str(other), "--json", "--quiet"]) == 0
    found = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    for name, folder in (("run", run), ("other", other)):
        own = json.loads((folder / "metrics.json").read_text())["test"]
        assert found[name]["scores"]["accuracy"]["value"] == own["accuracy"]["value"]
    assert found["other"]["decided_by"] == "the threshold 0.200 of NORMAL"
    assert main(["evaluate", str(other), str(films_folder), "--out", str(tmp_path / "on"), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "on" / "predictions.csv"), "--json", "--quiet"]) == 0
    again, own = json.loads(capsys.readouterr().out)["test"], json.loads((tmp_path / "on" / "metrics.json").read_text())
    assert again["accuracy"] == own["test"]["accuracy"] and again["sensitivity"] == own["test"]["sensitivity"]


def test_an_adapted_model_remembers_what_it_has_seen(run, make_films, films_folder, tmp_path, capsys):
    local = make_films(tmp_path / "local", 26, 26)
    for number, words in enumerate(([], ["--prevalence", "0.4"])):
        out = tmp_path / f"here{number}"
        assert main(["adapt", str(run), str(local), "--out", str(out), *words, "--quiet"]) == 0
        capsys.readouterr()
        for data, all_seen in ((films_folder, False), (local, not words)):
            told = ["evaluate", str(out), str(data), "--out", str(tmp_path / "on"), "--force", "--json", "--quiet"]
            assert main(told) == 0
            shared = json.loads(capsys.readouterr().out)["shared"]
            assert shared["films"] > 0 and shared["red_lines"] and (shared["films"] == 52 or not all_seen)


def test_a_promise_is_stored_in_the_model_and_too_few_films_are_said(run, make_films, tmp_path, capsys):
    local, out = make_films(tmp_path / "local", 24, 24), tmp_path / "here"
    words = ["adapt", str(run), str(local), "--out", str(out), "--guarantee", "sensitivity=0.9", "--quiet"]
    assert main(words) == 2
    assert "12 patients count here, at least 29 are needed" in capsys.readouterr().err
    assert main([*words, "--force", "--out", str(tmp_path / "forced")]) == 0
    model, found = Model.load(tmp_path / "forced"), json.loads((tmp_path / "forced" / "adapt.json").read_text())
    (promise,) = model.decision.promises
    assert promise.name == "sensitivity" and promise.cut is None and model.decision.refer.low == 0
    assert found["promises"][0]["fewest"] == 29 and found["to"]["promises"] == [promise.as_dict()]
    assert 0 <= found["refer"]["share"]["low"] <= found["refer"]["share"]["high"] <= 1
    assert main(["adapt", str(run), "--out", str(tmp_path / "x")]) == 2
    assert "name the films of the new site" in capsys.readouterr().err
