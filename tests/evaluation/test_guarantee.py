"""Promised scores: against SciPy's exact binomial, and over simulated sites whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest, norm

from plainfilm.errors import InputError
from plainfilm.evaluation import guarantee as g
from plainfilm.evaluation.guarantee import Guarantee, guarantee


class Site:
    """Two normal distributions of log-odds ``apart`` from each other; films of a patient share a part of theirs."""

    def __init__(self, prevalence=0.3, apart=3.0):
        self.prevalence, self.apart = prevalence, apart

    def films(self, rng, patients, each=1, alike=0.0):
        ill = np.repeat(rng.random(patients) < self.prevalence, each)
        noise = np.sqrt(alike) * np.repeat(rng.normal(size=patients), each)
        noise += np.sqrt(1 - alike) * rng.normal(size=patients * each)
        odds = self.apart * (ill - 0.5) + noise
        return ill, expit(odds), np.repeat(np.arange(patients), each)

    def truly(self, name, cut):
        """Return the score's value in the whole population."""
        at = np.log(cut / (1 - cut)) if 0 < cut < 1 else np.sign(cut - 0.5) * np.inf
        well, ill = norm.cdf(at + self.apart / 2), norm.cdf(at - self.apart / 2)
        p = self.prevalence
        return {
            "npv": (1 - p) * well / ((1 - p) * well + p * ill),
            "ppv": p * (1 - ill) / (p * (1 - ill) + (1 - p) * (1 - well)),
            "sensitivity": 1 - ill,
            "specificity": well,
        }[name]


def kept(site, name, target, sites, **films):
    """Return the share of simulated sites where the promise holds or none is given, and the mean share decided."""
    rng = np.random.default_rng(0)
    holds, decided = [], []
    for _ in range(sites):
        ill, chance, patients = site.films(rng, **films)
        found = guarantee(name, target, ill, chance, patients)
        holds.append(found.cut is None or site.truly(name, found.cut) >= target)
        side = chance < (found.cut or 0) if found.side == "below" else chance >= (2 if found.cut is None else found.cut)
        decided.append(side.mean())
    return np.mean(holds), np.mean(decided)


SETTINGS = [("npv", 0.95), ("ppv", 0.9), ("sensitivity", 0.95), ("specificity", 0.9)]


@pytest.mark.parametrize(("name", "target"), SETTINGS)
def test_the_promise_holds_and_little_is_left_undecided(name, target):
    site = Site()
    held, decided = kept(site, name, target, sites=100, patients=600)
    assert held >= 0.91  # .95 less two standard errors of 100 sites; 1,000 sites: the slow test
    cuts = expit(np.linspace(-9, 9, 2001))
    good = cuts[[site.truly(name, cut) >= target for cut in cuts]]
    rng = np.random.default_rng(1)
    _, chance, _ = site.films(rng, 100_000)
    best = np.mean(chance < good.max()) if name in g.BELOW else np.mean(chance >= good.min())
    assert decided > 0.8 * best


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), SETTINGS)
@pytest.mark.parametrize("films", [{"patients": 400}, {"patients": 400, "each": 5, "alike": 0.8}, {"patients": 1500}])
def test_the_promise_holds_at_nineteen_of_twenty_sites(name, target, films):
    held, _ = kept(Site(), name, target, sites=1000, **films)
    assert held >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 1000)


def test_films_of_a_patient_do_not_count_as_patients():
    held, _ = kept(Site(), "npv", 0.95, sites=40, patients=400, each=5, alike=0.8)
    assert held >= 0.91
    ill, chance, patients = Site(apart=9).films(np.random.default_rng(2), 40, each=10)
    found = guarantee("npv", 0.98, ill, chance, patients)
    assert found.cut is None and found.seen == 40 and "at least" in found.sentence()


def test_the_bound_is_clopper_and_pearson_s():
    for right, n in ((58, 60), (149, 149), (10, 40)):
        exact = binomtest(right, n, alternative="greater").proportion_ci(0.95, method="exact")
        assert g.at_least(right, n) == pytest.approx(exact.low)
    assert g.at_least(0, 9) == 0
    assert g.at_least(57.5, 60) < g.at_least(58, 60)


@pytest.mark.parametrize("target", [0.9, 0.95, 0.98, 0.99])
def test_the_fewest_patients_are_just_enough(target):
    n = g.fewest(target)
    assert g.at_least(n, n) >= target > g.at_least(n - 1, n - 1)


def test_too_few_is_said_with_the_number_that_is_needed():
    ill, chance, patients = Site(apart=8).films(np.random.default_rng(3), 60)
    found = guarantee("sensitivity", 0.98, ill, chance, patients)
    assert found.cut is None and f"at least {g.fewest(0.98)} are needed" in found.sentence()
    errs = guarantee("ppv", 0.98, *Site(apart=0.1).films(np.random.default_rng(4), 2000))
    assert errs.cut is None and "errs too often" in errs.sentence() and "best that these films show" in errs.sentence()


def test_tied_films_are_on_one_side_of_the_cut():
    ill = np.r_[np.zeros(300, dtype=bool), np.ones(100, dtype=bool)]
    chance = np.r_[np.full(200, 0.1), np.full(100, 0.3), np.full(100, 0.9)]
    found = guarantee("npv", 0.95, ill, chance, np.arange(400))
    assert found.cut == 0.9 and found.bound >= 0.95
    above = guarantee("ppv", 0.9, ill, chance, np.arange(400)).cut
    assert 0.3 < above <= 0.9  # films at .3 are not among those that are promised


def test_the_band_leaves_to_a_reader_what_no_promise_covers():
    low = Guarantee("npv", 0.98, "below", 0.2, 0.981, 149, 300, 0.3)
    high = Guarantee("ppv", 0.9, "above", 0.8, 0.91, 29, 80, 0.3)
    assert g.band([low, high], 0.5) == (0.2, 0.8)
    assert g.band([low], 0.5) == (0.2, 0.5)
    assert g.band([low], 0.1) is None  # what is called negative at .1 is promised already
    none = Guarantee("npv", 0.999, "below", None, None, 3000, 300, 0.3)
    assert g.band([none], 0.5) == (0.0, 0.5)


def test_a_shift_of_prevalence_moves_npv_by_bayes_rule():
    sensitivity, specificity = 0.9, 0.8

    def npv(p):
        return specificity * (1 - p) / (specificity * (1 - p) + (1 - sensitivity) * p)

    assert g.at_prevalence(npv(0.3), 0.3, 0.05, "npv") == pytest.approx(npv(0.05))
    assert g.at_prevalence(0.9, 0.3, 0.05, "sensitivity") == 0.9
    found = Guarantee("npv", npv(0.4), "below", 0.2, npv(0.3), 149, 300, 0.3)
    assert g.holds_until(found) == pytest.approx(0.4)


def test_what_is_asked_for_is_read_or_refused_in_a_sentence():
    assert g.parsed("npv=0.98, PPV=.9") == {"npv": 0.98, "ppv": 0.9}
    for text, words in (("nvp=0.98", "Did you mean 'npv'"), ("npv=high", "as a number"), ("npv=1", "below 1")):
        with pytest.raises(InputError, match=words):
            g.parsed(text)
