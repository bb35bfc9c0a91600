"""Columns that give the class away, alone and in pairs; identifiers and other findings are not tested."""

from __future__ import annotations

import numpy as np

from plainfilm.audit.columns import columns, red_lines
from plainfilm.data.films import Film, Films, Table


def no_bytes(path: str, first: int = 0) -> bytes:
    return b""


def films(count: int, **cells: list[str]) -> Films:
    rows = (
        Film(f"{k:04d}", "sick" if k % 2 else "well", no_bytes, columns={name: c[k] for name, c in cells.items()})
        for k in range(count)
    )
    return Films(Table(rows), "set")


def examined(of: Films) -> dict:
    truth = np.array([film.label == "sick" for film in of])
    return columns(of, truth, np.arange(len(of)), np.random.default_rng(0))


def test_a_site_that_tells_the_class_is_a_red_line_and_chance_is_none():
    rng = np.random.default_rng(1)
    site = [("Lyon" if (k % 2) != (rng.random() < 0.1) else "Oslo") for k in range(300)]
    age = [str(rng.integers(1, 90)) for _ in range(300)]
    found = examined(films(300, site=site, age=age, accession=[f"A{k}" for k in range(300)]))
    assert next(row["name"] for row in found["rows"] if row["red"]) == "site"
    assert found["left_out"] == ["accession"]
    (line,) = red_lines(found, "sick")
    assert line.startswith("The column site alone predicts sick: AUC 0.8") and "--folds site" in line
    table = next(t for t in found["tables"] if t["column"] == "site")
    assert sum(sum(counts.values()) for counts in table["values"].values()) == 300
    assert not next(row for row in found["rows"] if row["name"] == "age")["red"]


def test_a_pair_may_tell_what_neither_column_does():
    rng = np.random.default_rng(2)
    site = [str(rng.choice(["Lyon", "Oslo"])) for _ in range(400)]
    view = [("PA" if (site[k] == "Lyon") == bool(k % 2) else "AP") for k in range(400)]
    found = examined(films(400, site=site, view=view))
    strongest = found["rows"][0]
    assert strongest["name"] in ("site with view", "view with site") and strongest["auc"]["value"] > 0.95
    assert len(red_lines(found, "sick")) == 1


def test_numbers_tell_by_their_middle_too_and_missing_cells_count():
    age = [str(50 + k % 7) if k % 2 else str(20 + 70 * (k % 4 == 0) + k % 7) for k in range(200)]
    sex = ["" if k % 2 else "FM"[k % 4 // 2] for k in range(200)]
    found = examined(films(200, age=age, sex=sex))
    assert all(row["auc"]["value"] > 0.95 for row in found["rows"][:2])
