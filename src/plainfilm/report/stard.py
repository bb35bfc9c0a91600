"""stard-ai.md: the checklist for studies of diagnostic accuracy with AI, filled from a run as far as it knows.

The 40 items with their subitems, 48 in all, in our own words and numbered as there, are those of Sounderajah et al.,
Nature Medicine 2025;31:3283-3289, doi 10.1038/s41591-025-03953-8, table 2. What the run knows is asked of
``claim.answers``, once for all checklists.
"""

from __future__ import annotations

from pathlib import Path

from plainfilm.report.card import AUTHORS
from plainfilm.report.checklists import Checklist
from plainfilm.report.claim import answers as claim_answers
from plainfilm.report.claim import worst
from plainfilm.report.words import count
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders

ITEMS = {
    "Title and abstract": {
        "1": "Title or abstract name a study of diagnostic accuracy with AI, and a measure of accuracy",
        "2": "Structured abstract (STARD for Abstracts)",
    },
    "Introduction": {
        "3": "Background, intended use, whether the test is new, and how it fits into the workflow",
        "4": "Objectives and hypotheses",
    },
    "Methods: design and ethics": {
        "5": "Whether data was collected before or after the study was planned",
        "6": "Approval of an ethics committee, or why none was needed",
    },
    "Methods: participants": {
        "7": "Inclusion and exclusion, in their order, of participants and of data",
        "8": "On what grounds participants were found (symptoms, earlier tests, a registry)",
        "9": "Where and when they were found",
        "10": "Consecutive, random or convenience series",
    },
    "Methods: data set": {
        "11": "Source of the data: routine care, collected for the study, or an open repository",
        "12": "Who annotated it, with which experience, and how",
        "13": "Devices that captured the data, and the software that the test was built with",
        "14": "How films were acquired, and their preprocessing",
    },
    "Methods: tests": {
        "15a": "The index test, so that others can repeat it",
        "15b": "How it was developed: training, validation, testing, with sample sizes",
        "15c": "Its cut-offs, why these, and whether they were set beforehand",
        "15d": "Who shall use it, and the expertise they need",
        "16a": "The reference standard, so that others can repeat it",
        "16b": "Why this reference standard",
        "16c": "Its cut-offs, why these, and whether they were set beforehand",
        "17a": "Whether readers of the index test knew the reference standard or clinical facts",
        "17b": "Whether those who set the reference standard knew the index test or clinical facts",
    },
    "Methods: analysis": {
        "18": "How accuracy was estimated and compared",
        "19": "What was done with indeterminate results",
        "20": "What was done about missing data",
        "21": "Analyses of variability, and which were planned beforehand",
        "22": "Intended sample size, and how it was found",
        "23": "Analyses of errors, of bias and of fairness",
    },
    "Results: participants and data": {
        "24": "Flow of participants, as a diagram",
        "25": "Characteristics of the training, validation and test sets",
        "26a": "Severity of the disease in those who have it",
        "26b": "Other diagnoses in those who have not",
        "27": "Time and treatment between index test and reference standard",
        "28": "Whether the data sets have the disease as often as the intended population",
        "29": "How films from elsewhere differ from those of training, validation and test",
    },
    "Results: tests": {
        "30": "Table of the test's results by the reference standard",
        "31": "Accuracy with its precision (95 % intervals)",
        "32": "Adverse events",
    },
    "Discussion": {
        "33": "Limitations: bias, statistical uncertainty, generalisability",
        "34": "What it means for practice",
        "35": "Ethical considerations, and fairness",
    },
    "Other information": {
        "36": "Registration",
        "37": "Protocol",
        "38": "Funding, and the role of funders",
        "39": "Commercial interests",
        "40a": "Availability of data and code",
        "40b": "Whether outputs are stored, and can be audited",
    },
}
STARD = Checklist(
    "STARD-AI",
    "the checklist for studies of diagnostic accuracy with AI (Sounderajah et al. 2025, doi "
    "10.1038/s41591-025-03953-8)",
    ITEMS,
    ("7", "11", "12", "15b", "15c", "16a", "17b", "20", "22", "24", "25", "30", "31"),
    folders.STARD,
)
OF_CLAIM = {  # STARD-AI's item -> CLAIM's, where both ask the same
    "11": 7, "14": 9, "15a": 22, "18": 29, "20": 12, "22": 21, "24": 35, "25": 36, "29": 33, "33": 40,
}  # fmt: skip


def write_stard(run: RunFolder) -> Path:
    """Write stard-ai.md into the folder of a finished run; return its path.

    Critical items that the run can't answer stand first. InputError when a file is missing that every finished run has.
    """
    return STARD.write(run, answers(run))


def answers(run: RunFolder) -> dict[str, str]:
    """Return what the run's files say to each item, by its number; items that only authors can answer are missing."""
    ours = claim_answers(run)
    truth, called = run.scored.truth, run.scored.called
    cells = {
        "true positive": truth & called,
        "false positive": ~truth & called,
        "false negative": truth & ~called,
        "true negative": ~truth & ~called,
    }
    refer = run.decision.refer
    return {number: ours[item] for number, item in OF_CLAIM.items()} | {
        "1": f"{ours[1]}; accuracy: {ours[37]}",
        "7": f"data: {ours[12]}; participants: {AUTHORS}",
        "13": f"software: {ours[23]}; devices: {AUTHORS}",
        "15b": f"{ours[19]}; {ours[25]}; {ours[26]}",
        "15c": f"{ours[26]}, before the {run.part} part was scored",
        "17a": "the model sees the film's pixels, and neither labels nor clinical facts",
        "19": (f"probabilities from {refer.words} go to a reader; " if refer else "no refer band; ")
        + "scores here are of all films, those included",
        "21": worst(run),
        "23": f"{worst(run)}; {ours[39]}",
        "28": f"{run.positive} in {truth.mean():.1%} of the {run.part} films; in the intended population: {AUTHORS}",
        "30": ", ".join(count(int(films.sum()), name) for name, films in cells.items()).replace(".0 %", " %"),
        "31": f"{ours[37]}; {ours[38]}",
        "35": f"{worst(run)}; ethical considerations: {AUTHORS}",
        "40a": ours[43],
        "40b": "predictions.csv has the probability of every film; SHA256SUMS shows a file that was changed",
    }
