"""claim-2024.md: the checklist for artificial intelligence in medical imaging, filled from a run as far as it knows.

The 44 items, in our own words, are those of Tejani et al., Radiology: Artificial Intelligence 2024,
doi 10.1148/ryai.240300. What a run can't know is left to the authors, and what could have been done is "not done".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plainfilm.config import DISCLAIMER
from plainfilm.errors import command_line
from plainfilm.report import verdict
from plainfilm.report.card import AUTHORS
from plainfilm.report.provenance import pairs
from plainfilm.report.spoken import Spoken, spoken
from plainfilm.report.words import (
    NOT_DONE,
    count,
    duration,
    markdown_table,
    part_in_words,
)
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import write_text

ITEMS = {
    "Title and abstract": (
        "The title or abstract says that it is a study of AI, and of which kind",
        "Summary of design, methods, results and conclusions",
    ),
    "Introduction": (
        "Background, and what the AI is meant to be used for",
        "Aims and hypotheses",
    ),
    "Study design": (
        "Prospective or retrospective",
        "Goal of the study (a new model, a feasibility study, a comparison, …)",
    ),
    "Data": (
        "Sources of the data",
        "Who and which films were included and excluded",
        "Preprocessing of the films",
        "Which part of the data was used, and how it was chosen",
        "How patients' identities were removed",
        "What was done about missing data",
        "How the films were acquired",
    ),
    "Reference standard": (
        "What counts as the truth, and how it was obtained",
        "Why this reference standard",
        "Who set the labels, and their qualification",
        "How the test films were labelled",
        "How far readers agree with each other and with themselves",
    ),
    "Partitions": (
        "How films came into training, validation and test",
        "At which level the parts are apart (film, patient, hospital)",
    ),
    "Testing data": ("How many films were wanted, and why so many",),
    "Model": (
        "The model, with input, output and all layers",
        "Software, with versions",
        "How the weights began",
    ),
    "Training": (
        "How it was trained: augmentation, hyper-parameters, number of models",
        "How the final model was chosen",
        "Combining several models",
    ),
    "Evaluation": (
        "Scores used",
        "How uncertainty and significance were measured",
        "Robustness or sensitivity analysis",
        "Explainability",
        "Scores on internal data",
        "Scores on external data",
        "Registration of the trial",
    ),
    "Results: data": (
        "Numbers of patients and films, included and excluded, with a flow chart",
        "Patients' characteristics in each part",
    ),
    "Results: performance": (
        "Scores with their uncertainty",
        "Diagnostic performance and its precision",
        "What the wrongly classified films have in common",
    ),
    "Discussion": (
        "Limitations",
        "What it means for practice",
    ),
    "Other": (
        "Where the full protocol stands",
        "Where software, model and data can be had",
        "Funding",
    ),
}

NO_LABEL = "a film without a label can't enter"


def write_claim(run: RunFolder) -> Path:
    """Write claim-2024.md into the folder of a finished run; return its path.

    Each item is answered from the run, or "not done", or "for the authors to say". InputError when a file is missing
    that every finished run has.
    """
    known = answers(run)
    lines = [
        f"# CLAIM 2024: {run.title} on {verdict.data_name(run)}",
        "",
        "The 44 items of the checklist for artificial intelligence in medical imaging (Tejani et al. 2024, "
        "doi 10.1148/ryai.240300) in our own words, filled from the run's files. "
        f"{_counted(known)} This is a draft for a manuscript, and no claim that one follows the checklist.",
        "",
    ]
    number = 0
    for section, items in ITEMS.items():
        rows = [[f"{i}", item, known.get(i, f"*{AUTHORS}*")] for i, item in enumerate(items, number + 1)]
        number += len(items)
        lines += [f"## {section}", "", *markdown_table(["Item", "What is asked", "This run"], rows), ""]
    write_text(run.folder / folders.CLAIM, "\n".join([*lines, DISCLAIMER, ""]))
    return run.folder / folders.CLAIM


def _counted(known: dict[int, str]) -> str:
    total, gaps = sum(map(len, ITEMS.values())), sum(NOT_DONE in text for text in known.values())
    return f"{len(known) - gaps} items are answered, {gaps} are not done, {total - len(known)} are {AUTHORS}."


def answers(run: RunFolder) -> dict[int, str]:
    """Return what the run's files say to each item, by its number; items that only authors can answer are missing."""
    said = spoken(run)
    return {**_about_data(run, said), **_about_model(run, said), **_about_results(run, said)}


def _about_data(run: RunFolder, spoken: Spoken) -> dict[int, str]:
    config, films = run.config, run.config["films"]
    parts = pairs({part_in_words(part): n for part, n in films.items() if n})
    apart = config["crossing"]
    return {
        7: f"{verdict.data_name(run)}, {sum(films.values()):,} films, data hash {config['data_hash'][:16]}; "
        f"origin and consent: {AUTHORS}",
        9: pairs(config["preprocess"]),
        12: f"{count(len(run.quarantine), 'film')} could not be read and left out, with the reason (quarantine.csv); "
        + ("an unknown cell of a finding enters neither loss nor score" if run.of_findings else NO_LABEL),
        19: f"{config['protocol']}; {parts}; seed {(config.get('divided') or config)['seed']}",
        20: _apart(apart["patients"], apart["contents"]),
        21: f"{count(spoken.films, 'scored film')}; no number was calculated beforehand: {NOT_DONE}",
        35: f"{parts} films; {count(len(run.quarantine), 'film')} excluded as unreadable; "
        f"{spoken.patients:,} patients in the {part_in_words(run.part)} part; flow chart: {AUTHORS}",
        36: f"{'findings' if run.of_findings else 'classes'}: {spoken.counted}; age and sex: {AUTHORS}",
    }


def _apart(patients: int, contents: int) -> str:
    if not patients and not contents:
        return "patient: no patient (as far as they are known) and no copy of a film is in two parts"
    return (
        f"film: {count(patients, 'patient')} and {count(contents, 'film')} with an exact copy are in more than one part"
    )


def _about_model(run: RunFolder, spoken: Spoken) -> dict[int, str]:
    config, model = run.config, run.model
    settings = config["settings"]
    chosen = f"{_strengths(model['search'])} by cross-validation in the training part" if model["search"] else ""
    epoch = "the best epoch on validation films" if settings.get("patience") else "the last epoch"
    trained = ("epochs", "batch", "learning_rate", "decay", "class_weights", "augment")
    said = {
        1: f"deep learning: {run.full_title}",
        22: f"{run.title}: {len(model['layers'])} layers, {model['parameters']:,} parameters, input "
        f"{'×'.join(map(str, model['input']))}, output {spoken.outputs} (report.html, Network)",
        23: f"plainfilm {config['plainfilm']}, {pairs(config['versions'])}, Python {config['python']}",
        24: str(model["weights"] or f"Glorot uniform, zero biases, seed {config['seed']}"),
        25: chosen or pairs({name: settings[name] for name in trained if settings.get(name, "") != ""}),
        26: f"{chosen or epoch}; {spoken.decided}; {spoken.fitted}",
        27: "none: one model",
    }
    if members := config.get("members"):
        said[24] = f"the weights of {count(len(members), 'trained run')}"
        said[25] = "nothing is trained; see the members' own checklists"
        said[26] = f"{spoken.decided}; {spoken.fitted}"
        said[27] = f"mean of the probabilities of {', '.join(members)}, each over {count(settings['views'], 'view')}"
    return said


def _strengths(search: Any) -> str:
    """Return the C of a logistic regression, or of each finding's."""
    of = {"C": search["C"]} if "C" in search else {f"C of {name}": found["C"] for name, found in search.items()}
    return ", ".join(f"{name} = {value:g}" for name, value in of.items())


def _about_results(run: RunFolder, spoken: Spoken) -> dict[int, str]:
    probed = f"{NOT_DONE} ({'for several findings' if run.of_findings else verdict.probing(run)})"
    corruption = run.probes.get("worst_corruption")
    stamp = f"{part_in_words(run.part)} part, {run.config['protocol']}"
    return {
        28: spoken.measures,
        29: "95 % intervals, films of a patient erring together: Wilson (rates), DeLong (AUROC), recovered variances "
        "(means of rates, Matthews' coefficient), logit (average precision), the fit's own (calibration)",
        30: corruption["sentence"] if corruption else probed,
        31: f"{NOT_DONE} in this run ({command_line('explain', run.folder, 'FILMS')})",
        32: f"{stamp}: {spoken.headline}",
        33: spoken.elsewhere or f"{NOT_DONE} in this run ({command_line('evaluate', run.folder, 'OTHER')})",
        37: f"{stamp}: {spoken.headline}",
        38: spoken.rates,
        39: f"{spoken.wrong}; {worst(run)}; what they have in common: {AUTHORS}",
        40: " ".join(spoken.limits),
        42: f"config.json and report.html of the run; command: plainfilm {run.config['command']}; "
        f"{duration(run.seconds)} on {run.config['device']}",
        43: f"plainfilm is open source (Apache-2.0); the model (model.h5) and the films: {AUTHORS}",
    }


def worst(run: RunFolder) -> str:
    """Return the worst subgroup in a sentence, or that subgroups were not looked at."""
    found = run.metrics.get("by", {}).get("worst") if run.of_findings else run.probes.get("worst_subgroup")
    return str(found["sentence"]).rstrip(".") if found else f"subgroups {NOT_DONE}"
