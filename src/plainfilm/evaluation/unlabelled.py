"""A model at a new site whose films have no labels: its threshold moved to a prevalence, or with the scores' two hills.

The weights and the temperature stay. Without labels nothing here can be checked on the site's films.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from plainfilm.errors import InputError
from plainfilm.evaluation import mixture
from plainfilm.evaluation.decision import FLOOR, Band, Decision
from plainfilm.evaluation.mixture import Hills
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.prevalence import adjust_prevalence, estimate_prevalence, prevalence_interval

FEWEST = 50  # films without labels: below this two hills can't be told
EDGE = 0.005  # a prevalence nearer to 0 or 1 can't be told from none or all
WITHIN = 0.05  # of an expected accuracy


def adapt_to_prevalence(
    probabilities: NDArray[np.float64],
    old: Decision,
    trained: float,
    prevalence: float | None,
    aim: float = 0.5,
    patients: NDArray[np.str_] | None = None,
) -> tuple[Decision, dict[str, Any]]:
    """Return the old rule of decision moved to another prevalence, for films without labels, and what it rests on.

    ``probabilities``: (N, 2) at the old temperature; ``trained``: the share that training gave the positive class;
    ``patients`` (N,): whose film each is, for the interval of the estimate. ``prevalence``: its share at the new site
    where it is known, else it is estimated from the probabilities (Saerens et al. 2002), which assumes that films of a
    class look as in training; that can't be checked without labels. A film is
    called positive where its probability, corrected for the new prevalence, reaches ``aim``: with 0.5 errors are
    fewest. The old threshold does not enter: one that balances the classes or holds a sensitivity does so at any
    prevalence. The refer band keeps its place about the threshold, in log-odds.
    """
    if probabilities.shape[1] != 2:
        raise InputError("adapt without labels works with two classes; give labelled films.")
    score = probabilities[:, old.column]
    shares = _shares(trained, old)
    estimate = float(estimate_prevalence(probabilities, shares)[old.column])
    wanted = estimate if prevalence is None else prevalence
    if not EDGE <= wanted <= 1 - EDGE:
        raise InputError(
            f"The prevalence comes out as {wanted:.4f}, which no threshold is made for: these films differ "
            "from the training films, or are all of one class; give labelled films, or --prevalence where it is known."
        )
    moved = adjust_prevalence(probabilities, shares, np.clip(_shares(wanted, old), 1e-6, 1))
    threshold = float(expit(logit(aim) + logit(trained) - logit(wanted)))
    shift = float(logit(threshold) - logit(np.clip(old.threshold, FLOOR, 1 - FLOOR)))
    band = old.refer and Band(*(_moved(bound, shift) for bound in old.refer))
    goal = "fewest errors" if aim == 0.5 else f"corrected probability {aim:g}"
    rule = f"{goal} at {'a known prevalence' if prevalence is not None else 'a prevalence estimated without labels'}"
    new = replace(old, threshold=threshold, rule=rule, refer=band, promises=())  # which hold at no other prevalence
    about = {
        "films": len(probabilities),
        "prevalence_trained": trained,
        "prevalence_estimated": estimate,
        "prevalence_interval": prevalence_interval(score, trained, estimate, patients).as_dict(),
        "prevalence_used": wanted,
        "called_positive_before": float((old.decide(probabilities) == old.column).mean()),
        "called_positive_after": float((new.decide(probabilities) == new.column).mean()),
        "mean_probability_before": float(score.mean()),
        "mean_probability_after": float(moved[:, old.column].mean()),
    }
    return new, about


class NoHills(InputError):
    """Scores of films without labels that are not those of the two classes, moved; ``reasons``: why not."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = "; ".join(reasons)
        super().__init__(
            f"--threshold balanced can't be found without labels: {self.reasons}. Give 50 labelled films, or leave it "
            "out to move the threshold to a prevalence."
        )


def adapt_by_hills(
    probabilities: NDArray[np.float64],
    old: Decision,
    own: Predictions,
    prevalence: float | None,
    patients: NDArray[np.str_],
    rng: np.random.Generator,
) -> tuple[Decision, dict[str, Any]]:
    """Return the old rule of decision with its threshold moved as the valley between the two hills of the scores has
    moved, on films without labels, and what it rests on: see ``evaluation.mixture``.

    ``probabilities``: (N, 2) at the old temperature; ``own``: the run's films that trained nothing, by the old rule;
    ``prevalence``: where it is known. The valley is where the mean of sensitivity and specificity is largest, whatever
    the prevalence. InputError for fewer than 50 films and where the scores are not those of the two classes, moved.
    """
    if (films := len(probabilities)) < FEWEST:
        raise InputError(f"--threshold balanced without labels needs {FEWEST} films, and there are {films}.")
    scores, known = _log_odds(probabilities[:, old.column]), known_hills(own)
    hills = mixture.fitted(scores, known, prevalence)
    if reasons := mixture.against(hills, scores):
        raise NoHills(reasons)
    shift = hills.valley - known.valley
    middle = float(logit(np.clip(old.threshold, FLOOR, 1 - FLOOR)))
    threshold = float(expit(middle + shift))
    band = old.refer and Band(*(_moved(bound, shift) for bound in old.refer))
    rule = "old threshold moved with the two hills of the log-odds, without labels"
    new = replace(old, threshold=threshold, rule=rule, refer=band, promises=())
    draws = mixture.swayed(scores, known, prevalence, patients, rng)
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    ends = (float(expit(middle + end - known.valley)) for end in (low[0], high[0]))
    about = {
        "films": films,
        "threshold_interval": dict(zip(("value", "low", "high"), (threshold, *ends), strict=True)),
        "prevalence_trained": known.share,
        "prevalence_estimated": hills.share,
        "prevalence_interval": {"value": hills.share, "low": float(low[1]), "high": float(high[1])},
        "prevalence_used": hills.share,
        "called_positive_before": float((old.decide(probabilities) == old.column).mean()),
        "called_positive_after": float((new.decide(probabilities) == new.column).mean()),
        "accuracy_expected": expected_accuracy(own, scores, float(old.threshold)),
        "hills": {
            "log_odds_moved": {name: hills.moved[int(name == old.positive)] for name in old.classes},
            "deviations_apart": hills.apart,
        },
        "assumption": "each class's log-odds are spread as on the run's own films, only moved",
    }
    return new, about


def expected_rates(own: Predictions, old: Decision, new: Decision) -> dict[str, dict[str, float]]:
    """Return sensitivity and specificity on the model's ``own`` films, by the old rule and the new:
    a change of prevalence alone leaves both as they are."""

    def at(decision: Decision) -> dict[str, float]:
        said = replace(own, decision=decision)
        return {
            "sensitivity": float(said.called[said.truth].mean()),
            "specificity": float((~said.called[~said.truth]).mean()),
        }

    return {"before": at(old), "after": at(new)}


def expected_accuracy(own: Predictions, scores: NDArray[np.float64], threshold: float) -> dict[str, float]:
    """Return what is expected of the accuracy, at ``threshold``, on films without labels with the log-odds ``scores``
    (N,): that on the films of ``own`` less what the mean confidence has lost (Guillory et al. 2021, arXiv 2107.03315,
    "difference of confidences").

    ``within``: the largest error under 90 simulated changes of look (LOG.md, 2026-11-30). Where a class's scores moved
    half-way to the other's it was off by .1, and it knows nothing of other diseases.
    """
    middle = float(logit(np.clip(threshold, FLOOR, 1 - FLOOR)))
    here, there = (float(expit(np.abs(each - middle)).mean()) for each in (_log_odds(own.score), scores))
    right = float(((own.score >= threshold) == own.truth).mean())
    return {"value": float(np.clip(right - (here - there), 0, 1)), "within": WITHIN, "own": right}


def _log_odds(score: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(score, FLOOR, 1 - FLOOR)))


def known_hills(p: Predictions) -> Hills:
    """Return the hills of labelled films."""
    return mixture.of_classes(_log_odds(p.score), p.truth)


def _shares(share: float, decision: Decision) -> NDArray[np.float64]:
    """Return (2,) the shares of both classes where the positive one has ``share``."""
    return np.array([1 - share, share] if decision.column == 1 else [share, 1 - share])


def _moved(probability: float, shift: float) -> float:
    """Return the probability whose log-odds are ``shift`` higher; 0 and 1 stay."""
    return probability if probability in (0.0, 1.0) else float(expit(logit(probability) + shift))
