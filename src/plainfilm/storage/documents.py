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

    plainfilm: str  # version that began the run
    data: str  # as the user named it
    folder: NotRequired[str]  # in which the command was given
    notes: NotRequired[list[str]]  # what there is to know of the data: a public set's licence, films left out, columns
    data_hash: str  # SHA-256 over path, label, part and content of every film
    set_hash: NotRequired[str]  # the same without the parts: one for all folds of a set
    synthetic: bool  # whether the films are drawn by a program
    protocol: str  # how films were divided, as every report says it
    divided: NotRequired[dict[str, Any] | None]  # the split and its seed
    crossing: Crossing  # what is in more than one part
    films: dict[str, int]  # by part
    classes: dict[str, int]  # films per class
    findings: NotRequired[dict[str, dict[str, int]]]  # of several findings: positive, negative and unknown films
    settings: dict[str, Any]  # fields of config.TrainConfig
    members: NotRequired[dict[str, str]]  # of an ensemble: run folder -> SHA-256 of its model.h5
    preprocess: dict[str, Any]  # from film to network input
    class_weights: dict[str, float]  # weight of each class in the loss
    seed: int  # of split, weights, order and dropout
    precision: NotRequired[dict[str, Any]]  # bits in training and in passes, and why
    device: str  # cpu, or the GPU's name
    threads: int  # CPU threads
    processes: NotRequired[int]  # under torchrun
    job: NotRequired[str]  # of torchrun: its run id
    command: str  # the command line
    versions: dict[str, str]  # of the packages that compute
    python: str
    platform: str


class FitDocument(TypedDict):
    """What a fit says of itself: part of model.json."""

    seconds: dict[str, float]  # of training and of features
    trained_parameters: int  # weights that were trained
    search: NotRequired[Any]  # of a logistic regression's C; None where there was none
    weights: NotRequired[str | None]  # where pretrained weights came from


class ModelDocument(FitDocument):
    """model.json: what a report says of the model, so that drawing it needs neither the network nor torch."""

    model: str  # name, as plainfilm models lists it
    title: str  # name that a reader of the paper knows
    parameters: int  # all weights
    flops: int  # operations per film
    input: list[int]  # channels, height, width
    layers: list[Row]  # one row per layer
    positive: str  # the positive class
    threshold: float  # probability from which a film is positive
    threshold_rule: NotRequired[str]  # how it was chosen
    temperature: float  # log-odds are divided by it
    refer: NotRequired[list[float] | None]  # lower and upper bound of the refer band
    offsets: NotRequired[list[float] | None]  # shift of the log-odds per class
    again_in_32_bits: NotRequired[int]  # films whose label or referral 16 bits might have changed
    findings: NotRequired[list[Row]]  # of several findings: the rule of each


class MetricsDocument(TypedDict, total=False):
    """metrics.json: the scores of every part that has films."""

    protocol: Required[str]  # how films were divided
    train: Scores  # scores of the training films
    val: Scores  # scores of the validation films
    test: Scores  # scores of the test films
    test_openings: int  # how often the test part has been scored
    by: dict[str, Any]  # of the scored part, by columns of the films' table
    red_lines: list[str]  # where nothing better than chance was shown
    shift: dict[str, Any]  # of films from elsewhere
    shared: dict[str, Any]  # films and patients that the model has seen before
    read: dict[str, Any]  # of another program's table: the column of each role, what its scores are, remarks


class FindingDocument(TypedDict):
    """One finding among several: the films with a known cell, and their scores where there are enough."""

    known: int  # films whose cell is known
    positives: int  # of those
    scores: NotRequired[Scores]  # scores of the finding
    not_scored: NotRequired[str]  # why there are none


class FindingsPart(TypedDict, total=False):
    """Scores of a part: each finding's, and their means."""

    findings: Required[dict[str, FindingDocument]]  # by name
    macro_auroc: IntervalDocument  # mean over the findings
    weighted_auroc: IntervalDocument  # mean weighted by positive films
    macro_auprc: IntervalDocument  # mean over the findings
    weighted_auprc: IntervalDocument  # mean weighted by positive films
    macro_brier: IntervalDocument  # mean over the findings
    weighted_brier: IntervalDocument  # mean weighted by positive films
    macro_sensitivity: IntervalDocument  # mean over the findings
    weighted_sensitivity: IntervalDocument  # mean weighted by positive films
    macro_specificity: IntervalDocument  # mean over the findings
    weighted_specificity: IntervalDocument  # mean weighted by positive films


class FindingsMetricsDocument(TypedDict, total=False):
    """metrics.json of several findings."""

    protocol: Required[str]  # how films were divided
    train: FindingsPart  # scores of the training films
    val: FindingsPart  # scores of the validation films
    test: FindingsPart  # scores of the test films
    test_openings: int  # how often the test part has been scored
    red_lines: list[str]  # where nothing better than chance was shown
    read: dict[str, Any]  # of another program's table: the column of each role, remarks


class ProbesDocument(TypedDict, total=False):
    """probes.json: subgroups of every run, the rest of one that was probed."""

    films: int  # films that were probed
    scored: int  # films of the scored part
    part: str  # the scored part
    seed: int  # of the films drawn
    positive: str  # the positive class
    subgroups: list[Row]  # one row per subgroup
    worst_subgroup: Row | None  # lowest balanced accuracy
    untouched: Scores  # scores of the films as they are
    robustness: list[Row]  # one row per change of the films
    worst_corruption: Row | None  # the change that flips most labels
    worst_in_one_class: Row | None  # the worst change of one class alone
    elsewhere: Row  # what is left of the AUROC with exposure and borders of other films; {} where that can't be told
    worst_finding: Row | None  # of several findings: the one that a change costs most
    probes: list[Row]  # one row per covered part of the films
    red_lines: list[str]  # sentences that stand in the verdict
