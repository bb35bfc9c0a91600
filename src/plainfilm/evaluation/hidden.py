"""What unknown cells of a finding do to its prevalence and predictive values: were they left out at random?

Where a cell is filled in only when somebody looked for the finding, the films of which it is known are not like all
films. A model's calibrated probabilities on the others tell how many of them may be positive.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from plainfilm.evaluation.calibration import fit_offsets, fit_temperature, moved
from plainfilm.evaluation.findings import FindingsPredictions, both, too_few
from plainfilm.evaluation.intervals import Interval, rate
from plainfilm.evaluation.prevalence import estimate_prevalence, prevalence_interval
from plainfilm.evaluation.scores import ppv_npv_at

FEWEST = 20  # unknown films, and known ones of either answer, below which nothing is estimated


def hidden(p: FindingsPredictions, finding: str) -> dict[str, Any] | None:
    """Return what the films of which ``finding`` is not known do to its prevalence and PPV; None where there are too
    few to tell.

    ``unknown``: their number; ``share_known``: positive among the known, with its interval; ``share_unknown``: the same
    of the unknown ones, estimated by expectation maximisation (Saerens et al. 2002, doi
    10.1162/089976602753284446) from probabilities that are calibrated on the known ones; ``prevalence`` of all films
    then; ``ppv`` and ``npv``: {"known", "all" (at that prevalence), "if_negative" (were all unknown ones negative)} by
    Bayes' rule from sensitivity and specificity. ``at_random``: whether the two shares are not shown to differ.
    It is assumed that a positive film looks alike whether its cell is known or not; that can't be checked.
    """
    k, known = p.findings.index(finding), p.of(finding)
    others = np.flatnonzero(p.truth[:, k] < 0)
    positives = int(known.truth.sum())
    if too_few(known) or min(len(others), positives, len(known) - positives) < FEWEST:
        return None
    share = rate(known.truth, known.patients)
    offsets = fit_offsets(known)
    temperature = fit_temperature(replace(known, probabilities=moved(known.probabilities, offsets, 1.0)))
    score = moved(both(p.chances[others, k]), offsets, temperature)
    estimate = float(estimate_prevalence(score, np.array([1 - share.value, share.value]))[1])
    there = prevalence_interval(score[:, 1], share.value, estimate, p.patients[others])
    weight = len(others) / len(p)
    whole = Interval(*(float((1 - weight) * share.value + weight * end) for end in there))
    called = known.called
    rates = float(called[known.truth].mean()), float((~called[~known.truth]).mean())
    shares = [share.value, *whole, positives / len(p)]
    at = [ppv_npv_at(*rates, [each])[0] for each in shares]
    return {
        "unknown": len(others),
        "share_known": share.as_dict(),
        "share_unknown": there.as_dict(),
        "prevalence": whole.as_dict(),
        **{
            name: {
                "known": at[0][name],
                "all": dict(zip(("value", "low", "high"), (row[name] for row in at[1:4]), strict=True)),
                "if_negative": at[4][name],
            }
            for name in ("ppv", "npv")
        },
        "at_random": not (there.high < share.low or there.low > share.high),
    }


def hidden_sentence(finding: str, found: dict[str, Any]) -> str:
    """Return what ``hidden`` found, in words."""
    known, there, whole = (Interval(**found[name]) for name in ("share_known", "share_unknown", "prevalence"))
    head = f"{finding}: {100 * known.value:.0f} % of the films of which it is known are positive"
    if found["at_random"]:
        return f"{head}, and about {_span(there)} of the {found['unknown']:,} others: not shown to differ."
    ppv = found["ppv"]
    return (
        f"{head}, but only about {_span(there)} of the {found['unknown']:,} others: cells are not left out at random. "
        f"Over all films about {_span(whole)} are positive; the PPV is then about {ppv['all']['value']:.2f}, not "
        f"{ppv['known']:.2f}."
    ).replace("but only about", "but only about" if there.value < known.value else "but about")


def _span(found: Interval) -> str:
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"
