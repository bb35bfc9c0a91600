"""Groups of films, and how they are dealt: whole, evenly, and by their contents alone."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.data.films import Film, Table
from plainfilm.data.groups import dealt, groups, joined, stratified_folds


def table(*films: tuple[str, str, str]) -> Table:
    """Films of (path, patient, content)."""
    return Table(Film(path, "A", lambda *_: b"", patient, sha256=content) for path, patient, content in films)


def test_films_of_one_patient_and_copies_are_joined_through_each_other():
    films = table(("a", "p", "1"), ("b", "", "2"), ("c", "q", "1"), ("d", "q", "3"), ("e", "", "4"), ("f", "", "2"))
    found = groups(films).tolist()
    assert found[0] == found[2] == found[3] and found[1] == found[5] and len(set(found)) == 3


def test_groups_are_numbered_by_content_whatever_the_films_are_called():
    one = groups(table(("a", "", "3"), ("b", "", "1"), ("c", "", "2")))
    other = groups(table(("x", "", "1"), ("y", "", "2"), ("z", "", "3")))
    assert one.tolist() == [2, 0, 1] and other.tolist() == [0, 1, 2]


def test_pairs_join_in_chains():
    assert joined(5, np.array([[0, 3], [3, 4]]), np.empty((0, 2), np.int64)).tolist() == [0, 1, 2, 0, 0]


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, 400), rng.integers(0, 120, 400)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_dealt_whole_and_labels_evenly(seed):
    labels, whose = drawn(seed)
    parts = dealt(labels, whose, [0.6, 0.3, 0.1], np.random.default_rng(seed))
    assert all(len(set(parts[whose == group])) == 1 for group in np.unique(whose))
    for label in range(3):
        assert np.bincount(parts[labels == label]) / (labels == label).sum() == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    again = dealt(labels, whose, [0.6, 0.3, 0.1], np.random.default_rng(seed))
    assert (parts == again).all()


def test_every_film_is_held_out_by_one_fold_and_groups_stay_whole():
    labels, whose = drawn(9)
    folds = stratified_folds(labels, whose, 4, seed=1)
    assert set(folds) == set(range(4))
    assert all(len(set(folds[whose == group])) == 1 for group in np.unique(whose))
    assert np.bincount(folds).min() > 90
