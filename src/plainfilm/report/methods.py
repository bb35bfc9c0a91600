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
from plainfilm.report.words import count, fitted_in_words, part_in_words, score_in_words
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import write_text


def write_methods(run: RunFolder) -> Path:
    """Write methods.md into the folder of a finished run; return its path.

    InputError when a file is missing that every finished run has.
    """
    known = answers(run)
    sections = {
        "Data": _data(run),
        "Model and training": _model(run, known),
        "Evaluation": _evaluation(run, known),
        "Software": f"Analyses used {known[23]}. The seed was {run.config['seed']}.",
    }
    lines = [f"# Methods: {run.full_title} on {verdict.data_name(run)}", ""]
    for name, text in sections.items():
        lines += [f"**{name}.** {text}", ""]
    write_text(run.folder / folders.METHODS, "\n".join([*lines, DISCLAIMER, ""]))
    return run.folder / folders.METHODS


def _data(run: RunFolder) -> str:
    config, parts = run.config, run.config["films"]
    divided = pairs({part_in_words(part): films for part, films in parts.items() if films})
    return (
        f"We used {sum(parts.values()):,} films of {verdict.data_name(run)} ({pairs(config['classes'])}) "
        f"[origin, dates, consent, reference standard]. Unreadable and left out: "
        f"{count(len(run.quarantine), 'film')}. Films were divided as follows ({config['protocol']}): {divided}. "
        f"{count(config['crossing']['patients'], 'patient')} had films in more than one part. "
        f"Preprocessing: {pairs(config['preprocess'])}."
    )


def _model(run: RunFolder, known: dict[int, str]) -> str:
    return (
        f"The model was {known[22]}. Its weights began as: {known[24]}. Training: {known[25]}. "
        f"The final state was {known[26]}."
    )


def _evaluation(run: RunFolder, known: dict[int, str]) -> str:
    patients = len(set(run.scored.patients.tolist()))
    people = f" of {patients:,} patients" if patients < len(run.scored) else ""
    scores = ", ".join(f"{title} {score_in_words(run, name)}" for name, title in verdict.HEADLINE.items())
    return (
        f"The model was scored on {len(run.scored):,} {part_in_words(run.part)} films{people}. A film was called "
        f"{run.positive} from a probability of {edge(run.threshold)} on ({practice.rule(run)}); "
        f"{fitted_in_words(run)}. Intervals are {known[29]}. Results: {scores}. Other data sets: {known[33]}."
    )
