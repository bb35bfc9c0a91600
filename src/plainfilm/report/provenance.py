"""How a run was computed and what it cost: settings, versions, hashes, time; for whoever has to repeat it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from plainfilm.config import OF_ENSEMBLES, TrainConfig, of_no_use
from plainfilm.report.mistakes import LISTED
from plainfilm.report.table import table_row
from plainfilm.report.words import Table, count, duration, number, operations, title_of
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.inside import did_not_learn


def cost(runs: list[RunFolder]) -> Table:
    """Return what each model cost in time and size, and its gaps between training and validation."""
    header = ["Model", "Training", "Features", "Parameters", "of them trained", "Operations a film"]
    header += ["Gap in accuracy", "Gap in loss"]
    rows = []
    for run in runs:
        row, seconds = table_row(run), run.model["seconds"]
        rows.append(
            [
                title_of(run),
                duration(seconds["training"]),
                duration(seconds["features"]) if seconds["features"] else "none",
                f"{run.model['parameters']:,}",
                f"{run.model['trained_parameters']:,}",
                operations(run.model["flops"]),
                number(row["gap_accuracy"]),
                number(row["gap_loss"]),
            ]
        )
    where = f"{runs[0].config['device']}, {count(runs[0].config['threads'], 'thread')}"
    gaps = "Gaps: training minus validation accuracy, validation minus training cross-entropy; dropout off in both"
    if any(run.calibrated for run in runs):
        gaps += ", cross-entropy of the probabilities before calibration"
    return Table(f"Measured in this run ({where}). {gaps}.", header, rows, did_not_learn(runs))


def how(run: RunFolder) -> list[list[str]]:
    """Return [what, value] rows of everything that is needed to repeat a run."""
    config, model = run.config, run.model
    said = {
        "Command": f"plainfilm {config['command']}",
        "Data": config["data"],
        "Data hash": f"{config['data_hash']} (the films and their parts)",
        **_of_the_set(run),
        "Split": config["protocol"],
        "Films": pairs(config["films"]),
        **_asked(run),
        "Class weights": pairs(config["class_weights"]) if _weighed(run) else "none used",
        "Preprocessing": pairs(config["preprocess"]),
        "Pretrained weights": model["weights"] or "none",
        "Threshold, temperature": _rule(run),
        "Seed": str(config["seed"]),
        "Device": f"{config['device']}, {count(config['threads'], 'thread')}",
        "Precision": _precision(run),
        "Versions": f"plainfilm {config['plainfilm']}, {pairs(config['versions'])}, Python {config['python']}",
        "Platform": config["platform"],
    }
    if config.get("notes"):
        said["About the data"] = ". ".join(config["notes"])
    if config.get("members"):
        said["Members"] = ", ".join(f"{run} ({sha256[:12]})" for run, sha256 in config["members"].items())
    return [[name, str(value)] for name, value in said.items()]


def _of_the_set(run: RunFolder) -> dict[str, str]:
    """Return the hash of the set, which runs of earlier versions do not have."""
    found = run.config.get("set_hash")
    return {"Set hash": f"{found} (the films, however they are split)"} if found else {}


def _asked(run: RunFolder) -> dict[str, str]:
    """Return the films of each class, or the positive ones of each finding."""
    if not run.of_findings:
        return {"Classes": pairs(run.config["classes"])}
    return {"Findings, positive films": pairs({name: c["positive"] for name, c in run.config["findings"].items()})}


def _rule(run: RunFolder) -> str:
    if not run.of_findings:
        return f"{run.threshold:g}, {run.model['temperature']:g}"
    return "; ".join(f"{r['positive']} {r['threshold']:.3g}, {r['temperature']:.3g}" for r in run.model["findings"])


def _precision(run: RunFolder) -> str:
    """Return the bits of training and passes, and how many films were passed again."""
    said = str(run.config.get("precision", {"said": "computed in 32 bits"})["said"])
    if "again_in_32_bits" not in run.model:
        return said
    again, films = run.model["again_in_32_bits"], sum(run.config["films"].values())
    return f"{said}; {again:,} of {films:,} films beside the threshold or the refer band again in 32 bits"


def _weighed(run: RunFolder) -> bool:
    """Whether a loss with class weights was minimised: not by a logistic regression, nor by an ensemble."""
    return not run.model["search"] and not run.config.get("members")


def how_beside(runs: list[RunFolder]) -> Table:
    """Return the rows of ``how`` of several runs; what all share stands once: of one set split otherwise, its hash
    alone, since those with the parts stand in each run's own report."""
    columns = [dict(how(run)) for run in runs]
    sets = {run.config.get("set_hash", "") for run in runs}
    if len(sets) == 1 and sets != {""} and len({run.config["data_hash"] for run in runs}) > 1:
        columns = [{name: value for name, value in column.items() if name != "Data hash"} for column in columns]
    rows = []
    for name in columns[0]:
        values = [column.get(name, "") for column in columns]
        each = "; ".join(f"{run.title}: {value}" for run, value in zip(runs, values, strict=True))
        rows.append([name, values[0] if len(set(values)) == 1 else each])
    return Table("The runs", ["What", "Value"], rows)


def pairs(values: dict[str, Any]) -> str:
    """Return ``size 64, resize crop``: names and values in a line."""
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )


def settings(run: RunFolder) -> Table:
    """Return every setting that means something to the model, with its default, where it was another."""
    known = {field.name: field for field in fields(TrainConfig)}
    rows, unused = [], of_no_use(run.config["settings"])
    for name, value in run.config["settings"].items():
        if run.config.get("members") and name not in OF_ENSEMBLES:
            continue
        if not run.history and name in unused:
            continue
        default = known[name].default if name in known else None
        meaning = known[name].metadata["help"] if name in known else ""
        rows.append([name, _setting(value), "" if value == default else _setting(default), meaning])
    return Table("Every setting", ["Setting", "Value", "Default, where another", "What it is"], rows)


def _setting(value: Any) -> str:
    return "(empty)" if value == "" else str(value)


def quarantine(run: RunFolder) -> Table | None:
    """Return the films that were left out, with the reason; None when there are none."""
    rows = [[row["path"], row["reason"]] for row in run.quarantine[:LISTED]]
    return Table(count(len(run.quarantine), "film") + " left out", ["Film", "Reason"], rows) if rows else None
