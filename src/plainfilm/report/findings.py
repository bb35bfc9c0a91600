"""What is said of a run's findings: tables and sentences, for its page and its documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from plainfilm.evaluation.findings import FindingsPredictions, cooccurrence
from plainfilm.evaluation.hidden import hidden_sentence
from plainfilm.report.words import Table, count, percent, with_interval
from plainfilm.runs.findings import scored_part
from plainfilm.runs.folder import RunFolder, interval

SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "ece")
WORDS = {"auroc": "AUROC", "auprc": "AUPRC", "sensitivity": "Sensitivity", "specificity": "Specificity", "ece": "ECE"}
CHANCE = 0.5
FEW_FILMS = 100  # below this many scored films a red line says that the intervals are wide
ALL_FILMS = "All films of the run"
MEANS = {f"macro_{score}": f"{WORDS[score]}, mean of findings" for score in ("auroc", "sensitivity", "specificity")}


LIMITS = (
    "Unknown cells are left out, of training and of scores. Where a finding is noted only when it is looked for, the "
    "known films are not like all films: prevalence, PPV and NPV then hold for films that somebody asked about.",
    "Each finding has its own threshold, chosen on validation films. A film without any called finding is not shown to "
    "be normal.",
    "Means over findings weigh rare and frequent findings alike (macro) or by their positive films (weighted); neither "
    "says that every finding is found.",
    "Labels read from reports are the reports' words, not the films' truth.",
)


def limits(run: RunFolder) -> list[str]:
    """Return in plain words what nobody should read out of the scores."""
    shared = run.config["crossing"]["patients"]
    said = {
        "Synthetic films show that the program works, not that it works on patients.": run.config["synthetic"],
        "These are validation scores, not test scores: choices were made by looking at these very films.": run.part
        != "test",
        f"{count(shared, 'patient')} with films on both sides of the split: how a model does on new patients is not "
        "shown.": shared,
        "One split and one seed: another seed moves the scores as well. Other hospitals, devices and ages are not "
        "shown.": True,
    }
    return [*(line for line, applies in said.items() if applies), *LIMITS]


def tables(run: RunFolder) -> list[Table]:
    """Return the tables of results for a run's documents."""
    part = scored_part(run)
    found, films = cast(dict[str, Any], run.metrics)[part], run.findings.part(part)
    cells = unknown(run.config.get("findings", {}), ALL_FILMS)
    return [t for t in (by_finding(films, found), means(found), cells, hidden_table(found), audited(run)) if t]


def by_columns(found: Mapping[str, Any]) -> Table | None:
    """Return each finding's scores by columns of the films' table, ``found`` of metrics.json; None where none was
    looked at."""
    rows = []
    for row in found.get("rows", []):
        counts = [f"{row['films']:,}", f"{row['positives']:,}"]
        scored = [with_interval(interval(row["auroc"])), "none: no other group"] if row["scored"] else ["too few"] * 2
        if apart := row["difference"].get("auroc"):
            scored[1] = with_interval(interval(apart))
        rows.append([f"{row['finding']}, {row['column']} {row['group']}", *counts, *scored])
    caption = "By columns of the films' table, with 95 % intervals; " + found.get("sentence", "")
    return (
        Table(caption, ["Finding, group", "Films", "Positive", "AUROC", "Difference to the rest"], rows)
        if rows
        else None
    )


def hidden_table(found: Mapping[str, Any]) -> Table | None:
    """Return what the films of which a finding is not known do to its prevalence and PPV, by finding; None where there
    are too few to tell."""
    rows = [
        [
            name,
            f"{one['unknown']:,}",
            percent(one["share_known"]["value"]),
            f"{percent(one['share_unknown']['value'])} ({percent(one['share_unknown']['low'])} to "
            f"{percent(one['share_unknown']['high'])})",
            percent(one["prevalence"]["value"]),
            f"{one['ppv']['known']:.2f}",
            with_interval(interval(one["ppv"]["all"])),
            f"{one['ppv']['if_negative']:.2f}",
        ]
        for name, one in _hidden(found).items()
    ]
    header = ["Finding", "Unknown films", "Positive of the known", "of the unknown, estimated", "of all, estimated"]
    header += ["PPV, known films", "PPV, all films", "PPV, were all unknown negative"]
    caption = "What unknown cells do to prevalence and PPV, if films look alike whether their cell is known or not"
    return Table(caption, header, rows) if rows else None


def hidden_lines(found: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each finding whose cells are not left out at random."""
    return [hidden_sentence(name, one) for name, one in _hidden(found).items() if not one["at_random"]]


def _hidden(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one["hidden"] for name, one in found["findings"].items() if one.get("hidden")}


def red_lines(run: RunFolder, part: str) -> list[str]:
    """Return what must be read before the scores of the findings."""
    return lines_of_training(run) + lines_of(cast(dict[str, Any], run.metrics)[part])


def lines_of_training(run: RunFolder) -> list[str]:
    """Return what must be read of a run's films, whatever its scores."""
    crossed = run.config["crossing"].get("patients")
    lines = [f"{crossed} patients are in two parts: scores are too good."] if crossed else []
    return [*lines, *run.audit.get("red_lines", []), *run.probes.get("red_lines", [])]


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """Return what must be read of the findings of a part of metrics.json: not scored, not better than chance, of
    few films, or with probabilities that are no risks."""
    lines = []
    for name, about in found["findings"].items():
        if "not_scored" in about:
            lines.append(f"{name} is not scored: {about['not_scored']}.")
        elif (low := about["scores"]["auroc"]["low"]) is not None and low <= CHANCE:
            area = interval(about["scores"]["auroc"])
            word = (
                "worse than chance; are its cells swapped?"
                if area.high < CHANCE
                else "not shown to be better than chance"
            )
            lines.append(f"{name}: {word} (AUROC {with_interval(area)}).")
    return lines + _few(found) + _off(found)


def _few(found: Mapping[str, Any]) -> list[str]:
    """Return the line about findings that few films were scored for, where there are some."""
    names = [name for name, about in found["findings"].items() if "scores" in about and about["known"] < FEW_FILMS]
    said = f"Fewer than {FEW_FILMS} films are known of {', '.join(names)}: the intervals are wide, so read them first."
    return [said] * bool(names)


def _off(found: Mapping[str, Any]) -> list[str]:
    """Return the line about findings whose probabilities are further off than calibrated ones would be by chance."""
    off = []
    for name, about in found["findings"].items():
        ece, chance = (interval(about.get("scores", {}).get(score)) for score in ("ece", "ece_by_chance"))
        if ece.value > chance.high:
            off.append(f"{name} {with_interval(ece)}, by chance {with_interval(chance)}")
    said = f"Don't read these probabilities as risks, their expected calibration error is too large: {'; '.join(off)}."
    return [said] * bool(off)


def means(found: Mapping[str, Any]) -> Table:
    """Return the means over findings."""
    rows = [
        [
            WORDS.get(score, score),
            *(with_interval(interval(found.get(f"{kind}_{score}"))) for kind in ("macro", "weighted")),
        ]
        for score in SHOWN
        if f"macro_{score}" in found
    ]
    return Table("Means over the findings that are scored", ["Score", "Each finding alike", "By positive films"], rows)


def by_finding(films: FindingsPredictions, found: Mapping[str, Any]) -> Table:
    """Return each finding's scores on ``films``, the scored ones; ``found``: their part of metrics.json."""
    own = films.decision.own_thresholds
    cuts = dict(zip(films.findings, films.decision.thresholds, strict=True)) if not own else {}
    rows = []
    for name, about in found["findings"].items():
        scores = about.get("scores")
        cells = (
            [with_interval(interval(scores.get(score))) for score in SHOWN] if scores else ["not scored"] * len(SHOWN)
        )
        cut = [f"{cuts[name]:.3f}"] if cuts else []
        rows.append([name, f"{about['known']:,}", f"{about['positives']:,}", *cells, *cut])
    header = ["Finding", "Known", "Positive", *(WORDS[score] for score in SHOWN), *["Threshold"] * (not own)]
    return Table("Each finding on the films of which it is known, with 95 % intervals", header, rows)


def together(films: FindingsPredictions) -> Table:
    """Return how often two findings come together."""
    both, known = cooccurrence(films.truth)
    rows = [
        [name, *(f"{both[i, j]:,} of {known[i, j]:,}" for j in range(len(films.findings)))]
        for i, name in enumerate(films.findings)
    ]
    caption = "Films that have both findings, of those where both are known"
    return Table(caption, ["", *films.findings], rows)


def unknown(counts: Mapping[str, Mapping[str, int]], whose: str) -> Table:
    """Return how many cells of each finding are known: ``counts`` as config.json has them, of the films ``whose``."""
    rows = [
        [name, f"{c['positive']:,}", f"{c['negative']:,}", f"{c['unknown']:,}", _share(c)] for name, c in counts.items()
    ]
    header = ["Finding", "Positive", "Negative", "Unknown", "Positive among known"]
    return Table(f"{whose}: unknown is never counted as negative", header, rows)


def cells_of(films: FindingsPredictions) -> dict[str, dict[str, int]]:
    """Return how many films are positive, negative and unknown for each finding."""
    counts = {"positive": films.truth == 1, "negative": films.truth == 0, "unknown": films.truth < 0}
    return {
        name: {kind: int(cells[:, k].sum()) for kind, cells in counts.items()} for k, name in enumerate(films.findings)
    }


def _share(counts: Mapping[str, int]) -> str:
    known = counts["positive"] + counts["negative"]
    return f"{100 * counts['positive'] / known:.1f} %" if known else "unknown"


def audited(run: RunFolder) -> Table | None:
    """Return what files, borders and columns alone tell about each finding, from the audit that a training does."""
    rows = []
    for name, told in run.audit.get("findings", {}).items():
        alone = {row["name"]: with_interval(interval(row["auc"])) for row in told["baselines"]}
        best = next(iter((told["columns"] or {"rows": []})["rows"]), None)
        column = f"{best['name']} {with_interval(interval(best['auc']))}" if best else "none"
        rows.append([name, *(alone.get(key, "too few films") for key in ("metadata", "borders")), column])
    seen = run.audit.get("light")
    of = f" (a sample of {seen['films']:,} of {seen['of']:,} films)" if seen else ""
    caption = f"Cross-validated AUC of what shows no disease{of}, with 95 % intervals"
    return Table(caption, ["Finding", "The file alone", "Borders", "The strongest column"], rows) if rows else None
