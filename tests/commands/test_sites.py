"""Leave one site out: a model that tells the sites' marks scores on random folds alone, which is said first."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.commands.train import train_sites
from plainfilm.data.films import Film, Films, Table
from plainfilm.data.sources import load
from plainfilm.data.split import leave_out
from plainfilm.errors import InputError
from plainfilm.runs.sites import SCORES, gap
from plainfilm.storage.files import read_json, write_json

QUICK = {"model": "vgg", "epochs": 4, "batch": 16, "size": 32, "channels": 1, "learning_rate": 0.02, "positive": "sick"}


def write_sites(folder: Path, films: int) -> Path:
    """Write films whose class is told by a mark that each of two sites puts elsewhere: nothing of it is a disease."""
    rng = np.random.default_rng(0)
    rows = ["path,label,patient,site"]
    folder.mkdir(parents=True)
    for k in range(films):
        site, sick = ("Lyon", "Oslo")[k % 2], k % 4 < 2
        picture = rng.normal(100, 20, (40, 40))
        top, left = (0, 0 if sick else 28) if site == "Lyon" else (28, 28 if sick else 0)
        picture[top : top + 12, left : left + 12] += 110
        buffer = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
        (folder / f"{k:03d}.png").write_bytes(buffer.getvalue())
        rows.append(f"{k:03d}.png,{'sick' if sick else 'well'},p{k // 8}-{site},{site}")
    (folder / "films.csv").write_text("\n".join(rows))
    return folder / "films.csv"


@pytest.mark.slow
def test_a_planted_shortcut_holds_on_random_folds_and_falls_on_a_site_left_out(tmp_path):
    data = write_sites(tmp_path / "data", 240)
    found = train_sites(str(data), tmp_path / "out", QUICK, "site")
    left = found["left_out"]
    assert left["promised"]["value"] >= 0.95
    assert [row["site"] for row in left["rows"]] == ["Lyon", "Oslo"]
    assert all(row["auroc"]["value"] <= 0.6 for row in left["rows"])
    assert left["red"] and left["gap"]["low"] > 0.2
    page = (tmp_path / "out" / "report.html").read_text()
    first = re.search(r"<li>(.*?)</li>", page, re.S)
    assert first and "Red line:</strong> AUROC on a site that the model has not seen" in first[1]
    assert read_json(tmp_path / "out" / "folds.json")["left_out"]["random"] == "random"
    assert read_json(tmp_path / "out" / "fold-0" / "config.json")["protocol"].startswith("site Lyon left out")
    again = train_sites(str(data), tmp_path / "out", QUICK, "site", resume=True)
    assert again["left_out"] == left


def run_folder(folder: Path, auroc: tuple[float, float, float]) -> None:
    scores = {name: dict(zip(("value", "low", "high"), auroc, strict=True)) for name in SCORES}
    folder.mkdir(parents=True)
    write_json(folder / "metrics.json", {"protocol": "", "test": scores})
    write_json(folder / "config.json", {"films": {"test": 60}})


@pytest.mark.parametrize("promised, red", [((0.97, 0.94, 0.99), True), ((0.62, 0.52, 0.72), False)])
def test_the_gap_between_random_folds_and_sites_left_out(tmp_path, promised, red):
    for k, auroc in enumerate([(0.5, 0.4, 0.6), (0.6, 0.5, 0.7)]):
        run_folder(tmp_path / f"fold-{k}", auroc)
        run_folder(tmp_path / "random" / f"fold-{k}", promised)
    write_json(tmp_path / "random" / "folds.json", {"runs": ["fold-0", "fold-1"]})
    left_out = {"column": "site", "sites": ["Lyon", "Oslo"], "random": "random"}
    found = gap(tmp_path, ["fold-0", "fold-1"], left_out)
    assert found["mean"]["value"] == pytest.approx(0.55)
    assert found["mean"]["high"] == pytest.approx(0.55 + (0.01 + 0.01) ** 0.5 / 2)
    assert found["gap"]["value"] == pytest.approx(promised[0] - 0.55)
    assert found["red"] == red and "(Lyon 0.50, Oslo 0.60)" in found["sentence"]
    assert ("not shown to flatter" in found["sentence"]) != red


def no_bytes(path: str, first: int = 0) -> bytes:
    return b""


def table(*rows: tuple[str, str, str, str]) -> Films:
    return Films(
        Table(
            Film(f"{k:03d}", label, no_bytes, patient, sha256=sha or f"s{k}", columns={"site": site})
            for k, (label, patient, site, sha) in enumerate(rows)
        ),
        "set",
    )


def many(site: str, films: int = 40) -> list[tuple[str, str, str, str]]:
    return [("sick" if k % 2 else "well", f"{site}{k // 2}", site, "") for k in range(films)]


def test_nothing_of_the_site_left_out_is_trained_on():
    rows = [*many("A"), *many("B"), *many("C")]
    rows += [("sick", "A0", "B", ""), ("well", "B9", "C", "same"), ("well", "A7", "A", "same"), ("sick", "x", "", "")]
    films = table(*rows)
    for left in leave_out(films, "SITE"):
        test = left.films.where("test")
        rest = left.films.where("train", "val")
        assert {left.films[int(i)].columns["site"] for i in test} == {left.site}
        assert left.site not in {left.films[int(i)].columns["site"] for i in rest}
        patients = [{left.films[int(i)].patient for i in places} for places in (test, rest)]
        contents = [{left.films[int(i)].sha256 for i in places} for places in (test, rest)]
        assert not patients[0] & patients[1] and not contents[0] & contents[1]
        assert "" not in {film.columns["site"] for film in left.films}
        assert [films[int(i)].path for i in left.places] == [film.path for film in left.films]
        assert left.films.where("val").size >= 4


def test_a_small_site_is_trained_on_and_never_tested():
    films = table(*many("A"), *many("B"), *many("tiny", 4))
    assert [left.site for left in leave_out(films, "site")] == ["A", "B"]
    with pytest.raises(InputError, match="1 of its 2 values have 5 films per class or more"):
        leave_out(table(*many("A"), *many("tiny", 4)), "site")
    with pytest.raises(InputError, match="no column 'scanner'; there are site"):
        leave_out(films, "scanner")


def test_folds_by_a_column_of_the_table_from_the_command_line(tmp_path, capsys):
    from plainfilm.cli import main

    data = write_sites(tmp_path / "data", 80)
    out = ["--out", str(tmp_path / "out"), "--epochs", "1", "--size", "32"]
    assert main(["train", str(data), "--folds", "scanner", *out]) == 2
    assert "no column 'scanner'" in capsys.readouterr().err
    assert main(["train", str(data), "--folds", "site", "--split", "paper", *out]) == 2
    assert "keeps patients together" in capsys.readouterr().err


def test_sites_are_drawn_alike(tmp_path):
    import torch

    from plainfilm.image.store import Rows
    from plainfilm.training.feed import Material

    groups = np.array([0] * 90 + [1] * 10)
    rows = Rows(np.zeros((100, 2, 2), np.uint8), np.arange(100), {})
    every = np.arange(100)
    material = Material(rows, every % 2, every, every[:2], np.ones(2, np.float32), (), groups)
    order = material.order(torch.Generator().manual_seed(0))
    assert len(order) == 100 and np.bincount(groups[order]).tolist() == [50, 50]
    assert all(np.bincount(groups[order[k : k + 10]]).tolist() == [5, 5] for k in range(0, 100, 10))
    assert len(set(order[groups[order] == 0].tolist())) == 50  # of the large site no film comes twice
    other = material.order(torch.Generator().manual_seed(1))
    assert other.tolist() != order.tolist()
    assert load(write_sites(tmp_path / "data", 8)).coded("site").tolist() == [0, 1] * 4


def test_sites_and_classes_are_drawn_alike_and_class_weights_follow(tmp_path):
    from dataclasses import replace

    import torch

    from plainfilm.config import TrainConfig
    from plainfilm.training.fitting import material_of, start_network
    from plainfilm.training.preparation import prepare

    rows = [*[("sick", "A")] * 30, *[("well", "A")] * 6, *[("sick", "B")] * 6, *[("well", "B")] * 18]
    films = load(write_sites(tmp_path / "data", 60))
    made = zip(films, rows, strict=True)
    films = films.with_films(
        replace(film, label=label, patient=f"p{k}", columns={"site": site})
        for k, (film, (label, site)) in enumerate(made)
    )
    drawn = {}
    for setting in ("", "site", "site,class"):
        prepared = prepare(films, [TrainConfig(size=16, sample_by=setting)], "set")[0]
        train, weights = prepared.films.where("train"), prepared.class_weights
        network, _ = start_network(prepared)
        material = material_of(prepared, network, weights)[0]
        orders = [material.order(torch.Generator().manual_seed(seed)) for seed in range(20)]
        counts = np.bincount(prepared.films.labels[np.concatenate(orders)]) / 20
        expected = list(prepared.drawn.values())
        assert np.allclose(counts, expected, atol=1) and sum(expected) == pytest.approx(len(train), abs=1e-3)
        drawn[setting] = weights, prepared.drawn
        codes = 2 * prepared.films.coded("site") + prepared.films.labels
        if setting == "site,class":
            shares = np.bincount(codes[orders[0][:24]], minlength=4)
            assert shares.tolist() == [6, 6, 6, 6] and weights == {"sick": 1, "well": 1}
    assert drawn[""][0]["well"] > 1 and drawn["site"][0]["well"] == pytest.approx(
        max(drawn["site"][1].values()) / drawn["site"][1]["well"], abs=1e-3
    )
    with pytest.raises(InputError, match="no column 'scanner'"):
        films.drawn_alike("scanner,class")
