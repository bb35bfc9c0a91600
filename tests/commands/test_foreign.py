"""Predictions of other programs through every command that scores: columns recognised or named, remarks said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plainfilm.cli import main


def write(path, *, films=400, apart=2.2, seed=0, labels=True, header="patientid,imgid,target,pred,site", kind=1.0):
    """Write what a torchxrayvision user has: two films per patient, scores that are no risks."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.random(films // 2) < 0.3, 2)
    odds = (2 * apart * (truth - 0.5) + rng.normal(0, 1.3, films) + 1.0) / 2.5
    score = kind / (1 + np.exp(-odds))
    rows = [
        f"{100_000 * seed + i // 2},img{i}.png,{f'{float(truth[i])},' if labels else ''}{score[i]:.6f},{'AB'[i % 2]}"
        for i in range(films)
    ]
    header = header if labels else header.replace("target,", "")
    path.write_text("\n".join([header, *rows]) + "\n")
    return truth, score


def out(capsys):
    return json.loads(capsys.readouterr().out)


def test_evaluate_recognises_the_columns_and_says_what_it_took_them_for(tmp_path, capsys):
    from sklearn.metrics import roc_auc_score

    truth, score = write(tmp_path / "xrv.csv")
    assert main(["evaluate", str(tmp_path / "xrv.csv"), "--by", "site", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "pred is taken for the score of 1" in said.err
    assert found["test"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, score), abs=1e-6)
    assert found["read"]["columns"] == {"label": "target", "score": "pred", "path": "imgid", "patient": "patientid"}
    assert {row["group"] for row in found["by"]["rows"]} == {"A", "B"} and found["read"]["scores"] == "probability"


def test_columns_and_kinds_of_scores_can_be_named(tmp_path, capsys):
    write(tmp_path / "a.csv", header="who,film,sick,x,site", kind=10)
    words = ["evaluate", str(tmp_path / "a.csv"), "--json"]
    assert main(words) == 2 and "--columns label=NAME" in capsys.readouterr().err
    words += ["--columns", "label=sick,score=x,patient=who,path=film"]
    assert main([*words, "--quiet"]) == 0 and out(capsys)["read"]["scores"] == "rank"
    assert main([*words, "--scores", "percent", "--quiet"]) == 0
    assert out(capsys)["test"]["sensitivity"]["value"] == 0  # ten per cent at most
    assert main([*words, "--scores", "odds"]) == 2 and "choose from probability" in capsys.readouterr().err
    assert main([*words[:3], "--columns", "label"]) == 2 and "ROLE=COLUMN" in capsys.readouterr().err


def test_compare_and_plan_take_them_too(tmp_path, capsys):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", apart=1.0)
    assert main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--json", "--quiet"]) == 0
    pair = out(capsys)["pairs"][0]
    assert pair["auroc"]["difference"]["value"] > 0 and pair["auroc"]["p_holm"] < 0.05
    assert main(["plan", "--pilot", str(tmp_path / "a.csv"), "--json", "--quiet"]) == 0
    assert out(capsys)["assumed"]["films_per_patient"] == 2


def test_their_names_of_classes_are_mapped_onto_ours(tmp_path, capsys):
    """A model of three classes against one of two: bacteria and viruses are both pneumonia."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(rng.integers(0, 3, 150), 2)
    shares = rng.dirichlet([1, 1, 1], 300) * 0.6 + 0.4 * np.eye(3)[kinds]
    names = np.array(["NORMAL", "bacteria", "virus"])
    rows = [[f"{i}.png", names[k], *map(str, p)] for i, (k, p) in enumerate(zip(kinds, shares, strict=True))]
    header = "path,label,p_NORMAL,p_bacteria,p_virus"
    (tmp_path / "three.csv").write_text("\n".join([header, *map(",".join, rows)]))
    sick = shares[:, 1] + shares[:, 2]
    pairs = [
        f"{i}.png,{('healthy', 'ill')[int(k > 0)]},{1 - p},{p}"
        for i, (k, p) in enumerate(zip(kinds, sick, strict=True))
    ]
    (tmp_path / "two.csv").write_text("\n".join(["path,label,p_healthy,p_ill", *pairs]))
    words = ["compare", str(tmp_path / "three.csv"), str(tmp_path / "two.csv"), "--json", "--quiet"]
    assert main(words) == 2 and "their classes differ" in capsys.readouterr().err
    mapped = "bacteria=PNEUMONIA,virus=PNEUMONIA,ill=PNEUMONIA,healthy=NORMAL"
    assert main([*words, "--classes", mapped, "--positive", "PNEUMONIA"]) == 0
    found = out(capsys)
    assert found["positive"] == "PNEUMONIA" and found["pairs"][0]["auroc"]["difference"]["value"] == pytest.approx(0)
    alone = ["evaluate", str(tmp_path / "three.csv"), "--json", "--quiet"]
    assert main([*alone, "--classes", "bacteria=PNEUMONIA,virus=PNEUMONIA", "--fail-if", "auroc<0.6"]) == 0
    assert out(capsys)["test"]["auroc"] == pytest.approx(found["models"][0]["scores"]["auroc"])
    assert main([*words, "--classes", "viruses=PNEUMONIA"]) == 2
    assert "'viruses' is no class of" in capsys.readouterr().err
    assert main([*words, "--classes", "NORMAL=x,bacteria=x,virus=x"]) == 2
    assert "two must be left" in capsys.readouterr().err
