"""One model trained several times, by folds or by seeds: the pooled scores, and how far the runs lie apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.findings import read_findings
from plainfilm.evaluation.predictions import read_predictions
from plainfilm.evaluation.scores import by_patient
from plainfilm.report import charts, findings, provenance, verdict
from plainfilm.report.charts import Chart, drawn
from plainfilm.report.findings_page import figures
from plainfilm.report.forest import Spread, strip
from plainfilm.report.page import write_page
from plainfilm.report.words import Table, count, number, with_interval
from plainfilm.runs.findings import scored_part
from plainfilm.runs.folder import RunFolder, interval
from plainfilm.storage import folders
from plainfilm.storage.files import read_json

KINDS = {"folds": ("fold", "Folds"), "seeds": ("seed", "Seeds")}
SUSPECTS = 50  # films whose label the model doubts most


def folds_report(out: str | Path) -> Path:
    """Write ``out``/report.html and figures from folds.json and the run folders it names; return the page's path.

    predictions.csv and metrics.json in ``out`` are the pooled out-of-fold ones, where there are some. InputError when
    folds.json or a run's file is missing.
    """
    folder = Path(out)
    about = read_json(folder / folders.FOLDS)
    if about.get("kind") not in KINDS or not about.get("runs"):
        raise InputError(
            f"{folder / folders.FOLDS} names no runs of folds or seeds; train with --folds or --seeds again."
        )
    runs = [RunFolder(folder / name) for name in about["runs"]]
    if runs[0].of_findings:
        return _of_findings(folder, about, runs)
    together = _pooled(folder, runs[0])
    noun, heading = KINDS[about["kind"]]
    probabilities = charts.probabilities([together], folder, marked=False) if together else []
    noise = _label_noise(about.get("label_noise") or [], int(about.get("label_noise_count") or 0))
    sections = [("runs", heading), ("probabilities", "Probabilities"), ("noise", "Doubtful labels"), ("how", "How")]
    skipped = {name for name, there in {"probabilities": probabilities, "noise": noise}.items() if not there}
    page = {
        "title": f"{runs[0].full_title} on {verdict.data_name(runs[0])}: {count(len(runs), noun)}",
        "lead": verdict.lead(runs[0]) if about["kind"] == "seeds" else _classes(runs[0]),
        "synthetic": any(run.config["synthetic"] for run in runs),
        "version": runs[0].config["plainfilm"],
        "protocol": about["protocol"],
        "groups": [("", [(key, name) for key, name in sections if key not in skipped])],
        "lines": _of_sites(about) + _lines(about, runs, together),
        "unseen": _unseen(about, runs),
        "sites": _sites(about.get("left_out")),
        "what": _what(about, len(together.scored) if together else 0, together),
        "tiles": _tiles(about, verdict.HEADLINE),
        "strip": _strip(about, folder, verdict.HEADLINE),
        "links": [(run.folder.name, f"{run.folder.name}/report.html") for run in runs],
        "probabilities": probabilities,
        "noise": noise,
        "how": provenance.how_beside([_named(run) for run in runs]),
    }
    return write_page(folder, "folds.html", page)


def _of_findings(folder: Path, about: dict[str, Any], runs: list[RunFolder]) -> Path:
    """Write the page of runs whose films have findings."""
    noun, heading = KINDS[about["kind"]]
    together = read_findings(folder / folders.PREDICTIONS) if about["pooled"] else None
    shown = figures(together, about["pooled"], folder) if together else {}
    noise = _label_noise(about.get("label_noise") or [], int(about.get("label_noise_count") or 0))
    sections = {"findings": "Findings", "runs": heading, "roc": "Ranking", "reliability": "Probabilities"}
    sections |= {"unknown": "What is not known", "noise": "Doubtful labels", "how": "How"}
    sections |= {"limits": "What this does not show"}
    skipped = {key for key in ("findings", "roc", "reliability", "noise") if not (shown | {"noise": noise}).get(key)}
    films, asked = sum(runs[0].config["films"].values()), len(runs[0].findings.findings)
    page = {
        "title": f"{runs[0].title} on {verdict.data_name(runs[0])}: {count(len(runs), noun)}",
        "lead": f"{count(films, 'film')}; {asked} findings, each scored on the films of which it is known",
        "synthetic": any(run.config["synthetic"] for run in runs),
        "version": runs[0].config["plainfilm"],
        "protocol": about["protocol"],
        "groups": [("", [(key, name) for key, name in sections.items() if key not in skipped])],
        "lines": _of_sites(about) + _of_audit(about) + _lines_of_findings(about, runs),
        "unseen": _unseen(about, runs),
        "sites": _sites(about.get("left_out")),
        "what": _what(about, len(together) if together else 0),
        "tiles": _tiles(about, findings.MEANS),
        "strip": _strip(about, folder, findings.MEANS | _each_auroc(about)),
        "links": [(run.folder.name, f"{run.folder.name}/report.html") for run in runs],
        "noise": noise,
        "unknown": findings.unknown(runs[0].config["findings"], findings.ALL_FILMS),
        "hidden": findings.hidden_table(about["pooled"]) if about["pooled"] else None,
        "hidden_lines": findings.hidden_lines(about["pooled"]) if about["pooled"] else [],
        "how": provenance.how_beside([_named(run) for run in runs]),
        "limit_lines": findings.LIMITS,
        **shown,
    }
    return write_page(folder, "folds.html", page)


def _lines_of_findings(about: dict[str, Any], runs: list[RunFolder]) -> list[str]:
    """Return what must be read first: of all runs as it is, of some by their names; then of the scores, which are the
    runs' own where films are not pooled."""
    each = {run.folder.name: findings.lines_of_training(run) for run in runs}
    if not about["pooled"]:
        each = {run.folder.name: findings.red_lines(run, scored_part(run)) for run in runs}
    shared = [line for line in next(iter(each.values())) if all(line in lines for lines in each.values())]
    own = [f"{name}: {line}" for name, lines in each.items() for line in lines if line not in shared]
    return shared + own + (findings.lines_of(about["pooled"]) if about["pooled"] else [])


def _each(pooled: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pooled.get("findings", {})
    return found


def _each_auroc(about: dict[str, Any]) -> dict[str, str]:
    return {name: f"AUROC, {name.removeprefix('auroc_')}" for name in about["scores"] if name.startswith("auroc_")}


def _of_sites(about: dict[str, Any]) -> list[str]:
    """Return the gap between random folds and a left-out site where it is the first thing to be said."""
    left_out = about.get("left_out")
    return [left_out["sentence"]] if left_out and left_out["red"] else []


def _lines(about: dict[str, Any], runs: list[RunFolder], together: RunFolder | None) -> list[str]:
    """Return what must be read first: of every run, of the set, and of the films that are scored together."""
    of_runs = verdict.red_lines([_named(run) for run in runs], compared=False, pooled=together is not None)
    few = verdict.line_of_few(len(together.scored)) if together else []
    return list(dict.fromkeys([*of_runs, *few, *_of_audit(about)]))


def _of_audit(about: dict[str, Any]) -> list[str]:
    return [str(line) for line in (about.get("audit") or {}).get("red_lines", ())]


def _unseen(about: dict[str, Any], runs: list[RunFolder]) -> str:
    """Return what a single run is looked at for, and these were not; empty for nothing."""
    lacking = []
    if not about.get("audit") and not all(run.audit for run in runs):
        lacking.append("whether the files or the borders of the films alone predict the class (plainfilm audit DATA)")
    if not all("robustness" in run.probes for run in runs):
        lacking.append(f"what changed or covered films do to the models ({verdict.probing(runs[0])})")
    return f"Not looked at: {'; '.join(lacking)}." if lacking else ""


def _sites(left_out: dict[str, Any] | None) -> tuple[str, Table] | None:
    """Return the gap in a sentence, and the scores site by site beside those of random folds."""
    if not left_out:
        return None
    names = ("auroc", "balanced_accuracy", "sensitivity", "specificity")
    rows = [
        [row["site"], f"{row['films']:,}", *(with_interval(interval(row[name])) for name in names)]
        for row in left_out["rows"]
    ]
    mean = ["mean of the above", "", with_interval(interval(left_out["mean"])), "", "", ""]
    random = ["random folds, mean", "", with_interval(interval(left_out["promised"])), "", "", ""]
    header = [f"{left_out['column']} left out", "Films", "AUROC", "Balanced accuracy", "Sensitivity", "Specificity"]
    caption = f"Trained without a {left_out['column']} and tested on it, each in turn (95 % interval)"
    return left_out["sentence"], Table(caption, header, [*rows, mean, random])


def _named(run: RunFolder) -> RunFolder:
    """Return the run called by its folder: its red lines are not those of the others."""
    return run.replaced(model={**run.model, "called": run.folder.name})


def _pooled(folder: Path, first: RunFolder) -> RunFolder | None:
    """Return the out-of-fold predictions as if of one run; None where the films of the runs are not pooled."""
    if not (folder / folders.PREDICTIONS).exists():
        return None
    model = {**first.model, "temperature": 1, "offsets": None}
    patients = first.folder / folders.FILMS if first.has(folders.FILMS) else None
    return first.replaced(
        folder=folder,
        predictions=read_predictions(folder / folders.PREDICTIONS, patients, model),
        metrics=read_json(folder / folders.METRICS),
        model=model,
    )


def _classes(run: RunFolder) -> str:
    classes = ", ".join(f"{name} {n:,}" for name, n in run.config["classes"].items())
    return f"{count(sum(run.config['classes'].values()), 'film')} ({classes})"


def _what(about: dict[str, Any], pooled: int, together: RunFolder | None = None) -> str:
    """Return what was repeated, in words; ``pooled``: how many films are scored together, which is ``together``."""
    n = len(about["runs"])
    if about["kind"] == "seeds":
        return (
            f"The same training {n} times with another seed each, which also divides the films differently. "
            "The means and standard deviations are over the runs: the luck of training and of the division together."
        )
    films = f" All {count(pooled, 'film')} are scored together." if pooled else ""
    worst = (about.get("worst_subgroup") or {}).get("sentence", "")
    off = " ".join(verdict.not_to_be_read_as_risks(together)) if together else ""
    scored = f"{n} trainings, each scored on the part of the films that it never saw.{films} 95 % intervals."
    return " ".join(filter(None, (scored, worst, off)))


def _tiles(about: dict[str, Any], titles: Mapping[str, str]) -> list[verdict.Cell]:
    """Return the headline: pooled scores with intervals, else mean and standard deviation of the runs."""
    pooled = about.get("pooled") or {}
    tiles = []
    for name, title in titles.items():
        found = about["scores"].get(name)
        if name in pooled:
            value = interval(by_patient(pooled, name))
            within = f"{title}, mean of folds" if f"{name}_pooled" in pooled else title
            tiles.append(verdict.Cell(within, number(value.value), verdict.bounds(value)))
        elif found:
            tiles.append(
                verdict.Cell(f"{title}, mean", number(_known(found["mean"])), f"SD {number(_known(found['sd']))}")
            )
    return tiles


def _known(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _strip(about: dict[str, Any], folder: Path, titles: Mapping[str, str]) -> Chart:
    pooled = about.get("pooled") or {}
    pooled |= {f"auroc_{name}": one["scores"]["auroc"] for name, one in _each(pooled).items() if "scores" in one}
    spreads = [
        Spread(
            title,
            [_known(value) for value in about["scores"][name]["values"]],
            interval(by_patient(pooled, name)),
        )
        for name, title in titles.items()
        if name in about["scores"]
    ]
    rows = [[spread.name, *map(number, spread.values), *_summary(spread)] for spread in spreads]
    header = ["Score", *about["runs"], "Mean", "SD", "Range", "Pooled (95 % interval)"]
    said = "; ".join(f"{spread.name} {_range(spread)}" for spread in spreads)
    caption = "Each ring is one run. Rings that lie far apart: one training of this kind says little."
    table = Table("Every run's scores", header, rows)
    return drawn(folder, "runs", strip(spreads), "Scores of every run", f"Range over the runs: {said}.", caption, table)


def _summary(spread: Spread) -> list[str]:
    known = [value for value in spread.values if not np.isnan(value)]
    mean = float(np.mean(known)) if known else float("nan")
    sd = float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")
    pooled = with_interval(spread.pooled) if not np.isnan(spread.pooled.value) else "not pooled"
    return [number(mean), number(sd), _range(spread), pooled]


def _range(spread: Spread) -> str:
    known = [value for value in spread.values if not np.isnan(value)]
    return f"{min(known):.3f} to {max(known):.3f}" if known else "undefined"


def _label_noise(found: list[dict[str, Any]], count: int) -> Table | None:
    rows = [[film["path"], _label(film), f"{film['p_own_label']:.3f}"] for film in found[:SUSPECTS]]
    shown = f"The {len(rows)} of {count:,} films" if count > len(rows) else "Films"
    caption = f"{shown} whose own label the other folds' models believe least. Nothing was relabelled; look at them."
    return Table(caption, ["Film", "Label", "Probability of it"], rows) if rows else None


def _label(film: dict[str, Any]) -> str:
    return f"{'' if film['label'] else 'no '}{film['finding']}" if "finding" in film else str(film["label"])
