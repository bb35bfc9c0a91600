"""C by sources left out in turn: the value that holds elsewhere, where random folds choose the one of the shortcut."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.data.films import Film, Films, Table
from plainfilm.data.split import sources
from plainfilm.errors import InputError
from plainfilm.evaluation.areas import area
from plainfilm.image.store import Rows
from plainfilm.models.linear import fit_logistic

VALUES = (1e-4, 1e-2, 1.0, 1e2)
SITES = ("Lyon", "Oslo", "Riga")
HERE, NEW = 300, 200  # films of the three sites, and of a fourth


def films_of_sites(seed: int = 0):
    """Return features (N, 12), labels and sites: ten strong, noisy features of the disease, and a weak one without
    noise for a mark. It tells the class at each site, the other way round at the third and at the new one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(HERE + NEW) // 3 % 2
    site = np.arange(HERE) % 3
    x = rng.normal(0, 4, (HERE + NEW, 12))
    x[:, :10] += labels[:, None] * 2.5
    x[:, 10:] = 0
    mark = 2 * labels - 1
    mark[HERE:] *= -1
    mark[:HERE][site == 2] *= -1
    x[:, 10] = 0.15 * mark + rng.normal(0, 0.02, len(x))
    x[:HERE, 11] = 0.15 * mark[:HERE] * (site == 2)  # by which the fit knows the third site's
    return Rows(x.astype(np.float32), np.arange(len(x)), {}), labels, site


def table(labels, sites, patient=lambda k: f"p{k}", sha=lambda k: f"s{k}") -> Films:
    rows = zip(labels, sites, strict=True)
    return Films(
        Table(
            Film(f"{k:03d}", ("well", "sick")[y], lambda *_: b"", patient(k), sha256=sha(k), columns={"site": s})
            for k, (y, s) in enumerate(rows)
        ),
        "set",
    )


@pytest.mark.parametrize("seed", range(3))
def test_sources_left_out_choose_the_c_that_holds_elsewhere_and_random_folds_the_shortcuts(seed):
    features, labels, site = films_of_sites(seed)
    here = np.arange(HERE)
    left = sources(table(labels[:HERE], [SITES[k] for k in site]), "site")
    given = (features, here, labels[:HERE], here, VALUES, 3, 0)
    fits = {"folds": fit_logistic(*given), "sources": fit_logistic(*given, sources=left)}
    there = {
        name: area(labels[HERE:] == 1, features.data[HERE:] @ np.diff(fit.weight, axis=0)[0]).value
        for name, fit in fits.items()
    }
    assert fits["folds"].regularisation == 100 and fits["sources"].regularisation < 1
    assert there["folds"] < 0.1 and there["sources"] > 0.8
    assert (fits["folds"].score, fits["sources"].score) == ("accuracy", "AUROC")
    assert list(fits["sources"].scores) == sorted(VALUES)


def test_each_value_of_c_is_scored_by_fits_that_never_saw_the_source():
    features, labels, site = films_of_sites()
    here = np.arange(HERE)
    left = sources(table(labels[:HERE], [SITES[k] for k in site]), "site")
    found = fit_logistic(features, here, labels[:HERE], here, (0.01,), 3, 0, sources=left)
    by_hand = []
    for k in range(3):
        others = here[site != k]
        alone = fit_logistic(features, others, labels[others], others, (0.01,), 3, 0)
        score = features.data[here[site == k]] @ np.diff(alone.weight, axis=0)[0]
        by_hand.append(area(labels[here[site == k]] == 1, score).value)
    assert found.scores[0.01] == pytest.approx(np.mean(by_hand), abs=1e-6)


def test_no_patient_no_copy_and_no_film_of_an_unknown_source_crosses():
    labels = np.arange(40) % 2
    places = ["Lyon"] * 18 + ["Oslo"] * 18 + ["", "", "Riga", "Riga"]
    films = table(
        labels, places, lambda k: "both" if k in (0, 20) else f"p{k}", lambda k: "same" if k in (1, 21) else f"s{k}"
    )
    lyon, oslo = sources(films, "site")  # Riga has too few films
    assert (lyon.name, oslo.name) == ("Lyon", "Oslo")
    assert np.flatnonzero(lyon.held).tolist() == list(range(18))
    assert np.flatnonzero(lyon.taken).tolist() == [k for k in range(18, 40) if k not in (20, 21, 36, 37)]
    assert np.flatnonzero(oslo.taken).tolist() == [*range(2, 18), 38, 39]
    few = (np.arange(40) % 9 == 0).astype(np.int64)  # a rare answer of a finding in place of the classes
    assert sources(films, "site", few) == []


def test_a_source_that_has_all_of_a_class_can_not_be_left_out():
    features = films_of_sites()[0]
    here = np.arange(40)
    sites = ["A"] * 20 + ["B"] * 20
    left = sources(table([*[0, 1] * 10, *[0, 1] * 10], sites), "site")
    with pytest.raises(InputError, match="Without the films of A a class has none to train on"):
        fit_logistic(features, here, np.array([0, 1] * 10 + [0] * 20), here, VALUES, 3, 0, sources=left)
