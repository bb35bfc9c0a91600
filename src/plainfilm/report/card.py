"""model-card.md: what a model is, for what it may be used, and how well it does; sections after Mitchell et al. 2019
(doi 10.1145/3287560.3287596)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainfilm.config import DISCLAIMER
from plainfilm.errors import command_line
from plainfilm.evaluation.tables import named
from plainfilm.report import practice, verdict
from plainfilm.report.provenance import pairs
from plainfilm.report.spoken import Spoken, spoken
from plainfilm.report.words import NOT_DONE, Table, count, markdown_table, part_in_words, score_in_words, with_interval
from plainfilm.runs.folder import RunFolder, interval
from plainfilm.storage import folders
from plainfilm.storage.files import write_text

RESULTS = {
    name: words
    for name, words in (verdict.HEADLINE | named()).items()
    if name not in ("precision_macro", "recall_macro")  # balanced accuracy is the second, and Table I has the first
}
AUTHORS = "for the authors to say"


def write_card(run: RunFolder) -> Path:
    """Write model-card.md into the folder of a finished run; return its path.

    What is not on disk is "not done"; what no file can know is "for the authors to say". InputError when a file is
    missing that every finished run has.
    """
    said = spoken(run)
    sections = {
        "Model details": _details(run, said),
        "Intended use": _intended(said),
        "Out of scope": _out_of_scope(),
        "Factors": _factors(run),
        "Metrics": _metrics(run, said),
        "Evaluation data": _evaluation(run, said),
        "Training data": _training(run, said),
        "Results": _results(run, said),
        "Caveats": _caveats(said),
    }
    lines = [f"# Model card: {run.title} on {verdict.data_name(run)}", "", *_warning(run)]
    for name, text in sections.items():
        lines += [f"## {name}", "", *text, ""]
    write_text(run.folder / folders.CARD, "\n".join([*lines, f"Written by plainfilm {run.config['plainfilm']}.", ""]))
    return run.folder / folders.CARD


def _warning(run: RunFolder) -> list[str]:
    synthetic = (
        ["**Synthetic films: no score here says anything about patients.**", ""] if run.config["synthetic"] else []
    )
    return [f"**{DISCLAIMER}** No label is a diagnosis.", "", *synthetic]


def _details(run: RunFolder, spoken: Spoken) -> list[str]:
    config, model = run.config, run.model
    said = {
        "Model": f"{run.full_title}, {model['parameters']:,} parameters, "
        f"{model['trained_parameters']:,} of them trained",
        "Input": f"one frontal chest film, {pairs(config['preprocess'])}",
        "Output": f"a probability each of {spoken.outputs}{spoken.positive}",
        "Threshold": f"{spoken.decided}; {spoken.fitted}",
        "Refer band": f"{spoken.refer}, chosen on validation" if spoken.refer else "none",
        "Pretrained weights": str(model["weights"] or "none"),
        "Made with": f"plainfilm {config['plainfilm']}, {pairs(config['versions'])}; seed {config['seed']}",
        "Command": f"`plainfilm {config['command']}`",
        "Licence, contact": AUTHORS,
    }
    return _points(said)


def _intended(spoken: Spoken) -> list[str]:
    return _points(
        {
            "For": f"research and teaching: how a classifier of {spoken.outputs} on chest films is trained and judged",
            "By": "people who read the scores with their intervals and their protocol",
            "Clinical role": AUTHORS,
        }
    )


def _out_of_scope() -> list[str]:
    return [
        "- Diagnosis, triage or any decision about a patient.",
        "- Lateral films, CT slices, photographs of a monitor, and findings other than the classes above.",
        "- Patients, devices or hospitals other than those of the training films, until it was evaluated there "
        "(`plainfilm evaluate RUN DATA`).",
    ]


def _factors(run: RunFolder) -> list[str]:
    names = sorted({row["grouping"] for row in run.probes.get("subgroups", [])})
    how = verdict.probing(run)
    if run.of_findings:
        names = sorted({row["column"] for row in run.metrics.get("by", {}).get("rows", [])})
        how = command_line("evaluate", run.folder, "--by", "COLUMN")
    shown = ", ".join(names) if names else f"{NOT_DONE} (`{how}`)"
    return _points(
        {
            "Subgroups that were scored": shown,
            "Age, sex, device, hospital": f"not recorded in the run; {AUTHORS}",
        }
    )


def _metrics(run: RunFolder, spoken: Spoken) -> list[str]:
    chosen = f"In use: {spoken.decided}; {spoken.fitted}." if run.of_findings else practice.chosen(run)
    return [
        f"Scores of the {part_in_words(run.part)} part, each with a 95 % interval: Wilson's for rates, DeLong's for "
        "the AUROC, the fit itself for slope and intercept of calibration, bounds recovered from the rates for their "
        f"means; films of a patient err together. {chosen}",
    ]


def _evaluation(run: RunFolder, spoken: Spoken) -> list[str]:
    return [
        *_points(
            {
                "Protocol": f"**{run.config['protocol']}**",
                "Films": f"{count(spoken.films, 'film')} ({spoken.scored})",
                "Patients in more than one part": str(run.config["crossing"]["patients"]),
            }
        ),
        *[f"- {line}" for line in verdict.standing(run)],
    ]


def _training(run: RunFolder, spoken: Spoken) -> list[str]:
    config = run.config
    films = count(sum(config["films"].values()), "film")
    parts = ", ".join(f"{part_in_words(part)} {n:,}" for part, n in config["films"].items() if n)
    return _points(
        {
            "Data": f"{verdict.data_name(run)}, {films} ({spoken.counted}); {parts}",
            "Data hash": f"`{config['data_hash']}`",
            "Left out as unreadable": count(len(run.quarantine), "film"),
            "Provenance, consent, how the labels were made": AUTHORS,
        }
    )


def _results(run: RunFolder, spoken: Spoken) -> list[str]:
    rows = [] if run.of_findings else [[title, score_in_words(run, name)] for name, title in RESULTS.items()]
    parts = [*markdown_table(["Score", "Value (95 % interval)"], rows), ""] if rows else []
    for table in spoken.tables:
        parts += _as_markdown(table)
    worst = [row for row in (run.probes.get("worst_subgroup"), run.probes.get("worst_corruption")) if row]
    return [*parts, *[f"- {row['sentence']}" for row in worst], *_shortcut_lines(run)]


def _shortcut_lines(run: RunFolder) -> list[str]:
    return [f"- {row['name']}: AUROC {with_interval(interval(row['auroc']))}" for row in run.probes.get("probes", [])]


def _caveats(spoken: Spoken) -> list[str]:
    red = [f"- **Red line:** {line}" for line in spoken.red_lines]
    return [*red, *[f"- {line}" for line in spoken.limits]]


def _points(said: dict[str, str]) -> list[str]:
    return [f"- {name}: {text}" for name, text in said.items()]


def _as_markdown(table: Table) -> Sequence[str]:
    return [f"{table.caption}", "", *markdown_table(table.header, table.rows), ""]
