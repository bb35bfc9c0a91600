"""What each command prints with --json, as types: JSON schemas are made of them, and tests hold real outputs to them.

A command that answers in several ways has a type for each.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from plainfilm.storage.documents import (
    ConfigDocument,
    FindingsMetricsDocument,
    IntervalDocument,
    MetricsDocument,
    ModelDocument,
    ProbesDocument,
    Row,
    Scores,
)


class Trained(TypedDict):
    """A run that was trained: its folder, its report, its metrics.json."""

    run: str
    report: str
    metrics: MetricsDocument | FindingsMetricsDocument


class Spread(TypedDict):
    """A score over several runs."""

    values: list[float | None]
    mean: float | None
    sd: float | None
    low: float | None  # of the runs
    high: float | None


class Repeated(TypedDict, total=False):
    """Folds or seeds: folds.json, the scores over the runs and those of all out-of-fold predictions together."""

    run: str
    report: str
    kind: str  # folds or seeds
    protocol: str
    part: str
    seed: int
    runs: list[str]  # folders
    scores: dict[str, Spread]
    pooled: Scores | None
    label_noise: list[Row]  # films whose label the models contradict
    label_noise_count: int
    worst_subgroup: Row | None
    left_out: dict[str, Any] | None  # of sites: the gap to random folds
    audit: dict[str, Any] | None  # red lines of the audit of a sample of the set, once for all runs
    by: dict[str, Any] | None
    test: Scores
    at_prevalence: dict[str, Any]


class Evaluated(MetricsDocument, total=False):
    """metrics.json, where it was written, and PPV and NPV at another prevalence."""

    run: str
    report: str
    out: str
    at_prevalence: dict[str, Any]


class EvaluatedFindings(FindingsMetricsDocument, total=False):
    """The same of several findings."""

    run: str
    report: str
    out: str


class Compared(TypedDict):
    """comparison.json: the models' scores on the same films, and each pair."""

    films: int
    patients: int
    positive: str
    models: list[Row]
    pairs: list[Row]
    out: NotRequired[str]


class ComparedFindings(TypedDict, total=False):
    """The same of several findings."""

    films: int
    patients: int
    tests: int  # for which p was adjusted
    findings: dict[str, Any]
    models: list[Row]
    pairs: list[Row]
    out: str


class Point(TypedDict):
    """An operating point."""

    temperature: float
    threshold: float
    threshold_rule: str
    refer: list[float] | None
    offsets: NotRequired[list[float] | None]
    shift: NotRequired[list[float]]
    promises: NotRequired[list[Row]]


class Points(TypedDict):
    """An operating point of each finding."""

    findings: dict[str, Point]


Adapted = TypedDict(
    "Adapted",
    {
        "out": str,
        "from_model": str,
        "from": Point | Points,
        "to": Point | Points,
        "data": str,
        "data_hash": NotRequired[str],
        "films": int,
        "quarantined": int,
        "findings": NotRequired[dict[str, Any]],  # the rest of each, of a model of several
        # with labels
        "patients": NotRequired[int],
        "before": NotRequired[Scores],
        "after": NotRequired[Scores],
        "difference": NotRequired[Scores],
        "deployed": NotRequired[Scores],
        "refer": NotRequired[dict[str, Any] | None],
        "learning_curve": NotRequired[list[Row]],
        "enough": NotRequired[int | None],
        "kept": NotRequired[bool],
        "guarantee": NotRequired[dict[str, Any] | None],
        "shared": NotRequired[dict[str, Any]],
        "red_lines": NotRequired[list[str]],
        # without labels
        "prevalence_trained": NotRequired[float],
        "prevalence_estimated": NotRequired[float],
        "prevalence_interval": NotRequired[IntervalDocument],
        "prevalence_used": NotRequired[float],
        "called_positive_before": NotRequired[float],
        "called_positive_after": NotRequired[float],
        "mean_probability_before": NotRequired[float],
        "mean_probability_after": NotRequired[float],
        "expected": NotRequired[dict[str, Any] | None],
        "threshold_interval": NotRequired[IntervalDocument],
        "accuracy_expected": NotRequired[dict[str, float]],
        "hills": NotRequired[dict[str, Any]],
        "assumption": NotRequired[str],
        "report": NotRequired[str],
        "promises": NotRequired[list[Row] | None],
    },
)


OperatingPoint = TypedDict(
    "OperatingPoint",
    {
        "out": NotRequired[str],
        "operating_point": int,  # version of the file
        "classes": list[str],
        "positive": str,
        "temperature": float,
        "threshold": float,
        "threshold_rule": str,
        "refer": list[float] | None,
        "offsets": NotRequired[list[float] | None],
        "shift": NotRequired[list[float] | None],
        "promises": NotRequired[list[Row] | None],
        "guarantees": NotRequired[list[Row] | None],
        "columns": dict[str, str],
        "scores": dict[str, Any],
        "from": dict[str, Any],
        "remarks": list[str],
        "found": dict[str, Any],
    },
)


class Applied(TypedDict):
    """Labels that an operating point gave."""

    films: int
    referred: int
    labels: dict[str, int]
    out: str


class AsASet(TypedDict):
    """Whether films differ as a set from the training films."""

    judged: int
    warning: str | None
    measure: NotRequired[str]
    p: NotRequired[float]


class Labelled(TypedDict):
    """Counts of the labels that were written."""

    films: int
    labelled: int
    refused: int
    referred: int
    labels: dict[str, int]
    as_a_set: AsASet
    out: str


class Explained(TypedDict):
    """explain.json: what the heat maps withstood."""

    films: int
    mapped: int
    refused: int
    maps: int
    empty_maps: int
    model: str
    model_sha256: str
    method: str
    checks: dict[str, Any]
    red_lines: list[str]
    findings: list[str]
    notes: list[str]
    films_checked: int
    each_film_checked: list[Row]
    warning: str
    disclaimer: str
    out: str


class Exported(TypedDict):
    """A file that was written and checked."""

    out: str
    format: str
    model: str
    bytes: int
    sha256: str
    largest_difference: NotRequired[float]  # of a probability: ONNX
    real_films: NotRequired[int]
    synthetic_films: NotRequired[int]
    values: NotRequired[int]  # read back bit for bit: safetensors


class Named(TypedDict):
    """A model that can be named."""

    name: str
    title: str
    parameters: int | None
    flops: int | None
    input: list[int]
    licence: str
    pretrained: str | None
    weights_here: bool | None
    weights: str


class Machine(TypedDict):
    """This machine, as doctor finds it."""

    plainfilm: str
    python: str
    platform: str
    versions: dict[str, str]
    cores: int
    threads: int | None
    devices: list[str]
    cache: str
    free_gb: float
    vgg16_weights: str | None
    gflops: float | None
    speed: NotRequired[dict[str, Any]]


class Found(TypedDict):
    """One thing that doctor looked at in a folder."""

    what: str
    found: str
    ok: bool
    advice: str


class Checked(TypedDict):
    """An output folder, as doctor finds it."""

    folder: str
    kind: str
    state: str
    ok: bool
    findings: list[Found]


class Need(TypedDict):
    """How many films a study needs."""

    films: int
    patients: int
    positives: int


class Planned(TypedDict):
    """How many films are needed, and for what."""

    assumed: dict[str, float]
    pilot: str | None
    design_effect: float
    width: float
    precision: dict[str, Need]
    widths: list[dict[str, float]]
    validation: dict[str, Need]
    difference: NotRequired[float]
    power: NotRequired[float]
    correlation: NotRequired[float]
    disagree: NotRequired[float | None]
    compare: NotRequired[dict[str, Need]]
    drop: NotRequired[float]
    new_site: NotRequired[dict[str, Need]]
    out: NotRequired[str]


class Audited(TypedDict):
    """audit.json: what is wrong with a data set."""

    red_lines: list[str]
    notes: list[str]
    data: str
    synthetic: bool
    seed: int
    films: dict[str, Any]
    patients: dict[str, Any]
    unreadable: list[Any]
    odd: list[Any]
    duplicates: list[Any]
    rule: NotRequired[str]
    positive: NotRequired[str]
    majority: NotRequired[IntervalDocument | None]
    learnt_from: NotRequired[int]
    baselines: NotRequired[list[Row]]
    by_class: NotRequired[list[Row]]
    columns: NotRequired[Any]
    leak: NotRequired[dict[str, Any] | None]
    doubtful_labels: NotRequired[dict[str, Any] | None]
    shift: NotRequired[dict[str, Any] | None]
    findings: NotRequired[Any]
    light: NotRequired[Any]  # of a sample, made by train
    out: NotRequired[str]
    report: NotRequired[str]


class Tried(TypedDict):
    """One trial of a search."""

    number: int
    point: list[float]
    values: dict[str, Any]
    scores: dict[str, float | None]
    seconds: float
    spent: int
    state: str
    curve: list[float | None]
    interval: list[float | None] | None
    reason: str


class Searched(TypedDict, total=False):
    """search.json: the trials and the best of them."""

    out: str
    report: str
    data: str
    data_hash: str
    synthetic: bool
    protocol: str
    films: dict[str, int]
    positive: str
    algorithm: str
    budget: int
    objective: str
    population: int
    prune: bool
    price: int
    unit: str
    space: list[str]
    settings: dict[str, Any]
    plainfilm: str
    versions: dict[str, str]
    command: str
    trials: int
    states: dict[str, int]
    spent: int
    seconds: float
    default: Tried | None
    best: Tried | None
    front: list[int]
    sentence: str
    train: str


class Papered(TypedDict):
    """The paper's models: where they are, and a row each."""

    out: str
    report: str
    table: list[Row]


class Known(TypedDict):
    """The public sets and weights that can be fetched, or are read as their owners ship them."""

    sets: list[Row]


class Fetched(TypedDict):
    """One file that was fetched."""

    name: str
    path: str
    bytes: int
    checksum: str
    licence: str
    citation: str


class Serving(TypedDict):
    """Where a service listens; printed once, when it does."""

    model: str
    url: str
    hash: str
    disclaimer: str


DOCUMENTS: dict[str, tuple[type, ...]] = {
    "config": (ConfigDocument,),
    "model": (ModelDocument,),
    "metrics": (MetricsDocument, FindingsMetricsDocument),
    "probes": (ProbesDocument,),
    "audit": (Audited,),
}
OUTPUTS: dict[str, tuple[type, ...]] = {
    "adapt": (Adapted, OperatingPoint),
    "apply": (Applied,),
    "audit": (Audited,),
    "compare": (Compared, ComparedFindings),
    "demo": (Papered,),
    "doctor": (Machine, Checked),
    "evaluate": (Evaluated, EvaluatedFindings, Repeated),
    "explain": (Explained,),
    "export": (Exported,),
    "fetch": (Known, list[Fetched]),  # type: ignore[dict-item]
    "label": (Labelled,),
    "models": (list[Named],),  # type: ignore[dict-item]
    "paper": (Papered,),
    "plan": (Planned,),
    "search": (Searched,),
    "serve": (Serving,),
    "train": (Trained, Repeated),
}
