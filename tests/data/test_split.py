from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from plainfilm.data.films import Film, Films, Table
from plainfilm.data.split import GROUPED_SHARES, crossing, folds, split
from plainfilm.errors import InputError


def table(normal=100, sick=300, films_a_patient=3, part=""):
    rows = [("A", i) for i in range(normal)] + [("B", i) for i in range(sick)]
    films = [
        Film(
            f"{label}/{i:04d}",
            label,
            lambda path, first: b"",
            f"{label}{i // films_a_patient}",
            part,
            sha256=f"{label}{i}",
        )
        for label, i in rows
    ]
    return Films(Table(films).by_path(), "set")


def counts(films):
    return Counter((f.part, f.label) for f in films)


def test_paper_is_75_to_25_by_class_and_stamped():
    films = split(table(), "paper", 0)
    assert counts(films) == {("train", "A"): 75, ("val", "A"): 25, ("train", "B"): 225, ("val", "B"): 75}
    assert films.protocol == "validation scores; split by film, patients shared"
    assert crossing(films)["patients"] > 50


def test_grouped_keeps_patients_and_duplicates_together_near_the_shares():
    films = table()
    rows = list(films)
    twin = {rows[0].path: "same", rows[200].path: "same", rows[399].path: "same"}  # exact duplicates of three patients
    films = films.with_films([replace(f, sha256=twin.get(f.path, f.sha256)) for f in rows])
    films = split(films, "grouped", 0)
    assert crossing(films) == {"patients": 0, "contents": 0}
    assert films.protocol == "patients separate"
    for label, total in (("A", 100), ("B", 300)):
        for part, share in (("train", 0.65), ("val", 0.1), ("test", 0.25)):
            assert abs(counts(films)[part, label] - share * total) <= 6


@pytest.mark.parametrize(
    ("known", "stamp"),
    [
        (0, "patients unknown; split by film"),
        (200, "patients separate where known (50% of films)"),
        (390, "patients separate"),
    ],
)
def test_a_split_by_patient_is_called_so_only_where_patients_are_known(known, stamp):
    films = table()
    films = films.with_films([replace(f, patient=f.patient if i < known else "") for i, f in enumerate(films)])
    assert split(films, "grouped", 0).protocol == stamp
    assert folds(films, 2)[0].protocol == f"2-fold, {stamp}"
    assert split(films, "paper", 0).protocol == "validation scores; split by film, patients shared"


def test_class_weights_know_nothing_of_the_test_part():
    films = split(table(), "grouped", 0)
    train = Counter(film.label for film in films if film.part == "train")
    assert films.weighed == train and sum(train.values()) < 300
    assert split(table(), "paper", 0).weighed == {"A": 100, "B": 300}  # as the paper counts


def test_official_uses_the_folders_and_cuts_validation_out_of_train_by_patient():
    train, val, test = table(part="train"), table(10, 10, part="val"), table(20, 40, part="test")
    rows = [*train, *(replace(f, path="v" + f.path) for f in val), *(replace(f, path="t" + f.path) for f in test)]
    rows = [replace(f, patient=f"{f.part}{f.patient}", sha256=f.part + f.sha256) for f in rows]
    films = split(train.with_films(rows), "official", 0)
    assert counts(films)["test", "A"] == 20 and counts(films)["test", "B"] == 40
    assert not any(f.path.startswith("v") for f in films)
    assert 36 <= sum(n for (part, _), n in counts(films).items() if part == "val") <= 46
    assert crossing(films)["patients"] == 0
    with pytest.raises(InputError, match="no train and test folders"):
        split(table(), "official", 0)


@pytest.mark.parametrize("how", ["paper", "grouped"])
def test_depends_on_the_seed_and_not_on_the_listing(how):
    films = table()
    shuffled = films.with_films(reversed([*films]))
    first, again, other = split(films, how, 1), split(shuffled, how, 1), split(films, how, 2)
    assert [(f.path, f.part) for f in first] == [(f.path, f.part) for f in again]
    assert [f.part for f in first] != [f.part for f in other]


@pytest.mark.parametrize(
    ("films", "how"), [(table(1, 30), "paper"), (table(2, 30, 2), "grouped"), (table(3, 3, 3), "grouped")]
)
def test_too_few_films_or_patients(films, how):
    with pytest.raises(InputError, match="too few films or patients to split"):
        split(films, how, 0)


def test_one_patient_of_nearly_all_films_is_named():
    films = table(10, 10)
    same = films.with_films(replace(film, patient="ANONYMOUS") for film in films)
    with pytest.raises(InputError, match="Patient 'ANONYMOUS' has 20 of the 20 films"):
        split(same, "grouped", 0)


def test_an_unknown_split():
    with pytest.raises(InputError, match="Did you mean 'grouped'"):
        split(table(), "group", 0)


def test_folds_test_every_film_once_and_keep_patients_together():
    films = table(60, 120)
    parted = folds(films, 4, "grouped", 1)
    tested = Counter(f.path for fold in parted for f in fold if f.part == "test")
    assert set(tested.values()) == {1} and len(tested) == 180
    for fold in parted:
        assert [f.path for f in fold] == [f.path for f in films]  # stored pixels are found by position
        assert crossing(fold) == {"patients": 0, "contents": 0}
        assert 40 <= fold.where("test").size <= 50 and 10 <= fold.where("val").size <= 18
        assert fold.protocol == "4-fold, patients separate"
    assert parted == folds(films, 4, "grouped", 1) != folds(films, 4, "grouped", 2)


def test_folds_by_film_are_the_control_and_keep_the_patients_names():
    fold = folds(table(), 5, "paper", 0)[0]
    assert fold.protocol == "5-fold, split by film, patients shared"
    assert crossing(fold)["patients"] > 20 and all(f.patient for f in fold)


@pytest.mark.parametrize(("how", "count", "words"), [("official", 5, "not official"), ("grouped", 1, "at least 2")])
def test_folds_refuses_what_it_cannot_do(how, count, words):
    with pytest.raises(InputError, match=words):
        folds(table(), count, how)


# -- films with findings ----------------------------------------------------------------------------------------------


def of_findings(rows, patients=None, names=("A", "B", "C")):
    """Films of a (N, F) table of cells."""
    films = (
        Film(f"f{k:05d}", "", None, patients[k] if patients is not None else "", sha256=f"s{k}", findings=cells)
        for k, cells in enumerate(dict(zip(names, row, strict=True)) for row in rows.tolist())
    )
    return Films(Table(films), "films")


def test_rare_findings_are_shared_out_alike_and_unknown_ones_count_for_nothing():
    rng = np.random.default_rng(0)
    shares = (0.02, 0.2, 0.5)
    cells = (rng.random((1500, 3)) < shares).astype(np.int8)
    cells[rng.random(cells.shape) < 0.4] = -2
    patients = [f"p{k // 3}" for k in range(1500)]
    done = split(of_findings(cells, patients), "grouped", seed=1)
    assert not any(crossing(done).values())
    for part, share in GROUPED_SHARES.items():
        truth = done.truth[done.where(part)]
        assert len(truth) == pytest.approx(1500 * share, abs=12)
        for value in (0, 1):
            for k in range(3):
                whole = (done.truth[:, k] == value).sum()
                assert (truth[:, k] == value).sum() == pytest.approx(whole * share, abs=max(3, 0.03 * whole))


def test_folds_of_findings_test_every_film_once_with_its_share_of_each_finding():
    rng = np.random.default_rng(1)
    cells = (rng.random((400, 3)) < (0.03, 0.3, 0.6)).astype(np.int8)
    found = folds(of_findings(cells), 4, "grouped", seed=3)
    tested = [set(fold.films.paths[i] for i in fold.where("test")) for fold in found]
    assert sum(map(len, tested)) == 400 and len(set().union(*tested)) == 400
    rare = [int(fold.truth[fold.where("test"), 0].sum()) for fold in found]
    assert max(rare) - min(rare) <= 1 and sum(rare) == cells[:, 0].sum()
    by_film = split(of_findings(cells), "paper")
    assert len(by_film.where("val")) == pytest.approx(100, abs=2)
    assert by_film.truth[by_film.where("val")].mean(0) == pytest.approx(cells.mean(0), abs=0.015)


def test_a_finding_that_no_film_teaches_is_named_before_anything_is_trained():
    cells = np.zeros((40, 2), np.int8)
    cells[:20, 0] = 1
    cells[:, 1] = -2
    cells[0, 1], cells[1, 1] = 1, 0
    patients = [f"p{k // 2}" for k in range(40)]
    with pytest.raises(InputError, match=r"is (positive|negative) for B; give --findings A, or add films"):
        for seed in range(8):
            folds(of_findings(cells, patients, ("A", "B")), 2, "grouped", seed)


def test_the_split_of_findings_depends_on_the_seed_and_not_on_the_listing():
    cells = (np.random.default_rng(2).random((120, 3)) < 0.3).astype(np.int8)
    films = of_findings(cells)
    turned = films.with_films(list(films)[::-1])
    assert [f.part for f in split(films, seed=4)] == [f.part for f in split(turned, seed=4)]
    assert [f.part for f in split(films, seed=4)] != [f.part for f in split(films, seed=5)]
