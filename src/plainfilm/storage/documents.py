"""What a run's JSON files hold, as types: for those who write them, for those who read them, and for the tests.

A key that only newer runs have is ``NotRequired``: old run folders still open.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Required, TypeAlias, TypedDict

Part: TypeAlias = Literal["train", "val", "test"]
Row: TypeAlias = dict[str, Any]  # of a table inside a document


class IntervalDocument(TypedDict):
    """A score with its 95 % interval; None where it is not known."""

    value: float | None
    low: float | None
    high: float | None


Scores: TypeAlias = dict[str, IntervalDocument]


class Crossing(TypedDict):
    """How many patients, exact copies and equal pictures are in more than one part."""

    patients: int
    contents: int
    pictures: NotRequired[int]


class ConfigDocument(TypedDict):
    """config.json: every setting, what was derived from them, versions, data."""

    plainfilm: str
    data: str  # as the user named it
    folder: NotRequired[str]  # in which the command was given
    notes: NotRequired[list[str]]  # what there is to know of the data: a public set's licence, films left out, columns
    data_hash: str
    synthetic: bool
    protocol: str
    divided: NotRequired[dict[str, Any] | None]
    crossing: Crossing
    films: dict[str, int]  # by part
    classes: dict[str, int]
    findings: NotRequired[dict[str, dict[str, int]]]  # of several findings: positive, negative and unknown films
    settings: dict[str, Any]  # fields of config.TrainConfig
    members: NotRequired[dict[str, str]]  # of an ensemble: run folder -> SHA-256 of its model.h5
    preprocess: dict[str, Any]
    class_weights: dict[str, float]
    seed: int
    precision: NotRequired[dict[str, Any]]
    device: str
    threads: int
    processes: NotRequired[int]
    job: NotRequired[str]
    command: str
    versions: dict[str, str]
    python: str
    platform: str


class FitDocument(TypedDict):
    """What a fit says of itself: part of model.json."""

    seconds: dict[str, float]  # of training and of features
    trained_parameters: int
    search: NotRequired[Any]  # of a logistic regression's C; None where there was none
    weights: NotRequired[str | None]


class ModelDocument(FitDocument):
    """model.json: what a report says of the model, so that drawing it needs neither the network nor torch."""

    model: str
    title: str
    parameters: int
    flops: int
    input: list[int]
    layers: list[Row]
    positive: str
    threshold: float
    threshold_rule: NotRequired[str]
    temperature: float
    refer: NotRequired[list[float] | None]
    offsets: NotRequired[list[float] | None]
    findings: NotRequired[list[Row]]  # of several findings: the rule of each


class MetricsDocument(TypedDict, total=False):
    """metrics.json: the scores of every part that has films."""

    protocol: Required[str]
    train: Scores
    val: Scores
    test: Scores
    test_openings: int  # how often the test part has been scored
    by: dict[str, Any]  # of the scored part, by columns of the films' table
    red_lines: list[str]  # where nothing better than chance was shown
    shift: dict[str, Any]  # of films from elsewhere
    shared: dict[str, Any]
    read: dict[str, Any]  # of another program's table: the column of each role, what its scores are, remarks


class ProbesDocument(TypedDict, total=False):
    """probes.json: subgroups of every run, the rest of one that was probed."""

    films: int
    scored: int
    part: str
    seed: int
    positive: str
    subgroups: list[Row]
    worst_subgroup: Row | None
    untouched: Scores
    robustness: list[Row]
    worst_corruption: Row | None
    worst_in_one_class: Row | None
    probes: list[Row]
    red_lines: list[str]


DOCUMENTS: dict[str, type] = {
    "config": ConfigDocument,
    "model": ModelDocument,
    "metrics": MetricsDocument,
    "probes": ProbesDocument,
}
