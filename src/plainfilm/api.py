"""What plainfilm knows of figures, as calls on arrays: for predictions that it did not make. Needs no torch.

import plainfilm as pf
found = pf.scores(y, p, patients=who)       # every score with its interval, by patient
print(found["auroc"], found)                # 0.914 (0.871 to 0.944), and a table
pf.compare(y, {"ours": p, "theirs": q}, patients=who)
point = pf.operating_point(y, p, "sensitivity=0.95")
pf.scores(y_new, point.calibrated(p_new), threshold=point.threshold)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from plainfilm.data.films import PARTS
from plainfilm.data.frames import is_frame, to_frame, to_html
from plainfilm.errors import InputError
from plainfilm.evaluation import compare as paired
from plainfilm.evaluation import guarantee, operating
from plainfilm.evaluation.arrays import from_arrays
from plainfilm.evaluation.decision import FLOOR, Decision
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.intervals import Floats, Interval
from plainfilm.evaluation.point import floored
from plainfilm.evaluation.predictions import HandedIn, Predictions, read_predictions, read_table_of
from plainfilm.evaluation.scales import AS_IS, Scale, as_probabilities
from plainfilm.evaluation.scores import scores as scored
from plainfilm.storage import folders
from plainfilm.storage.files import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Scores(Mapping[str, Interval]):
    """Scores by name, each an ``Interval`` of value, low and high; prints as a table, converts and draws."""

    def __init__(self, predictions: Predictions, found: Mapping[str, Interval]) -> None:
        self.predictions, self._found = predictions, dict(found)

    def __getitem__(self, name: str) -> Interval:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def heading(self) -> str:
        """Say what the scores are of."""
        p = self.predictions
        patients = len(set(p.patients.tolist()))
        people = f" of {patients:,} patients" if patients < len(p) else ""
        return f"{len(p):,} films{people}; positive: {p.decision.positive} ({int(p.truth.sum()):,} films)"

    def __repr__(self) -> str:
        wide = max(map(len, self))
        return "\n".join([self.heading, *(f"  {name:<{wide}}  {interval}" for name, interval in self.items())])

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(name)}</td><td>{interval}</td></tr>" for name, interval in self.items())
        head = "<tr><th>score</th><th>value (95&nbsp;% interval)</th></tr>"
        return f"<table><caption>{escape(self.heading)}</caption>{head}{rows}</table>"

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return {name: {"value", "low", "high"}}, as in metrics.json."""
        return {name: interval.as_dict() for name, interval in self.items()}

    def to_pandas(self) -> Any:
        """Return a DataFrame: a row per score, columns value, low and high. InputError without pandas."""
        try:
            import pandas
        except ImportError:
            raise InputError("to_pandas needs the package pandas; run: pip install pandas.") from None
        return pandas.DataFrame.from_dict(self.to_dict(), orient="index")

    def plot(self) -> Figure:
        """Return the ROC curve with its area, as reports draw it; with the mean of the areas too, where several models
        scored the films."""
        from plainfilm.evaluation.scores import roc_points
        from plainfilm.report.plots import Curve, roc

        false, true, cuts = roc_points(self.predictions)
        return roc([Curve("these predictions", false, true, cuts, self["auroc"], pooled=self.get("auroc_pooled"))])


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with the temperature and refer band that go with it, and what was promised of it.

    ``threshold`` applies to calibrated probabilities: ``calibrated`` makes them of (N,) new ones.
    """

    decision: Decision
    scale: Scale = AS_IS

    @property
    def promises(self) -> tuple[guarantee.Guarantee, ...]:
        """What was promised of films outside the refer band."""
        return self.decision.promises

    @property
    def threshold(self) -> float:
        """From which calibrated probability on a film is called positive."""
        return float(np.asarray(self.decision.threshold))

    def calibrated(self, scores: Any) -> Floats:
        """Return (N,) calibrated probabilities of (N,) scores of the positive class, of the kind it was found on."""
        chance = np.clip(self.scale.probabilities(np.asarray(scores, dtype=np.float64)), FLOOR, 1 - FLOOR)
        both = np.column_stack([1 - chance, chance])
        column = self.decision.column
        return self.decision.tempered(both if column else both[:, ::-1])[:, column]

    def __repr__(self) -> str:
        refer = self.decision.refer
        band = "" if refer is None else f"; from {refer.words} to a reader"
        line = (
            f"threshold {self.threshold:.4g} ({self.decision.rule}), temperature {self.decision.temperature:.3g}{band}"
        )
        return "\n".join([line, *(promise.sentence() for promise in self.promises)])


def scores(  # noqa: PLR0913 - what may be said of predictions, each by its name
    labels: Any,
    scores: Any = None,
    patients: Any = None,
    *,
    classes: Sequence[str] | None = None,
    positive: str = "",
    threshold: float = 0.5,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Scores:
    """Return every score of predictions with its 95 % interval, by patient where they are given.

    labels: (N,) names, booleans or indices; scores: (N,) probability of the positive class or (N, K) of each class;
    patients: (N,). Or a DataFrame alone, whose columns are recognised, or named by ``columns``: {"label": "Target"}.
    ``plainfilm.evaluation.scores.scores`` says which intervals. InputError where they don't fit.

    >>> found = pf.scores(truth, probabilities, patients=who)
    >>> found["auroc"].value > 0.9, found.heading
    (True, '400 films of 200 patients; positive: 1 (106 films)')
    """
    if scores is None:
        predictions = _of_frame(labels, "scores", positive, columns).predictions
        predictions = predictions.under(replace(predictions.decision, threshold=threshold))
    else:
        predictions = from_arrays(labels, scores, patients, classes, positive, threshold)
    return Scores(predictions, scored(predictions, np.random.default_rng(seed)))


def _of_frame(frame: Any, call: str, positive: str, columns: Mapping[str, str] | None, kind: str = "") -> HandedIn:
    if not is_frame(frame):
        raise InputError(f"{call} takes labels and scores, or a DataFrame that holds both.")
    return read_table_of(frame, told=Told(columns or {}, kind, positive=positive))


def compare(  # noqa: PLR0913 - what may be said of predictions, each by its name
    labels: Any,
    models: Mapping[str, Any] | Sequence[str] | None = None,
    patients: Any = None,
    *,
    classes: Sequence[str] | Mapping[str, str] | None = None,
    positive: str = "",
    threshold: float | Mapping[str, float] = 0.5,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the paired comparison of models on the same films: what ``plainfilm compare --json`` prints.

    ``models``: {name: scores} as in ``scores``; ``threshold``: one for all, or {name: threshold}. Or a DataFrame for
    ``labels``, and in ``models`` its columns of scores, [column, …] or {name: column}. Or {name: DataFrame} alone, each
    model's predictions. ``columns``: as in ``scores``. ``classes`` of DataFrames: {what they call a class: its name}.

    >>> found = pf.compare(truth, {"ours": probabilities, "theirs": others}, patients=who)
    >>> found["films"], found["patients"], [model["name"] for model in found["models"]]
    (400, 200, ['ours', 'theirs'])
    """
    frames = _frames(labels, models, columns or {})
    if len(frames or models or ()) < 2:
        raise InputError("compare takes the scores of two or more models.")
    if frames:
        if patients is not None:
            raise InputError('patients are a column of the DataFrame: columns={"patient": NAME}.')
        told = Told(positive=positive, names=classes if isinstance(classes, Mapping) else {})
        read = [(name, read_table_of(frame, told=told._replace(columns=own))) for name, (frame, own) in frames.items()]
        tables = [(name, _cut(found.predictions, _threshold(threshold, name))) for name, found in read]
    else:
        named = None if classes is None else list(classes)
        tables = [
            (name, from_arrays(labels, found, patients, named, positive, _threshold(threshold, name)))
            for name, found in cast(Mapping[str, Any], models).items()
        ]
    return paired.compare(tables, np.random.default_rng(seed))


def _frames(labels: Any, models: Any, columns: Mapping[str, str]) -> dict[str, tuple[Any, Mapping[str, str]]]:
    """Return {model: (its DataFrame, {role: column})}; {} where arrays were given. InputError for neither."""
    if is_frame(labels):
        named = models if isinstance(models, Mapping) else {name: name for name in models or ()}
        return {name: (labels, {**columns, "score": column}) for name, column in named.items()}
    if models is not None:
        return {}
    if not isinstance(labels, Mapping) or not all(map(is_frame, labels.values())):
        raise InputError("compare takes labels and {name: scores}, a DataFrame and its columns, or {name: DataFrame}.")
    return {name: (frame, columns) for name, frame in labels.items()}


def _threshold(threshold: float | Mapping[str, float], name: str) -> float:
    return threshold.get(name, 0.5) if isinstance(threshold, Mapping) else threshold


def _cut(p: Predictions, threshold: float) -> Predictions:
    """Return the scored films of a table, decided by ``threshold`` unless they have their own."""
    scored_part = p.part(p.scored_part)
    return scored_part if p.decision.own_thresholds else scored_part.by(threshold=threshold)


def operating_point(  # noqa: PLR0913 - what may be said of predictions, each by its name
    labels: Any,
    scores: Any = None,
    rule: str = "balanced",
    patients: Any = None,
    *,
    refer: str = "none",
    guaranteed: str = "",
    positive: str = "",
    columns: Mapping[str, str] | None = None,
) -> OperatingPoint:
    """Return how to decide films like these: temperature and threshold by ``rule``, refer band by ``refer``.

    The rules are those of ``plainfilm train --threshold`` and ``--refer``. ``guaranteed`` ("npv=0.98,ppv=0.9") sets the
    refer band instead, so that each promise holds with 95 % confidence for films that come as these do. Two classes.
    ``labels`` may be a DataFrame that holds the scores too, as in ``scores``.

    >>> point = pf.operating_point(truth, probabilities, "sensitivity=0.95", who)
    >>> found = pf.scores(truth, point.calibrated(probabilities), who, threshold=point.threshold)
    >>> round(found["sensitivity"].value, 2) >= 0.95
    True
    """
    if scores is None:
        found = _of_frame(labels, "operating_point", positive, columns)
        raw, scale = floored(found.predictions), found.table.scale
    else:
        raw, scale = from_arrays(labels, scores, patients, positive=positive), AS_IS
    if guaranteed:
        guarantee.parsed(guaranteed)
    operating.check(rule, guaranteed or refer, raw.classes)
    return OperatingPoint(operating.choose(raw, rule, guaranteed or refer, fitted=True), scale)


def calibrate(
    labels: Any,
    scores: Any = None,
    patients: Any = None,
    *,
    kind: str = "",
    positive: str = "",
    columns: Mapping[str, str] | None = None,
) -> OperatingPoint:
    """Return what makes calibrated probabilities of a program's scores: a shift and a temperature of their log-odds.

    labels: (N,); scores: (N,) of the positive class, of ``kind`` probability, percent, logit or rank (recognised where
    it is empty: ``evaluation.scales``). ``calibrated`` of the result takes new scores of the same kind; its threshold
    is one half. ``labels`` may be a DataFrame that holds the scores too, as in ``scores``.
    Platt's scaling (Platt 1999), with his targets.

    >>> pf.calibrate(truth, probabilities, who).calibrated([0.2, 0.5, 0.8]).round(2).tolist()
    [0.01, 0.26, 0.89]
    """
    if scores is None:
        found = _of_frame(labels, "calibrate", positive, columns, kind)
        raw, scale = floored(found.predictions), found.table.scale
    else:
        chance, scale, _ = as_probabilities(np.asarray(scores, dtype=np.float64), kind)
        raw = floored(from_arrays(labels, chance, patients, positive=positive))
    if not raw.decision.two:
        raise InputError(f"calibrate is for two classes, and there are {len(raw.classes)}.")
    return OperatingPoint(operating.choose(raw, "0.5", "none", fitted=True, shifted=True), scale)


# -- finished runs ------------------------------------------------------------------------------------------


class Metrics(dict[str, Any]):
    """What metrics.json holds; shown as a table in a notebook, and converts."""

    def to_pandas(self) -> Any:
        """Return a DataFrame, a row per part and score: part, score, value, low, high. InputError without pandas."""
        rows = [(part, name, *found.values()) for part in PARTS for name, found in self.get(part, {}).items()]
        names = ("part", "score", "value", "low", "high")
        return to_frame({name: [row[k] for row in rows] for k, name in enumerate(names)})

    def _repr_html_(self) -> str:
        part = next((part for part in ("test", "val", "train") if part in self), "")
        rows = [(name, str(_interval(found))) for name, found in self.get(part, {}).items()]
        return to_html(str(self.get("protocol", "")), ("score", f"{part} (95 % interval)"), rows)


class Run(type(Path())):  # type: ignore[misc]
    """The folder of a finished run: a path like any other, whose scores a notebook shows."""

    @property
    def metrics(self) -> Metrics:
        """What metrics.json holds."""
        return Metrics(read_json(self / folders.METRICS))

    @property
    def predictions(self) -> Predictions:
        """What the model said of every film, with each film's part and patient."""
        about = read_json(self / folders.DESCRIPTION)
        return read_predictions(self / folders.PREDICTIONS, self / folders.FILMS, about)

    def _repr_html_(self) -> str:
        report = escape(str(self / folders.REPORT))
        return f"<p>{escape(str(self))} · <a href='{report}'>report</a></p>{self.metrics._repr_html_()}"


def _interval(found: Mapping[str, float | None]) -> Interval:
    return Interval(*(np.nan if (bound := found[name]) is None else bound for name in ("value", "low", "high")))
