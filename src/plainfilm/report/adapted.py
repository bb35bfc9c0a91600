"""The report of a model that was adapted to a site: its films, with the scores before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm.evaluation.adapting import COMPARED, enough_in_words, protocol, referral_in_words
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.tables import named
from plainfilm.report.elsewhere import Adapted, elsewhere_report
from plainfilm.report.words import Table, with_interval
from plainfilm.runs.folder import RunFolder, interval
from plainfilm.storage.documents import MetricsDocument


def adapted_report(
    folder: Path,
    run: RunFolder,
    predictions: Predictions,
    decision: Decision,
    found: Mapping[str, Any],
    about: dict[str, Any],
) -> Path:
    """Write report.html and figures/ of the local films into ``folder``; return the page's path.

    predictions: the local films as adapt.json's scores have them; decision: the rule now in use; found: what adapt.json
    holds; about: as of ``elsewhere_report``.
    """
    scored = found["before" if found["kept"] else "after"]
    metrics: MetricsDocument = {
        "protocol": protocol(found, Path(about["data"]).name),
        "test": scored,
        "red_lines": found["red_lines"],
    }
    adapted = Adapted(decision, _changes(found), (enough_in_words(found), _curve(found)), _referral(found, decision))
    shown = predictions.by(refer=None) if adapted.referral else predictions  # the band in use is not that of the films
    return elsewhere_report(folder, run, shown, metrics, about, adapted)


def _changes(found: Mapping[str, Any]) -> Table:
    """Return the scores before and after; the order of the films, and so AUROC, is the same in both."""
    words = named()
    columns = ("before", "after", "difference")
    rows = [[words[name], *(with_interval(interval(found[column][name])) for column in columns)] for name in COMPARED]
    order = with_interval(interval(found["before"]["auroc"]))
    rows.append([words["auroc"], order, "the same", "no threshold changes it"])
    new = "A new one would have" if found["kept"] else "Adapted"
    header = ["Score", "As trained", f"{new} (cross-fitted by patient)", "Difference"]
    caption = "The old operating point is kept" if found["kept"] else "Before and after adapting"
    return Table(f"{caption} (95 % interval)", header, rows)


def _curve(found: Mapping[str, Any]) -> Table:
    rows = [
        [f"{row['films']}", f"{row['mean']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        for row in found["learning_curve"]
    ]
    caption = "Balanced accuracy on the films left out, by number of films that the operating point was fitted to"
    return Table(caption, ["Films fitted", "Mean", "From 10 % to 90 % of the draws"], rows)


def _referral(found: Mapping[str, Any], decision: Decision) -> str:
    if found["kept"] and not found.get("promises"):
        return ""  # the old band stays, and these films show what it does
    told = " ".join(f"{p['sentence']} {p['elsewhere']}".strip() for p in found.get("promises", ()))
    return f"{referral_in_words(decision, found['refer'])} {told}".strip()
