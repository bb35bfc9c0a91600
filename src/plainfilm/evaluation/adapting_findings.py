"""A model of several findings at a new site: each is adapted as a question of its own, on the films that know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import InputError
from plainfilm.evaluation import adapting
from plainfilm.evaluation.chance import chance_line, worse_than_chance
from plainfilm.evaluation.decision import Floats
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, both
from plainfilm.evaluation.operating import Rules
from plainfilm.evaluation.unlabelled import NoHills, adapt_by_hills

MAY_HARM = (
    "Thresholds that were moved without labels can make a finding worse: in simulated sites balanced accuracy rose by "
    "0.01 on average and fell by up to 0.06 for one finding. Label 50 films and adapt to those."
)


def adapt_findings(
    raw: FindingsPredictions, old: FindingsDecision, rules: Rules, rng: np.random.Generator, force: bool = False
) -> tuple[FindingsDecision, FindingsPredictions, dict[str, Any]]:
    """Return the rule for the new site, the films as it decides them (cross-fitted where a finding is known), and what
    is known of it: under "findings" what ``adapting.adapt`` finds of each, or "not_adapted" with the reason.

    Each finding keeps its old rule where the new one is not shown to be better, where too few films know it, or where
    the model is worse than chance here. ``raw``: the local films, probabilities at temperature 1. InputError where no
    finding can be adapted.
    """
    each: dict[str, Any] = {}
    rules_of, chances, cuts = [], raw.chances.copy(), np.empty(raw.chances.shape)
    for k, (name, own) in enumerate(zip(raw.findings, old.each, strict=True)):
        known = np.flatnonzero(raw.truth[:, k] >= 0)
        new, each[name] = own, {"known": len(known), "positives": int((raw.truth[:, k] == 1).sum())}
        try:
            new, after, found = adapting.adapt(raw.of(name), own, rules, rng, force)
            if worse_than_chance(found["before"]):
                raise InputError(chance_line(found["before"], "these films").rstrip("."))
            each[name] |= found
        except InputError as error:
            new, after = own, None
            each[name]["not_adapted"] = str(error).removesuffix(".")
        chances[:, k] = new.tempered(np.stack([1 - raw.chances[:, k], raw.chances[:, k]], axis=1))[:, 1]
        cuts[:, k] = new.threshold
        if after is not None:
            chances[known, k], cuts[known, k] = after.score, after.decision.threshold
        rules_of.append(new)
    if all("not_adapted" in found for found in each.values()):
        name, found = next(iter(each.items()))
        raise InputError(f"No finding can be adapted. {name}: {found['not_adapted']}.")
    own_cuts = FindingsDecision(tuple(replace(r, threshold=c) for r, c in zip(rules_of, cuts.T, strict=True)))
    about = {
        "films": len(raw),
        "patients": len(set(raw.patients.tolist())),
        "findings": each,
        "kept": all(found.get("kept", True) for found in each.values()),
        "lines": [line for name, found in each.items() for line in _lines(name, found)],
    }
    return FindingsDecision(tuple(rules_of)), replace(raw, chances=chances, decision=own_cuts), about


def adapt_findings_by_hills(
    raw: Floats, old: FindingsDecision, own: FindingsPredictions, patients: NDArray[np.str_], rng: np.random.Generator
) -> tuple[FindingsDecision, dict[str, Any]]:
    """Return the old rule with each finding's threshold moved as ``unlabelled.adapt_by_hills`` does, on films without
    labels, and what that rests on: under "findings" what it finds of each, or "not_adapted" with the reason.

    ``raw``: (N, F) probabilities at temperature 1; ``own``: the run's films that trained nothing, by the old rule;
    ``patients``: (N,). A finding's hills are those of the films of which it is known. InputError where no finding can
    be adapted.
    """
    each: dict[str, Any] = {}
    rules = []
    for k, (name, rule) in enumerate(zip(old.classes, old.each, strict=True)):
        known = own.of(name)
        yes = int(known.truth.sum())
        try:
            if min(yes, len(known) - yes) < adapting.FEWEST:
                raise NoHills([f"{yes} of {len(known)} films of the run that trained nothing have it"])
            new, each[name] = adapt_by_hills(rule.tempered(both(raw[:, k])), rule, known, None, patients, rng)
        except NoHills as error:
            new, each[name] = rule, {"not_adapted": error.reasons}
        rules.append(new)
    kept = [name for name, found in each.items() if "not_adapted" in found]
    if len(kept) == len(each):
        raise InputError(f"No finding can be adapted without labels. {kept[0]}: {each[kept[0]]['not_adapted']}.")
    lines = [MAY_HARM, *(line for name in kept for line in _lines(name, each[name]))]
    about = {"films": len(raw), "findings": each, "lines": lines}
    return FindingsDecision(tuple(rules)), about


def _lines(name: str, found: Mapping[str, Any]) -> list[str]:
    if "not_adapted" in found:
        return [f"{name} is not adapted: {found['not_adapted']}."]
    chance = chance_line(found["before"], "these films")
    return [f"{name}: {line}" for line in [*[chance] * bool(chance), *found["lines"]]]
