"""tripod-ai.md: the checklist for prediction models, filled from a run as far as it knows, its critical gaps first.

The 52 items and subitems, in our own words and numbered as there, are those of Collins et al., BMJ 2024;385:e078378,
doi 10.1136/bmj-2023-078378. What the run knows is asked of ``claim.answers``, once for both checklists.
"""

from __future__ import annotations

from pathlib import Path

from plainfilm.report.checklists import Checklist
from plainfilm.report.claim import answers as claim_answers
from plainfilm.report.claim import worst
from plainfilm.report.provenance import pairs
from plainfilm.report.spoken import Spoken, spoken
from plainfilm.report.words import part_in_words
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders

ITEMS = {
    "Title and abstract": {
        "1": "The title says whether a model is developed or evaluated, for whom, and for which outcome",
        "2": "Structured abstract (TRIPOD+AI for Abstracts)",
    },
    "Introduction": {
        "3a": "Healthcare context and why the model is needed",
        "3b": "Target population, purpose, and who will use it",
        "3c": "Known health inequalities between groups",
        "4": "Objectives: development, evaluation, or both",
    },
    "Methods": {
        "5a": "Sources of data for development and evaluation",
        "5b": "Dates of the data",
        "6a": "Setting: number and location of centres",
        "6b": "Eligibility of participants",
        "6c": "Treatments received, and how they were handled",
        "7": "Preparation of the data and checks of its quality",
        "8a": "Outcome: definition, time, and how it was assessed",
        "8b": "Who assessed it, with which qualification",
        "8c": "Whether the assessment was blinded",
        "9a": "Choice of predictors",
        "9b": "Definition of predictors",
        "9c": "Predictors that need a judgement: by whom",
        "10": "How the study size was arrived at",
        "11": "Missing data",
        "12a": "How the data was used, and divided",
        "12b": "How predictors were handled",
        "12c": "Type of model, its building steps, tuning and internal validation",
        "12d": "How differences between clusters (hospitals, countries) were handled",
        "12e": "Measures and plots of performance",
        "12f": "Updating of the model, such as recalibration",
        "12g": "How predictions for the evaluation were calculated",
        "13": "Class imbalance: what was done, and recalibration after it",
        "14": "What was done for fairness",
        "15": "Output of the model, and how thresholds were chosen",
        "16": "Differences between development and evaluation data",
        "17": "Ethics approval and consent",
    },
    "Open science": {
        "18a": "Funding",
        "18b": "Conflicts of interest",
        "18c": "Protocol",
        "18d": "Registration",
        "18e": "Data sharing",
        "18f": "Code sharing",
        "19": "Involvement of patients and the public",
    },
    "Results": {
        "20a": "Flow of participants, with and without the outcome",
        "20b": "Characteristics of participants in each data set",
        "20c": "Comparison of important predictors between development and evaluation data",
        "21": "Participants and outcome events in each analysis",
        "22": "Full model, so that others can use it",
        "23a": "Performance with confidence intervals, overall and in key subgroups",
        "23b": "Differences of performance between clusters",
        "24": "Results of updating the model",
    },
    "Discussion": {
        "25": "Interpretation, with fairness",
        "26": "Limitations",
        "27a": "What happens with poor or missing input",
        "27b": "What users must do, and the expertise they need",
        "27c": "Next steps",
    },
}
CRITICAL = ("5a", "6b", "8a", "10", "11", "12a", "12e", "17", "20a", "21", "23a")  # without which a reader can't judge
TRIPOD = Checklist(
    "TRIPOD+AI",
    "the checklist for prediction models (Collins et al. 2024, doi 10.1136/bmj-2023-078378)",
    ITEMS,
    CRITICAL,
    folders.TRIPOD,
)
OF_CLAIM = {  # TRIPOD+AI's item -> CLAIM's, where both ask the same
    "5a": 7, "7": 9, "10": 21, "11": 12, "12a": 19, "12b": 9, "12c": 25, "18f": 43, "20a": 35, "22": 22, "26": 40,
}  # fmt: skip


def write_tripod(run: RunFolder) -> Path:
    """Write tripod-ai.md into the folder of a finished run; return its path.

    Critical items that the run can't answer stand first. InputError when a file is missing that every finished run has.
    """
    return TRIPOD.write(run, answers(run))


def answers(run: RunFolder) -> dict[str, str]:
    """Return what the run's files say to each item, by its number; items that only authors can answer are missing."""
    ours, said = claim_answers(run), spoken(run)
    known = {number: ours[item] for number, item in OF_CLAIM.items()}
    return known | _of_methods(run, ours, said) | _of_results(run, ours, said)


def _of_methods(run: RunFolder, ours: dict[int, str], spoken: Spoken) -> dict[str, str]:
    weights = run.config["class_weights"]
    weighed = run.config["settings"].get("class_weights", "") not in ("", "none")
    used = pairs(weights) if weighed else "none used"
    return {
        "12d": f"no model of clusters; {worst(run)}",
        "12e": f"{ours[28]}; intervals: {ours[29]}; ROC, precision-recall, reliability and decision curves",
        "12f": ours[26],
        "12g": f"by the trained model on the {part_in_words(run.part)} part, {run.config['protocol']}",
        "13": f"class weights: {used}; probabilities: {spoken.fitted}",
        "14": f"no step in training; {worst(run)}",
        "15": f"a probability each of {spoken.outputs}; {ours[26]}",
        "16": ours[33],
    }


def _of_results(run: RunFolder, ours: dict[int, str], spoken: Spoken) -> dict[str, str]:
    return {
        "21": spoken.flow,
        "23a": f"{ours[37]}; {ours[38]}; {worst(run)}",
        "23b": worst(run),
        "24": ours[26],
        "27a": "films that can't be read are left out with a reason; an input gate refers films unlike the training's"
        + (f"; probabilities from {spoken.refer} go to a reader" if spoken.refer else ""),
    }
