"""methods.md: the paragraphs that an author would write of a run: data, split, model, training, evaluation, software.

Every figure is read from the run's files; what no file can know is left open in square brackets.
"""

from __future__ import annotations

from pathlib import Path

from plainfilm.config import DISCLAIMER
from plainfilm.evaluation.digits import edge
from plainfilm.report import practice, verdict
from plainfilm.report.claim import answers
from plainfilm.report.provenance import pairs
from plainfilm.report.spoken import Spoken, spoken
from plainfilm.report.words import count, part_in_words
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import write_text


def write_methods(run: RunFolder) -> Path:
    """Write methods.md into the folder of a finished run; return its path.

    InputError when a file is missing that every finished run has.
    """
    known, said = answers(run), spoken(run)
    sections = {
        "Data": _data(run, said),
        "Model and training": _model(known),
        "Evaluation": _evaluation(run, known, said),
        "Software": f"Analyses used {known[23]}. The seed was {run.config['seed']}.",
    }
    lines = [f"# Methods: {run.full_title} on {verdict.data_name(run)}", ""]
    for name, text in sections.items():
        lines += [f"**{name}.** {text}", ""]
    write_text(run.folder / folders.METHODS, "\n".join([*lines, DISCLAIMER, ""]))
    return run.folder / folders.METHODS


def _data(run: RunFolder, spoken: Spoken) -> str:
    config, parts = run.config, run.config["films"]
    divided = pairs({part_in_words(part): films for part, films in parts.items() if films})
    return (
        f"We used {sum(parts.values()):,} films of {verdict.data_name(run)} ({spoken.counted}) "
        f"[origin, dates, consent, reference standard]. Unreadable and left out: "
        f"{count(len(run.quarantine), 'film')}. Films were divided as follows ({config['protocol']}): {divided}. "
        f"{count(config['crossing']['patients'], 'patient')} had films in more than one part. "
        f"Preprocessing: {pairs(config['preprocess'])}."
    )


def _model(known: dict[int, str]) -> str:
    return (
        f"The model was {known[22]}. Its weights began as: {known[24]}. Training: {known[25]}. "
        f"The final state was {known[26]}."
    )


def _evaluation(run: RunFolder, known: dict[int, str], spoken: Spoken) -> str:
    people = f" of {spoken.patients:,} patients" if spoken.patients < spoken.films else ""
    called = f"A film was called {run.positive}" if not run.of_findings else "Each finding was called"
    how = (
        f"from a probability of {edge(run.threshold)} on ({practice.rule(run)})"
        if not run.of_findings
        else "by its own threshold"
    )
    return (
        f"The model was scored on {spoken.films:,} {part_in_words(run.part)} films{people}. {called} {how}; "
        f"{spoken.fitted}. Intervals are {known[29]}. Results: {spoken.headline}. Other data sets: {known[33]}."
    )
