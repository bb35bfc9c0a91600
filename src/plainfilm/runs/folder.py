"""A run's folder: opened once; each of its documents is read when first asked for, and handed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from plainfilm.config import READING, TrainConfig, newer
from plainfilm.data.films import Films, read_films, write_films
from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import FLOOR, Decision
from plainfilm.evaluation.findings import FindingsPredictions, holds_findings, read_findings, write_findings
from plainfilm.evaluation.intervals import UNKNOWN, Interval
from plainfilm.evaluation.predictions import Predictions, read_predictions, write_predictions
from plainfilm.evaluation.scores import by_patient, one_class_predicted
from plainfilm.machine import ranks
from plainfilm.storage import folders
from plainfilm.storage.documents import (
    ConfigDocument,
    IntervalDocument,
    MetricsDocument,
    ModelDocument,
    Part,
    ProbesDocument,
    Scores,
)
from plainfilm.storage.files import plain, read_json, require_intact, sealed, sha256_file, write_json
from plainfilm.storage.tables import read_csv

if TYPE_CHECKING:
    from plainfilm.models.model import Model

DOCUMENTS = (
    "config",
    "model",
    "metrics",
    "probes",
    "audit",
    "films",
    "history",
    "quarantine",
    "predictions",
    "findings",
)


class RunFolder:
    """The run in ``folder``. What was not done is empty: ``history``, ``quarantine``, ``metrics``, ``probes``,
    ``audit``; InputError when a document is asked for that every finished run has, and it is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    @contextmanager
    def open(cls, out: Path, config: ConfigDocument, films: Films, resume: bool) -> Iterator[RunFolder]:
        """Hold ``out`` for a training: a new folder, or with ``resume`` one in which the same was begun.

        Of several processes the first holds it. InputError when it may not be written, or another run was begun there.
        """
        with ExitStack() as held:
            with ranks.together():
                if not ranks.rank():
                    held.enter_context(cls(out)._held(config, films, resume))
            yield cls(out)

    @contextmanager
    def _held(self, config: ConfigDocument, films: Films, resume: bool) -> Iterator[None]:
        begun = folders.require_free(self.folder, folders.RUN, resume=resume)
        with sealed(self.folder, resumes=True):
            if begun:
                self.require_same(config)
            else:
                write_json(self.folder / folders.CONFIG, config)
            write_films(films, self.folder)
            yield

    def require_same(self, new: ConfigDocument) -> None:
        """InputError when this run was begun with other settings, members or films than ``new`` has."""
        old, own, out = self.settings, new["settings"], self.folder
        changed = [f"{name} was {old[name]!r} and is {value!r}" for name, value in own.items() if old[name] != value]
        if changed:
            raise InputError(f"{out} was begun with other settings: {'; '.join(changed)}. Choose another --out.")
        if self.config.get("members", {}) != new.get("members"):
            raise InputError(f"{out} was begun with other members than {new['settings']['model']} names now.")
        if self.config.get("data_hash") != new["data_hash"]:
            raise InputError(f"{out} was begun with other films than {new['data']} holds now. Choose another --out.")

    def replaced(self, **documents: Any) -> RunFolder:
        """Return the same run with some of its documents, or its folder, replaced."""
        other = RunFolder(self.folder)
        other.__dict__ |= {name: held for name, held in vars(self).items() if name in DOCUMENTS} | documents
        return other

    # -- what is in it

    def has(self, name: str) -> bool:
        """Return whether a file of ``storage.folders`` is there."""
        return (self.folder / name).is_file()

    @property
    def finished(self) -> bool:
        """Whether a model was trained and its films were labelled."""
        return all(map(self.has, (folders.CONFIG, folders.DESCRIPTION, folders.PREDICTIONS)))

    def require_finished(self) -> None:
        """InputError unless there is a run here with predictions, and each file that scores are made of is as it was
        written."""
        if self.has(folders.ADAPTED):
            own = f"{self.folder} is an adapted model: adapt.json has its scores"
            raise InputError(f"{own}; other films: evaluate {self.folder} DATA.")
        if not self.has(folders.PREDICTIONS):
            raise InputError(
                f"{self.folder} is no finished run: it has no predictions.csv; give a run folder or a FILE.csv."
            )
        needed = (folders.PREDICTIONS, folders.FILMS, folders.DESCRIPTION, folders.CONFIG)
        require_intact(self.folder, *needed)

    @cached_property
    def config(self) -> ConfigDocument:
        """config.json."""
        return cast(ConfigDocument, read_json(self.folder / folders.CONFIG))

    @cached_property
    def model(self) -> ModelDocument:
        """model.json."""
        return cast(ModelDocument, read_json(self.folder / folders.DESCRIPTION))

    @cached_property
    def metrics(self) -> MetricsDocument:
        """metrics.json; without scores where nothing was scored yet."""
        return cast(MetricsDocument, self._optional(folders.METRICS))

    @cached_property
    def probes(self) -> ProbesDocument:
        """probes.json."""
        return cast(ProbesDocument, self._optional(folders.PROBES))

    @cached_property
    def audit(self) -> dict[str, Any]:
        """audit.json of an audit of the run's films, if one was named."""
        return self._optional(folders.AUDIT)

    @cached_property
    def films(self) -> list[dict[str, str]]:
        """The rows of films.csv."""
        return read_films(self.folder / folders.FILMS)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv, one an epoch."""
        return [{key: float(cell) for key, cell in row.items()} for row in self._rows(folders.HISTORY)]

    @cached_property
    def quarantine(self) -> list[dict[str, str]]:
        """The rows of quarantine.csv: films that could not be read, and why."""
        return self._rows(folders.QUARANTINE)

    @cached_property
    def predictions(self) -> Predictions:
        """predictions.csv, decided as model.json says, with the patients in films.csv."""
        patients = self.folder / folders.FILMS if self.has(folders.FILMS) else None
        about = self.model if self.has(folders.DESCRIPTION) else None
        return read_predictions(self.folder / folders.PREDICTIONS, patients, about)

    @cached_property
    def findings(self) -> FindingsPredictions:
        """predictions.csv of a run whose films have findings, decided as model.json says."""
        return read_findings(self.folder / folders.PREDICTIONS, self.model if self.has(folders.DESCRIPTION) else None)

    @property
    def of_findings(self) -> bool:
        """Whether its films have several findings instead of one class."""
        if self.has(folders.DESCRIPTION):
            return bool(self.model.get("findings"))
        return self.has(folders.PREDICTIONS) and holds_findings(self.folder / folders.PREDICTIONS)  # of several runs

    def _optional(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.folder / name) if self.has(name) else {}
        return found

    def _rows(self, name: str) -> list[dict[str, str]]:
        return read_csv(self.folder / name)[1] if self.has(name) else []

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that the run was begun with; what an older plainfilm did not know has its default.

        InputError when its config.json has none, or is of a newer plainfilm, which may mean other things by them.
        """
        config, out = read_json(self.folder / folders.CONFIG), self.folder
        if not isinstance(config, dict) or not isinstance(config.get("settings"), dict):
            raise InputError(f"{out / folders.CONFIG} holds no settings; it is damaged: choose another --out.")
        made = str(config.get("plainfilm"))
        if newer(made):
            raise InputError(
                f"{out} was begun by plainfilm {made}, newer than this one; update it, or choose another --out."
            )
        known = {field.name: field.default for field in fields(TrainConfig)}
        before = {"oversample": 0, "precision": "32"}  # films were decoded whole, in 32 bits, before there were these
        return {**known, **before, **config["settings"]}

    def load_films(self) -> Films:
        """Return the films that the run was made of, whichever folder its command was given in.

        InputError when they are no longer there; KeyError or TypeError when config.json is none of a run.
        """
        data = str(self.config["data"])
        from_there = Path(self.config.get("folder", "")) / data  # what has the same name here may be other films
        there = not data.startswith("demo:") and from_there.exists()
        known = {name: self.config["settings"][name] for name in READING if name in self.config["settings"]}
        return load(from_there if there else data, **known)

    # -- what is written into it

    def write_model(self, document: Mapping[str, Any]) -> None:
        """Write model.json, and hold it."""
        self.model = self._written(folders.DESCRIPTION, document)

    def write_metrics(self, document: MetricsDocument) -> None:
        """Write metrics.json, and hold it."""
        self.metrics = self._written(folders.METRICS, document)

    def write_probes(self, document: ProbesDocument) -> None:
        """Write probes.json, and hold it."""
        self.probes = self._written(folders.PROBES, document)

    def write_audit(self, document: dict[str, Any]) -> None:
        """Write audit.json, and hold it."""
        self.audit = self._written(folders.AUDIT, document)

    def save(self, model: Model) -> None:
        """Write model.h5, the last thing that a training has to say; then its checkpoint has served."""
        model.save(self.folder / folders.MODEL)
        (self.folder / folders.CHECKPOINT).unlink(missing_ok=True)

    def _written(self, name: str, document: Any) -> Any:
        write_json(self.folder / name, document)
        return plain(document)  # as it would be read

    def write_predictions(self, said: Predictions) -> bool:
        """Write predictions.csv, and hold it; return whether it replaces others that were scored already."""
        path = self.folder / folders.PREDICTIONS
        scored = sha256_file(path) if path.exists() and self.has(folders.METRICS) else ""
        write_predictions(path, replace(said, patients=np.array(said.paths)))  # the patients are in films.csv
        self.predictions = said
        return scored not in ("", sha256_file(path))

    def write_findings(self, said: FindingsPredictions) -> bool:
        """As ``write_predictions``, of findings."""
        path = self.folder / folders.PREDICTIONS
        scored = sha256_file(path) if path.exists() and self.has(folders.METRICS) else ""
        write_findings(path, said)
        self.findings = said
        return scored not in ("", sha256_file(path))

    # -- what it says

    @property
    def name(self) -> str:
        """The model's name on the command line."""
        return str(self.model["model"])

    @property
    def title(self) -> str:
        """What reports call the model: its name on the command line, unless it was given another."""
        return str(cast(dict[str, Any], self.model).get("called") or self.name)  # only in a report of several runs

    @property
    def full_title(self) -> str:
        """That name with what a reader of the paper knows it by behind it, for the one place that says both."""
        known = str(self.model["title"])
        return self.title if known in (self.name, self.title) else f"{self.title} ({known})"

    @property
    def part(self) -> Part:
        """The part whose scores count: test where there is one, else val."""
        said = self.findings if self.of_findings else self.predictions
        part = said.scored_part
        return part if (said.parts == part).any() else cast(Part, str(said.parts[0]))

    @cached_property
    def scored(self) -> Predictions:
        """The films of that part."""
        return self.predictions.part(self.part)

    @cached_property
    def validation(self) -> Predictions | None:
        """The validation films, where they are others than the scored ones: what was chosen, was chosen on them."""
        other = self.part != "val" and bool((self.predictions.parts == "val").any())
        return self.predictions.part("val") if other else None

    @property
    def decision(self) -> Decision:
        """How films are decided."""
        return self.predictions.decision

    @property
    def positive(self) -> str:
        """Name of the positive class."""
        return self.decision.positive

    @property
    def two(self) -> bool:
        """Whether there are two classes, so that the threshold decides."""
        return self.decision.two

    @property
    def threshold(self) -> float:
        """The threshold in model.json; the pooled films of several folds have their own beside it."""
        return float(self.model["threshold"])

    @property
    def calibrated(self) -> bool:
        """Whether anything was fitted to make the probabilities true."""
        return self.decision.temperature != 1 or any(self.decision.offsets)

    @property
    def cross_fitted(self) -> bool:
        """Whether each film has a threshold of its own, found on other films."""
        return self.decision.own_thresholds

    @cached_property
    def as_trained(self) -> Predictions:
        """The scored films with the probabilities that the network gave before anything was fitted on validation."""
        return replace(self.scored, probabilities=self.decision.as_trained(self.scored.probabilities))

    @cached_property
    def one_class(self) -> str | None:
        """The class that every scored film gets although there are several to tell apart, or None."""
        several = len(np.unique(self.scored.labels)) > 1
        return one_class_predicted(self.scored) if several else None

    def scores(self, part: Part | None = None) -> Scores:
        """Return the scores of a part, by default the scored one; none where nothing was scored."""
        return self.metrics.get(part or self.part, {})

    def score(self, name: str, part: Part | None = None) -> Interval:
        """Return a score from metrics.json, of the scored part unless named; unknown (NaN) where it was not done.

        Its interval is the one that lets films of a patient err together, where there is one.
        """
        return interval(by_patient(self.scores(part), name))

    def cross_entropy(self, part: Part) -> float:
        """Return the mean of -log(probability of the true class) over the films of ``part``; NaN without films.

        The probabilities are those before calibration, as of the training curves: the ones in use were fitted on
        validation, whose loss is therefore lower than that of any other part. None counts as less than FLOOR.
        """
        p = self.predictions
        told = self.decision.as_trained(p.probabilities)[np.arange(len(p)), p.labels][p.parts == part]
        return float(-np.log(np.maximum(told, FLOOR)).mean()) if told.size else float("nan")

    @property
    def seconds(self) -> float:
        """Seconds of training and feature extraction together."""
        return float(sum(self.model["seconds"].values()))


def interval(found: IntervalDocument | None) -> Interval:
    """Return {"value", "low", "high"} as read from JSON, where null is unknown; all unknown for None."""
    if found is None:
        return UNKNOWN
    bounds = (found["value"], found["low"], found["high"])
    return Interval(*(float("nan") if value is None else float(value) for value in bounds))
