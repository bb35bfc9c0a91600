from __future__ import annotations

import json

import numpy as np

from plainfilm.cli import main
from plainfilm.commands.plan import plan


def predictions(path, n=200):
    rng = np.random.default_rng(0)
    lines = ["path,label,p_A,p_B,patient"]
    for i in range(n):
        ill = i % 4 == 0
        p = 1 / (1 + np.exp(-rng.normal(2 if ill else -2, 1.5)))
        lines.append(f"f{i}.png,{'B' if ill else 'A'},{1 - p:.6f},{p:.6f},p{i // 2}")
    path.write_text("\n".join(lines))
    return path


def test_a_plan_by_expectation_alone(capsys):
    assert main(["plan", "--prevalence", "0.3", "--difference", "0.03", "--drop", "0.05", "--threshold", "0.2"]) == 0
    shown = capsys.readouterr().out
    assert "Riley" in shown and "A difference of 0.03" in shown and "A fall of 0.05" in shown and "net benefit" in shown


def test_a_pilot_s_films_set_what_is_not_given(tmp_path, capsys):
    file = predictions(tmp_path / "theirs.csv")
    assert main(["plan", "--pilot", str(file), "--auroc", "0.9", "--out", str(tmp_path / "plan"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["assumed"]["prevalence"] == 0.25 and found["assumed"]["films_per_patient"] == 2
    assert found["assumed"]["auroc"] == 0.9
    assert json.loads((tmp_path / "plan" / "plan.json").read_text())["precision"] == found["precision"]
    assert (tmp_path / "plan" / "plan.png").exists() and (tmp_path / "plan" / "plan.svg").exists()
    assert main(["plan", "--out", str(tmp_path / "plan")]) == 2
    assert main(["plan", "--out", str(tmp_path / "plan"), "--force"]) == 0


def test_from_python_and_what_is_wrong(capsys):
    assert plan(prevalence=0.2)["precision"]["auroc"]["films"] > 50
    assert main(["plan", "--prevalence", "2"]) == 2
    assert "prevalence=2 is outside" in capsys.readouterr().err


def test_one_film_is_one_film_and_what_was_written_is_named(tmp_path, capsys):
    assert main(["plan", "--prevalence", "0.3", "--auroc", "0.9", "--out", str(tmp_path / "plan")]) == 0
    said = capsys.readouterr().out
    assert "; 1 film per patient" in said and f"Written: {tmp_path / 'plan' / 'plan.json'}" in said
    assert main(["plan", "--films-per-patient", "2.5"]) == 0
    said = capsys.readouterr().out
    assert "; 2.5 films per patient" in said and "Written" not in said
