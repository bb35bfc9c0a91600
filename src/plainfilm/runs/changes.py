"""What spoiling and covering films does to a model's scores: the part of probes.json that needs no film any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from plainfilm.evaluation.changed_findings import (
    lines_by_finding,
    probe_rows_of_findings,
    robustness_of_findings,
    scored_names,
    worst_finding,
)
from plainfilm.evaluation.exchange import EXCHANGES, left_elsewhere, left_elsewhere_of_findings
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.probes import baseline_rows, probe_rows, red_lines, source_rows
from plainfilm.evaluation.robustness import CORRUPTIONS, robustness, worst_corruption, worst_in_one_class
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.subgroups import series, source_folders
from plainfilm.image.preprocess import Preprocess
from plainfilm.runs.looking import UNTOUCHED, Looked, covers_of
from plainfilm.storage.documents import ProbesDocument, Scores


def changes(
    looked: Looked, said: Predictions, preprocess: Preprocess, baselines: Sequence[Mapping[str, Any]], seed: int
) -> ProbesDocument:
    """Return ``untouched`` (scores on the probed films), ``robustness``, ``worst_corruption`` and
    ``worst_in_one_class``; ``elsewhere``; ``probes``; ``red_lines``, sentences. See ``evaluation.robustness``,
    ``.exchange`` and ``.probes`` for the rows.

    said: what was said of these films, for their labels and patients; baselines: of audit.json.
    """
    tables = {name: replace(said, probabilities=chances) for name, chances in looked.chances.items()}
    clean = tables[UNTOUCHED]
    sturdy = robustness(clean, {corruption: tables[corruption.name] for corruption in CORRUPTIONS})
    exchanged = [name for name in EXCHANGES if name in tables]
    probes = probe_rows(clean, {name: tables[name] for name in (*covers_of(preprocess), *exchanged)})
    worst = worst_in_one_class(sturdy)
    labels = [clean.classes[k] for k in clean.labels]
    sources = {"film series": series(clean.paths), "source folder": source_folders(clean.paths, labels)}
    untouched = scores(clean, np.random.default_rng(seed))
    kept = {name: untouched[name].as_dict() for name in ("accuracy", "balanced_accuracy", "auroc")}
    return {
        "untouched": cast(Scores, kept),
        "robustness": sturdy,
        "worst_corruption": worst_corruption(sturdy),
        "worst_in_one_class": worst,
        "elsewhere": left_elsewhere(probes, worst),
        "probes": [*probes, *baseline_rows(baselines), *source_rows(looked.features, sources, clean, seed)],
        "red_lines": red_lines(probes),
    }


def changes_of_findings(looked: Looked, said: FindingsPredictions, preprocess: Preprocess) -> ProbesDocument:
    """Return the same of a model of findings, and ``worst_finding``: see ``evaluation.changed_findings`` for the rows.
    InputError where no finding can be scored on these films."""
    tables = {name: replace(said, chances=chances) for name, chances in looked.chances.items()}
    clean, names = tables[UNTOUCHED], scored_names(said)
    covers = {name: tables[name] for name in covers_of(preprocess)}
    rows = robustness_of_findings(clean, {corruption: tables[corruption.name] for corruption in CORRUPTIONS}, names)
    exchanged = {name: tables[name] for name in EXCHANGES if name in tables}
    probes = probe_rows_of_findings(clean, covers | exchanged, names)
    return {
        "untouched": {"auroc": probes[0]["auroc"]},
        "robustness": rows,
        "worst_corruption": worst_corruption(rows),
        "worst_finding": worst_finding(rows),
        "elsewhere": left_elsewhere_of_findings(probes),
        "probes": probes,
        "red_lines": lines_by_finding(clean, covers, names),
    }
