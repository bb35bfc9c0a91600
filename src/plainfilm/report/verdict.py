"""The verdict box and the limits: what a run's scores say, what must be read before them, what they don't say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plainfilm.audit.advice import COVER_THEM
from plainfilm.data.split import KNOWN
from plainfilm.errors import command_line
from plainfilm.evaluation.chance import chance_lines
from plainfilm.evaluation.compare import compare
from plainfilm.evaluation.digits import edge
from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.tables import confusion, named
from plainfilm.report import external, findings
from plainfilm.report.findings import FEW_FILMS
from plainfilm.report.reference import SCORES, TABLE_I, why_not_comparable
from plainfilm.report.words import (
    NOT_DONE,
    UNDEFINED,
    count,
    judged,
    log_odds_moved,
    note_on,
    number,
    part_in_words,
    score_in_words,
)
from plainfilm.runs.findings import scored_part
from plainfilm.runs.folder import RunFolder, interval

FAR = 5.0  # odds moved by more than a factor of 148: class weights and another prevalence ask for far less
SATURATED = 1e-3  # a threshold nearer to 0 or 1 shows no digits, and no calibration
HEADLINE = named("tile")
NOW = "as the run's folder has them now"


def probing(run: RunFolder) -> str:
    """Return the command that probes the run."""
    return command_line("evaluate", run.folder, "--probes")


class Cell(NamedTuple):
    """A score as it is to read, and what the paper has in its place."""

    name: str
    value: str
    bounds: str
    paper: str = ""
    word: str = ""


def cell(run: RunFolder, score: str, title: str) -> Cell:
    """Return a score of the scored part with its interval, and the paper's value and verdict where there are any."""
    found, published = run.score(score), TABLE_I.get(run.name, {}).get(score)
    value = number(found.value, UNDEFINED if score in run.metrics.get(run.part, {}) else NOT_DONE)
    return Cell(title, value, bounds(found), f"{published:.2f}" if published else "", judged(run, score))


def bounds(found: Interval) -> str:
    """Return the bounds of an interval as a tile has them; empty where there are none."""
    return "" if np.isnan(found.low) else f"{found.low:.3f}–{found.high:.3f}"


def data_name(run: RunFolder) -> str:
    """Return the data as it was named, without the folders above; a folder named train or test needs its own."""
    parts = Path(run.config["data"]).parts
    return "/".join(parts[-2:] if parts[-1].lower() in ("train", "val", "test") else parts[-1:])


def lead(run: RunFolder) -> str:
    """Return how many films there are, of each class and in each part."""
    classes = ", ".join(f"{name} {n:,}" for name, n in run.config["classes"].items())
    parts = ", ".join(f"{part_in_words(part)} {n:,}" for part, n in run.config["films"].items() if n)
    return f"{count(sum(run.config['classes'].values()), 'film')}{of_patients(run.predictions)} ({classes}); {parts}"


def of_patients(films: Predictions) -> str:
    """Return of how many patients the films are, where that is known of nearly all."""
    unknown = int((films.patients == np.array(films.paths)).sum())
    if unknown > (1 - KNOWN) * len(films):
        return ", their patients not known"
    return f" of {count(len(set(films.patients.tolist())), 'patient')}"


def what_was_scored(run: RunFolder) -> str:
    """Return which films were scored, and what was decided on them."""
    positive = run.positive
    own = f"each film at a threshold found on other patients' films ({edge(run.threshold)} is in use)"
    decided = f"positive: {positive}, {own if run.cross_fitted else f'from a probability of {edge(run.threshold)} on'}"
    if not run.two:
        decided = f"the likeliest class decides; sensitivity, specificity, AUROC: {positive} against the rest"
    scored = f"Scored on the {part_in_words(run.part)} part: {count(len(run.scored), 'film')}"
    return f"{scored}{of_patients(run.scored)}; {decided}. 95 % intervals."


def in_plain_words(run: RunFolder) -> str:
    """Return the decisions on the scored films as counts; empty for more than two classes or films of one class."""
    counts, k = confusion(run.scored), run.decision.column
    true, others = int(counts[k].sum()), int(counts.sum() - counts[k].sum())
    if not run.two or not true or not others:
        return ""
    found, alarms = int(counts[k, k]), int(counts[:, k].sum() - counts[k, k])
    return (
        f"Of {count(true, run.positive + ' film')} {found:,} {_was(found)} found and {true - found:,} missed; "
        f"of {count(others, 'other film')} {alarms:,} {_was(alarms)} called {run.positive}."
    )


def _was(n: int) -> str:
    return "was" if n == 1 else "were"


def standing(run: RunFolder) -> list[str]:
    """Return the worst subgroup, what may be left elsewhere, how often the test part was opened: a sentence each."""
    left, opened = run.probes.get("elsewhere"), run.metrics.get("test_openings")
    last = [_opened(opened)] if run.part == "test" else []
    if run.of_findings:
        return [left["sentence"], *last] if left else last
    worst = run.probes.get("worst_subgroup")
    lines = [worst["sentence"] if worst else "No subgroup has enough films to be called the worst."]
    if "subgroups" not in run.probes:
        lines = [f"Worst subgroup, robustness, shortcuts: {NOT_DONE} ({probing(run)})."]
    elif "robustness" not in run.probes:
        lines.append(f"Robustness, shortcuts: {NOT_DONE} ({probing(run)}).")
    if left:
        lines.append(left["sentence"])
    return [*lines, *not_to_be_read_as_risks(run), *last]


def _opened(times: int | None) -> str:
    if times is None:
        return "How often the test part has been opened is not recorded."
    return f"The test part has been opened {'once' if times == 1 else f'{times} times'}."


def summary(runs: list[RunFolder]) -> str:
    """Return how the runs stand to the paper's Table I, or why there is no verdict."""
    why = why_not_comparable(runs[0].config)
    if why:
        return f"No verdict against the paper's Table I: {why}."
    said = []
    for run in runs:
        words = [word for word in (judged(run, score) for score in SCORES) if word]
        counted = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        said += [f"{run.title}: did not learn" if run.one_class else f"{run.title}: {counted}"] if words else []
    return (
        f"The paper's Table I, {len(SCORES)} figures a model. {'; '.join(said)}."
        if said
        else ("The paper has no such model, so there is no verdict against its Table I.")
    )


def red_lines(runs: list[RunFolder], compared: bool = True, pooled: bool = False) -> list[str]:
    """Return what must be read before any score, each line once; ``compared``: are the runs set against each other?
    ``pooled``: are their films scored together?"""
    lines = [f"{run.title}: {line}" for run in runs for line in chance_lines(run.metrics)]
    lines += [f"{run.title} {note_on(run)}. Its decisions are those of a constant." for run in runs if note_on(run)]
    lines += [
        f"{run.title}: the scores of the {part_in_words(run.part)} part are {NOT_DONE} (metrics.json lacks them)."
        for run in runs
        if not run.metrics.get(run.part)
    ]
    if compared and len({run.config["data_hash"] for run in runs}) > 1:
        lines.append("The models were not trained and scored on the same films; their scores can't be compared.")
    for run in runs:
        lines += [*_lines_of_openings(run), *_lines_of_data(run, FEW_FILMS if not pooled else 0)]
        if run.part != "test" and (chosen := _chosen_on_the_scored(run)):
            lines.append(f"{run.title}: {chosen} chosen on the very films that are scored, which flatters the scores.")
        if run.two and min(run.threshold, 1 - run.threshold) < SATURATED:
            lines.append(
                f"{run.title}: the threshold in use is {edge(run.threshold)}, so its probabilities are nearly all 0 or "
                "1 and mean nothing but their order; train longer, or with a lower learning rate."
            )
        if run.two and abs(moved := log_odds_moved(run)) > FAR:
            lines.append(
                f"{run.title}: as trained it gave nearly every film the same label, until its log-odds were moved by "
                f"{moved:+.2f} on validation films; train longer, or with a lower learning rate."
            )
        whose = f"{run.title}: " if len(runs) > 1 else ""
        lines += [whose + line for line in run.probes.get("red_lines", [])] + lines_of_audit(run)
        lines += [whose + line for line in external.red_lines(run)]
    return list(dict.fromkeys(lines))


def as_it_stands(place: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict that a model file of ``place`` holds (``told``) with the red lines that the run has now, where
    ``place`` is its finished run's folder; "red_lines_of" says of when they are."""
    run = RunFolder(place)
    if not (place.is_dir() and run.finished):
        return told
    lines = findings.red_lines(run, scored_part(run)) if run.of_findings else red_lines([run])
    return {**told, "red_lines": lines, "red_lines_of": NOW}


def lines_of_audit(run: RunFolder) -> list[str]:
    """Return the red lines of the audit of a run's films; one that advises to cover the borders says what that did,
    where it was done."""
    lines = [str(line) for line in run.audit.get("red_lines", [])]
    covered = next((row for row in run.probes.get("probes", []) if row["name"] == "borders covered"), None)
    if not covered or not covered["change"] or covered["change"]["value"] is None:
        return lines
    change = interval(covered["change"])
    leans = any("leans on borders" in line for line in run.probes.get("red_lines", []))
    told = (
        "This model leans on them, see above."
        if leans
        else f"Covering them changes this model's AUROC by {change.value:+.3f} (95 % interval {change.low:+.3f} to "
        f"{change.high:+.3f}): it is not shown to lean on them."
    )
    return [line.replace(COVER_THEM, told) for line in lines]


def _chosen_on_the_scored(run: RunFolder) -> str:
    """Return what was fitted to the scored films where there is no test part; empty for nothing."""
    threshold = "validation" in str(run.model.get("threshold_rule")) and "can't" not in run.model["threshold_rule"]
    epoch = bool(run.history) and run.config["settings"].get("patience", 0) > 0
    return " and ".join(["the threshold was"] * threshold + ["the epoch was"] * epoch)


def _lines_of_data(run: RunFolder, few: int) -> list[str]:
    patients, contents = run.config["crossing"]["patients"], run.config["crossing"]["contents"]
    pictures = run.config["crossing"].get("pictures", 0)  # runs of earlier versions did not look
    bad, scored = len(run.quarantine), len(run.scored)
    unknown = int((run.predictions.patients == np.array(run.predictions.paths)).sum())
    said = {
        f"The patient of {count(unknown, 'film')} is not known: films of one patient may be on both sides, and the "
        "scores may flatter the model; name patients by a column or --patient-regex.": unknown
        > (1 - KNOWN) * len(run.predictions),
        f"{count(patients, 'patient')} with films in more than one part: "
        "a model can know the patient instead of the disease, and the scores may flatter it.": patients,
        f"{count(contents, 'film')} with an exact copy in another part: seen in training, and scored.": contents,
        f"{count(pictures, 'film')} that the network can't tell from one in another part, though no copy to the byte: "
        "seen in training, and scored; plainfilm audit names copies.": pictures,
        f"{count(bad, 'film')} could not be read and {'was' if bad == 1 else 'were'} left out (quarantine.csv).": bad,
        _few(scored): scored < few,
        "Synthetic films: drawn by a program, so no score here says anything about patients.": run.config["synthetic"],
    }
    return [line for line, applies in said.items() if applies]


def _few(scored: int) -> str:
    return f"Only {count(scored, 'film')} scored: the intervals are wide, so read them first."


def line_of_few(scored: int) -> list[str]:
    """Return the red line about too few scored films, where they are."""
    return [_few(scored)] * (scored < FEW_FILMS)


def not_to_be_read_as_risks(run: RunFolder) -> list[str]:
    """Return in a sentence how far the probabilities are off, where calibrated ones would not be by chance."""
    if not run.score("ece").value > run.score("ece_by_chance").high:
        return []
    found, chance = (score_in_words(run, name) for name in ("ece", "ece_by_chance"))
    return [
        f"Don't read the probabilities as risks: their expected calibration error is {found}; calibrated ones would "
        f"have {chance} on such films, by chance."
    ]


def _lines_of_openings(run: RunFolder) -> list[str]:
    times = run.metrics.get("test_openings", 1)
    return [
        f"{run.title}: the test part has been opened {times} times. Whatever was changed after the first look was "
        "chosen by looking at it, so its scores are too good from then on."
    ] * (run.part == "test" and times > 1)


def comparisons(runs: list[RunFolder]) -> list[str]:
    """Return for every two models that learned what paired tests on the films scored allow to say of their accuracies
    and areas under the curve, as ``plainfilm compare`` does."""
    learned = [run for run in runs if not run.one_class and not np.isnan(run.score("accuracy").low)]
    if len(learned) < 2 or len({run.config["data_hash"] for run in learned}) > 1:
        return []
    scored = [(run.title, run.scored.deciding()) for run in learned]
    found = compare(scored, np.random.default_rng(learned[0].config["seed"]))
    return [
        pair[score]["sentence"].replace(" %", "\u00a0%") for score in ("accuracy", "auroc") for pair in found["pairs"]
    ]


def limits(runs: list[RunFolder]) -> list[str]:
    """Return in plain words what nobody should read out of the scores."""
    config = runs[0].config
    shared, name, positives = config["crossing"]["patients"], runs[0].positive, runs[0].scored.truth
    said = {
        "Synthetic films show that the program works, not that it works on patients.": config["synthetic"],
        "These are validation scores, not test scores: choices (epochs, learning rate, which model to use) are made "
        "by looking at these very films. Films without a part in any choice usually score lower.": runs[0].part
        != "test",
        f"{count(shared, 'patient')} with films on both sides of the split: how a model does on new patients is not "
        "shown. The split “grouped” keeps patients apart.": shared,
        "One split and one seed: the intervals say how much chance there is in the choice of films, not in the "
        "training; another seed moves the scores as well.": True,
        "Other hospitals, devices and ages: a published model of this kind fell to an AUROC of 0.54 on children of "
        "another hospital (Xin et al. 2022, doi 10.1007/s10140-021-01954-x).": True,
        "“97 % against Kermany's 92.8 %” compares a random quarter of all films, patients shared, with a separate test "
        "set of 624 films. Different protocols: neither figure ranks the other, and ours ranks with neither.": True,
        f"{100 * positives.mean():.0f} % of the scored films are {name}. Where it is rarer, fewer of the positive "
        "decisions are right.": True,
    }
    return [line for line, applies in said.items() if applies]
