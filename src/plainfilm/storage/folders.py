"""What plainfilm's output folders hold: every file's name, once; what tells the kinds; whether one may be written."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.errors import InputError
from plainfilm.storage.files import SUMS, as_written, only_unfinished

CONFIG = "config.json"  # of a run: settings, what was derived from them, versions, data
FILMS = "films.csv"
QUARANTINE = "quarantine.csv"
HISTORY = "history.csv"
CHECKPOINT = "checkpoint.h5"
FEATURES = "features.h5"
MODEL, EXPORTED = "model.h5", "model.onnx"
DESCRIPTION = "model.json"  # what a report says of the model, so that it needs neither the network nor torch
PREDICTIONS = "predictions.csv"
METRICS = "metrics.json"
PROBES = "probes.json"
REPORT = "report.html"
FIGURES = "figures"
CARD, METHODS, CLAIM = "model-card.md", "methods.md", "claim-2024.md"
TRIPOD, STARD = "tripod-ai.md", "stard-ai.md"
FOLDS, RUNS = "folds.json", "runs.csv"
ADAPTED, SEEN_BEFORE = "adapt.json", "seen_before.csv"
SEARCH, TRIALS = "search.json", "search.csv"
MAPS, MAPS_TABLE, MAPS_PAGE = "explain.json", "explain.csv", "index.html"
AUDIT, MANIFEST, DUPLICATES = "audit.json", "manifest.csv", "duplicates.csv"
TABLE, TABLE_TEXT = "table.csv", "table.md"
COMPARISON = "comparison.json"

# What each file is, in a phrase: docs/files.md is made from these.
MEANING = {
    CONFIG: "every setting, what was derived from them, versions, device, seed, a hash of the data, the command line",
    FILMS: "one row per film: path, label, patient, part, width, height, SHA-256, and every further column",
    QUARANTINE: "one row per file that could not be used, with its reason",
    HISTORY: "one row per epoch: learning rate, loss and accuracy of training and validation, seconds",
    CHECKPOINT: "the state after the last epoch of a run that has not come to its end; `--resume` goes on from it",
    FEATURES: "frozen features of transfer runs, 100 KB per film with VGG16; may be deleted",
    EXPORTED: "the same as an ONNX file, of a model that was adapted as one",
    MODEL: "weights, classes, preprocessing, threshold, temperature, input gate: enough alone to label; runs no code",
    DESCRIPTION: "what the report says of the model: layers, parameters, operations, threshold",
    PREDICTIONS: "one row per film: path, part, label, and a probability per class",
    METRICS: "every score of every part with its 95 % interval, and how films were divided",
    PROBES: "subgroups, robustness and shortcuts, as far as they were looked at",
    REPORT: "the report: one page that opens from a mail",
    FIGURES: "every figure as PNG (300 dpi), SVG and PDF, with its points as CSV",
    CARD: "what the model is, what it is for, and what not",
    METHODS: "paragraphs for a methods section",
    CLAIM: "the CLAIM 2024 checklist, with its gaps",
    TRIPOD: "the TRIPOD+AI checklist, with its gaps",
    STARD: "the STARD-AI checklist, with its gaps",
    SUMS: "SHA-256 of every file, written when the folder is finished",
    FOLDS: "scores over all folds or seeds",
    RUNS: "one row per fold or seed",
    SEEN_BEFORE: "films and patients that the model had seen before it was adapted",
    ADAPTED: "the operating point before and after, with intervals",
    SEARCH: "the best settings, and the command that trains with them",
    TRIALS: "one row per trial",
    MAPS: "the checks of the heat maps with their intervals",
    MAPS_TABLE: "one row per film: label, probability, share of the map outside the thorax",
    MAPS_PAGE: "the first 24 maps as a page",
    AUDIT: "everything that the audit found",
    MANIFEST: "one row per film: SHA-256 and path",
    DUPLICATES: "one row per copy: group, kind, correlation, path, label, patient, part",
    TABLE: "Table I: one row per model",
    TABLE_TEXT: "the same as text",
    COMPARISON: "every pair of models on the same films: difference, interval, p",
}


@dataclass(frozen=True)
class Kind:
    """A kind of output folder; ``holds`` names the files of a whole one, and the first of them tells the kind."""

    name: str
    holds: tuple[str, ...]
    maybe: tuple[str, ...] = ()  # files of which a whole one has those that the installed packages make
    beside: str = ""  # a second file that only plainfilm writes beside the first
    resumable: bool = False
    begins: bool = False  # the first file is there from the beginning on
    shares: bool = False  # it may lie in a folder with other things
    ignores: tuple[str, ...] = ()  # what may be there before it is begun

    @property
    def sign(self) -> str:
        """The file that tells the kind."""
        return self.holds[0]


ADAPTATION = Kind("adapted model", (ADAPTED, FILMS, QUARANTINE), (MODEL, EXPORTED), FILMS)
REPETITION = Kind("folds", (FOLDS, RUNS, REPORT), beside=RUNS, resumable=True)
SEARCHED = Kind("search", (SEARCH, TRIALS, REPORT), beside=TRIALS, resumable=True, begins=True)
HEAT_MAPS = Kind("heat maps", (MAPS, MAPS_TABLE, MAPS_PAGE), beside=MAPS_TABLE, shares=True)
RUN = Kind(
    "run",
    (CONFIG, FILMS, MODEL, DESCRIPTION, PREDICTIONS, METRICS, REPORT),
    beside=DESCRIPTION,
    resumable=True,
    begins=True,
)
AUDITED = Kind("audit", (AUDIT, FILMS, QUARANTINE), (REPORT,), MANIFEST)
PAPER = Kind("paper", (TABLE, TABLE_TEXT, REPORT), resumable=True, ignores=("films",))  # a demo's films lie there
EVALUATION = Kind("evaluation", (METRICS,), beside=PREDICTIONS, shares=True)
COMPARED = Kind("comparison", (COMPARISON,), shares=True)

# The first whose sign is there decides: a run may hold an audit, and folds hold metrics.
KINDS = (REPETITION, ADAPTATION, SEARCHED, HEAT_MAPS, RUN, AUDITED, PAPER, EVALUATION, COMPARED)
MARKS = tuple({SUMS, kind.sign, kind.beside} for kind in KINDS if kind.beside)  # no folder of others has all of one


def kind_of(folder: Path) -> Kind | None:
    """Return the kind of an output folder, unfinished folds and papers by their runs; None for others' folders."""
    found = next((kind for kind in KINDS if (folder / kind.sign).exists()), None)
    runs = [path.parent.name for path in folder.glob(f"*/{CONFIG}")]
    if found or not runs:
        return found
    return REPETITION if all(re.fullmatch(r"(fold|seed)-\d+", name) for name in runs) else PAPER


def occupied(folder: Path, besides: Sequence[str] = ()) -> bool:
    """Return whether ``folder`` holds anything ``besides`` hidden files: a lock, what a killed writer left."""
    return folder.exists() and any(not name.startswith(".") and name not in besides for name in os.listdir(folder))


def require_free(
    out: Path, kind: Kind, *, resume: bool = False, force: bool = False, written: Sequence[str] = ()
) -> bool:
    """Return whether ``out`` holds what a folder of ``kind`` was begun with, to go on; InputError where it may not be
    written.

    It must be new or empty; ``resume`` goes on with one of the same kind. A kind that shares its folder asks only that
    the files ``written`` (default: those it holds) are not there, or ``force``; never does it go into a run's.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give the name of a folder.")
    if kind.shares:
        _require_free_place(out, written or kind.holds, force)
        return False
    if not occupied(out, kind.ignores) or (not kind.resumable and only_unfinished(out)):
        return False
    begun = (out / kind.sign).exists()
    if kind.begins and not begun:
        raise InputError(f"{out} is not empty and holds no {kind.name} by plainfilm; choose another --out.")
    if not resume or not kind.resumable:
        found = f"holds a {kind.name} already" if kind.begins else "is not empty"
        advice = "continue it with --resume, or choose" if kind.resumable else "choose"
        raise InputError(f"{out} {found}; {advice} another --out.")
    return True


def _require_free_place(out: Path, written: Sequence[str], force: bool) -> None:
    if (out / MODEL).exists() or (out / CONFIG).exists():
        raise InputError(f"--out {out} is a run of its own; choose another folder.")
    ours = {} if (out / SUMS).exists() else as_written(out)  # of the same command, stopped before its end
    left = {name.partition("/")[0] for name in ours}
    there = [name for name in written if os.path.lexists(out / name) and name not in left]
    if there and not force:
        raise InputError(f"{out} holds {', '.join(there)} already; choose another --out, or add --force to replace it.")
